"""The configuration of a checkpoint that is imported: what it must say, what it says for nothing, and whether it fits."""

import json
import re
from collections.abc import Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.console import one_line
from bertkit.errors import BertkitError
from bertkit.models.folder import TIED, architectures, check_config
from bertkit.models.foreign_fields import FIELDS_OF_OLD

if TYPE_CHECKING:
    import torch

_LARGEST_CONFIG_BYTES = 1 << 20
# Fields that change what a model computes or how it learns, and that no weight shows.
_NOT_SHOWN = ("hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob")
# The model garden's kernels of queries: [width of the model, heads, width of a head].
_QUERY = re.compile(r"/_attention_layer/_query_dense/kernel(/|$)")


def read_settings(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The fields of a configuration that belong to a BERT, and lines that name the others, and what is taken for granted.

    ``architectures`` is always among the fields: a list of names, maybe an empty one.

    Raises:
        BertkitError: it cannot be read, is that of a kind of BERT that bertkit does not compute, a size is no whole number, or
            it does not say how many heads there are, which the weights do not show.
    """
    from transformers import BertConfig

    standard = BertConfig().to_dict()
    try:
        if path.stat().st_size > _LARGEST_CONFIG_BYTES:
            raise ValueError("it is too large")
        given = json.loads(path.read_text(encoding="utf-8-sig"))
        settings: dict[str, Any] = {
            name: value for name, value in given.items() if name in standard and isinstance(value, (int, float, str))
        }
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise BertkitError(f"{path} is no configuration of a BERT: {error}") from None
    check_config(given, str(path), str(path))
    if "num_attention_heads" not in settings:
        raise BertkitError(
            f"{path} has no num_attention_heads, which the weights do not show: add the number of heads that the model was "
            "trained with"
        )
    settings["architectures"] = architectures(given)
    return settings, _notes(path, given, settings, standard)


def _notes(path: Path, given: dict[str, Any], settings: dict[str, Any], standard: dict[str, Any]) -> list[str]:
    # What is empty or off says nothing either; "absolute" is how every BERT of today counts its places.
    told = {
        name: value
        for name, value in given.items()
        if value and (name, value) != ("position_embedding_type", "absolute")
    }
    left_out = sorted(told.keys() - settings.keys() - FIELDS_OF_OLD)
    lacking = [f"{name} is taken to be {standard[name]}" for name in _NOT_SHOWN if name not in settings]
    notes = [f"left out of what {path} says: {', '.join(left_out)}"] if left_out else []
    return notes + (
        [f"{path} lacks what no weight shows: {', '.join(lacking)} (--config names another file)"] if lacking else []
    )


def check_heads(shapes: Mapping[str, tuple[int, ...]], settings: dict[str, Any], source: Path) -> None:
    """Compares the number of heads with a checkpoint of the model garden, whose kernels show it; others show none.

    Raises:
        BertkitError: they differ.
    """
    shown = {shape[1] for name, shape in shapes.items() if _QUERY.search(name) and len(shape) == 3}
    told = settings["num_attention_heads"]
    for number in shown - {told}:
        raise BertkitError(f"{source} has num_attention_heads {number:,}, and its configuration {told:,}")


def check_sizes(shapes: Mapping[str, tuple[int, ...]], settings: dict[str, Any], source: Path) -> None:
    """Compares the sizes in a configuration with the weights, before memory is allocated for them.

    Args:
        shapes: of the weights, by the names of transformers.

    Raises:
        BertkitError: a size differs.
    """
    layers = {int(layer[1]) for name in shapes if (layer := re.match(r"bert\.encoder\.layer\.(\d+)\.", name))}
    rows = {
        "intermediate_size": "bert.encoder.layer.0.intermediate.dense.weight",
        "max_position_embeddings": "bert.embeddings.position_embeddings.weight",
        "type_vocab_size": "bert.embeddings.token_type_embeddings.weight",
    }
    width = shapes["bert.embeddings.word_embeddings.weight"][-1]
    there = {"num_hidden_layers": len(layers), "hidden_size": width}
    there |= {name: shapes[weight][0] for name, weight in rows.items() if weight in shapes}
    for name, number in there.items():
        if settings.get(name, number) != number:
            raise BertkitError(f"{source} has {name} {number:,}, and its configuration {settings[name]:,}")


def check_decoder(
    weights: "Mapping[str, torch.Tensor]", wanted: Container[str], ties: bool, source: Path, path: Path
) -> None:
    """Holds the decoder of the masked-word head against what a configuration says of it.

    Args:
        weights: of the checkpoint, by the names of transformers.
        wanted: the names of the weights that the model has.
        ties: whether the decoder is the embeddings, by the configuration.
        source, path: the checkpoint and the configuration, for messages.

    Raises:
        BertkitError: they are said to be the same and are not, or are said to be two and one is not there.
    """
    for name, same in TIED.items():
        if ties and name in weights and not weights[name].equal(weights[same]):
            raise BertkitError(
                f"{source}: {name} is not {same}, and by {path} they are one: if the model was trained with two, add the "
                'line "tie_word_embeddings": false there'
            )
        if not ties and name in wanted and name not in weights:
            raise BertkitError(
                f"{source} has no {name}, and by {path} (tie_word_embeddings is false) it is not {same}: give a checkpoint "
                "that has it, or set that to true if the model was trained with one for both"
            )


def built(cls_name: str, settings: dict[str, Any], path: Path) -> Any:
    """A model of a class of transformers by the settings that were read from a configuration.

    Raises:
        BertkitError: transformers refuses them, as where the heads do not divide the width.
    """
    import transformers
    from transformers.activations import ACT2FN

    act = settings.get("hidden_act", "gelu")
    if act not in ACT2FN:
        raise BertkitError(f"{path}: hidden_act '{act}' is no activation that transformers knows, such as gelu or relu")
    try:
        return getattr(transformers, cls_name)(transformers.BertConfig(**settings))
    except Exception as error:  # the values come from outside, and may make the library raise anything
        raise BertkitError(f"{path} is no configuration of a BERT: {one_line(error)}") from error
