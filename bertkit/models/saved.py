"""Checks that a model that was just written can be opened again, before bertkit says where it is."""

from pathlib import Path
from typing import Any

from bertkit.console import one_line
from bertkit.errors import BertkitError
from bertkit.models.folder import FEATURE_WEIGHTS, FEATURES, WEIGHTS, checked_folder, read_config, weights_path
from bertkit.models.headed import encoder_tokenizer


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
    from safetensors import SafetensorError, safe_open

    weights = weights_path(folder, read_config(checked_folder(str(folder), features=True)))
    encoder_tokenizer(folder, str(folder))
    try:
        with safe_open(weights, "pt") as file:  # refuses a file that is shorter than its header says
            shapes = {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise BertkitError(f"{weights} was not written whole: {one_line(error)}") from error
    state = {} if model is None else model.state_dict()
    written = {state[name].data_ptr() for name in shapes if name in state}
    for name, weight in state.items():
        # Tied weights are stored once.
        if shapes.get(name, list(weight.shape)) != list(weight.shape) or weight.data_ptr() not in written:
            there = shapes.get(name, "not there")
            raise BertkitError(f"{weights} was not written whole: {name} is {there}, not {list(weight.shape)}")
