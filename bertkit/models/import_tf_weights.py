"""The weights of other programs' checkpoints, by the names that transformers gives them."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bertkit.errors import BertkitError
from bertkit.models.folder import name_of_today
from bertkit.models.tf_checkpoint import TensorFlowCheckpoint

if TYPE_CHECKING:
    import torch

_OPTIMIZER = re.compile(
    r"(^|/)(adam_[mv]|global_step|save_counter|_CHECKPOINTABLE_OBJECT_GRAPH)(/|$)|optimizer|\.OPTIMIZER_SLOT"
)
# google-research/bert names its weights as transformers does, but with / in place of . and with these words.
_WORDS = {"kernel": "weight", "gamma": "weight", "output_weights": "weight", "beta": "bias", "output_bias": "bias"}
# The model garden's names for the parts of a layer.
_GARDEN = {
    "_attention_layer": "attention.self",
    "_attention_layer_norm": "attention.output.LayerNorm",
    "_attention_output_dense": "attention.output.dense",
    "_query_dense": "query",
    "_key_dense": "key",
    "_value_dense": "value",
    "_intermediate_dense": "intermediate.dense",
    "_output_dense": "output.dense",
    "_output_layer_norm": "output.LayerNorm",
}
_GARDEN_EMBEDDINGS = ("word_embeddings", "position_embeddings", "token_type_embeddings")
_GARDEN_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def tensorflow_weights(checkpoint: TensorFlowCheckpoint, num_layers: int) -> "tuple[dict[str, torch.Tensor], int]":
    """The weights by the names of transformers, and how many tensors belong to the optimizer."""
    import torch

    kept = [name for name in checkpoint.shapes if not _OPTIMIZER.search(name)]
    is_garden = any("layer_with_weights-" in name for name in kept)
    weights = {}
    for name in kept:
        array = checkpoint.read(name)
        if name.removesuffix(_GARDEN_SUFFIX).endswith("kernel"):
            array = _as_matrix(array, name).T
        elif "/_attention_layer/" in name:  # a bias of shape [heads, width of a head]
            array = array.reshape(-1)
        new_name = _garden_name(name, num_layers) if is_garden else _research_name(name)
        weights[new_name] = torch.from_numpy(np.ascontiguousarray(array))
    return weights, len(checkpoint.shapes) - len(kept)


def _as_matrix(kernel: np.ndarray, name: str) -> np.ndarray:
    """A kernel as a matrix ``[in, out]``; the model garden splits one side into ``[heads, width of a head]``."""
    if kernel.ndim == 3:
        return (
            kernel.reshape(kernel.shape[0], -1) if "_output_dense" not in name else kernel.reshape(-1, kernel.shape[2])
        )
    return kernel


def _research_name(name: str) -> str:
    """Turns a weight's name in google-research/bert into its name in transformers.

    Example:
        >>> _research_name("bert/encoder/layer_0/output/dense/kernel")
        'bert.encoder.layer.0.output.dense.weight'
        >>> _research_name("output_weights")
        'classifier.weight'
    """
    if name in ("output_weights", "output_bias"):
        return f"classifier.{_WORDS[name]}"
    if name == "cls/predictions/output_bias":
        return "cls.predictions.bias"
    *parts, last = name.split("/")
    last = f"{last}.weight" if last.endswith("_embeddings") else _WORDS.get(last, last)
    return ".".join([*(part.replace("layer_", "layer.") for part in parts), last])


def _garden_name(name: str, num_layers: int) -> str:
    """Turns a weight's name in the model garden into its name in transformers.

    The garden counts as layers, in this order: the three embeddings, their norm, the layers of the encoder, the pooler.

    Example:
        >>> _garden_name("model/layer_with_weights-5/_output_layer_norm/gamma/.ATTRIBUTES/VARIABLE_VALUE", 2)
        'bert.encoder.layer.1.output.LayerNorm.weight'
    """
    parts = name.removesuffix(_GARDEN_SUFFIX).split("/")
    at = next((place for place, part in enumerate(parts) if part.startswith("layer_with_weights-")), 0)
    number = int(parts[at].rpartition("-")[2]) if parts[at].rpartition("-")[2].isdigit() else -1
    inner = parts[at + 1 :]
    if 0 <= number < len(_GARDEN_EMBEDDINGS):
        return f"bert.embeddings.{_GARDEN_EMBEDDINGS[number]}.weight"
    if number == 3:
        return f"bert.embeddings.LayerNorm.{_WORDS.get(inner[-1], inner[-1])}"
    if number == 4 + num_layers:
        return f"bert.pooler.dense.{_WORDS.get(inner[-1], inner[-1])}"
    if inner[:2] == ["_attention_layer", "_output_dense"]:
        inner = ["_attention_output_dense", *inner[2:]]
    where = ".".join(_GARDEN.get(part, _WORDS.get(part, part)) for part in inner)
    return f"bert.encoder.layer.{number - 4}.{where}"


def old_pytorch_weights(path: Path) -> "dict[str, torch.Tensor]":
    """The tensors of a pickled file, by the names of today; nothing but tensors is unpickled."""
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # not with torch's own message, which advises to trust the file
        raise BertkitError(
            f"{path} cannot be read as tensors alone: it is damaged, or holds more than weights"
        ) from error
    if not isinstance(loaded, dict) or not all(isinstance(one, torch.Tensor) for one in loaded.values()):
        raise BertkitError(f"{path} is no table of weights by name")
    weights = {}
    for name, tensor in loaded.items():
        if str(name).endswith("embeddings.position_ids"):  # 0, 1, 2, …, which older versions of transformers saved
            continue
        if (today := name_of_today(str(name))) in weights:
            raise BertkitError(
                f"{path} holds the weight {today} twice, the second time as {name}: take one of them out"
            )
        weights[today] = tensor.float()
    return weights
