"""Checks that a model that was just written can be opened again, before bertkit says where it is."""

from pathlib import Path
from typing import Any

from bertkit.console import one_line
from bertkit.errors import BertkitError
from bertkit.io.structured import read_json
from bertkit.models.folder import FEATURE_WEIGHTS, FEATURES, WEIGHTS, checked_folder, read_config, weights_path
from bertkit.models.headed import encoder_tokenizer

INDEX = f"{WEIGHTS}.index.json"
"""Says which of several files has which weight of a large model."""


def hide_features(folder: Path) -> None:
    """Renames the weights of a feature-based model, so that transformers does not load them (see ``FEATURE_WEIGHTS``)."""
    if FEATURES in read_config(folder):
        (folder / WEIGHTS).replace(folder / FEATURE_WEIGHTS)


def check_saved(folder: Path, model: Any = None) -> None:
    """Reads the configuration, the tokenizer and the header of the weights back, which takes less than a second.

    Args:
        folder: the model's folder.
        model: the model that was written there; its weights' shapes are compared with those in the file.

    Raises:
        BertkitError: something is missing in the folder, or its files do not belong together.
    """
    folder = folder.absolute()  # a folder may be called as a model is that comes with bertkit
    weights = weights_path(folder, read_config(checked_folder(str(folder), features=True)))
    encoder_tokenizer(folder, str(folder))
    parts = indexed(folder)
    shapes = {} if parts and not weights.is_file() else shapes_in(weights)
    for part, names in parts.items():
        stored = shapes_in(folder / part)
        for name in sorted(names - stored.keys()):
            raise BertkitError(
                f"{folder / part} has no {name}, which {INDEX} says it has: its files do not belong together"
            )
        shapes |= stored
    state = {} if model is None else model.state_dict()
    written = {state[name].data_ptr() for name in shapes if name in state}
    for name, weight in state.items():
        # Tied weights are stored once.
        if shapes.get(name, list(weight.shape)) != list(weight.shape) or weight.data_ptr() not in written:
            there = shapes.get(name, "not there")
            raise BertkitError(f"{weights} was not written whole: {name} is {there}, not {list(weight.shape)}")


def indexed(folder: Path) -> dict[str, set[str]]:
    """The files that a model's index names, and the weights in each; none where there is no index.

    Raises:
        BertkitError: the index does not say where the weights are.
    """
    path = folder / INDEX
    if not path.is_file():
        return {}
    places = read_json(path).get("weight_map")
    if not (isinstance(places, dict) and places and all(isinstance(part, str) for part in places.values())):
        raise BertkitError(f"{path} does not say which file has which weight (weight_map): save the model anew")
    return {part: {name for name in places if places[name] == part} for part in sorted({*places.values()})}


def shapes_in(path: Path) -> dict[str, list[int]]:
    """The shapes of the weights in a safetensors file, by name.

    Raises:
        BertkitError: there is no such file, or it is shorter than its header says.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BertkitError(f"{path} was not written whole: {one_line(error)}") from error
