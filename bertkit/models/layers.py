"""Freezing the lowest layers of an encoder, and learning rates that fall from layer to layer."""

import re
from typing import Any

from bertkit.errors import BertkitError

_LAYER = re.compile(r"\.layers?\.(\d+)\.")


def heights(model: Any) -> dict[str, int]:
    """The layer of each parameter of a model's encoder: 0 for the embeddings, n for the n-th layer from below.

    Pooler and head are left out. A parameter between two layers belongs to the lower one.

    Args:
        model: a model of transformers with a head.

    Example:
        >>> from transformers import BertConfig, BertForTokenClassification
        >>> sizes = BertConfig(vocab_size=8, hidden_size=4, num_hidden_layers=2, num_attention_heads=1)
        >>> heights(BertForTokenClassification(sizes))["bert.encoder.layer.1.output.dense.bias"]
        2
    """
    by_name: dict[str, int] = {}
    height = 0
    for name, _ in model.named_parameters():
        if name.startswith(f"{model.base_model_prefix}.") and "pooler" not in name:
            numbered = _LAYER.search(name)
            height = int(numbered[1]) + 1 if numbered else height
            by_name[name] = height
    return by_name


def rate_factors(model: Any, decay: float) -> dict[str, float]:
    """Factors of the learning rate, by parameter name: each layer has ``decay`` times the factor of the one above it.

    Of n layers the n-th has ``decay``, the first ``decay ** n`` and the embeddings ``decay ** (n + 1)`` (Howard and Ruder
    2018, section 3.2). Pooler and head have 1 and are not named.

    Raises:
        BertkitError: the layers of the model share their weights, or are not numbered.
    """
    if decay == 1:
        return {}
    by_name = _numbered(model, "train.layerwise_lr_decay")
    top = max(by_name.values())
    return {name: decay ** (top + 1 - height) for name, height in by_name.items()}


def freeze(model: Any, layers: int | None) -> str:
    """Freezes the embeddings and the lowest layers; returns a line that counts the frozen parameters.

    Args:
        model: a model of transformers with a head; changed in place.
        layers: how many layers; None freezes the whole encoder.

    Raises:
        BertkitError: the model has fewer layers, or its layers are not numbered.
    """
    flag = "train.frozen_layers" if layers is not None else 'train.encoder = "frozen"'
    by_name = _numbered(model, flag) if layers else heights(model)
    top = max(by_name.values())
    if layers is not None and layers > top:
        raise BertkitError(f"train.frozen_layers is {layers}, and the model has {top} layers: give at most {top}")
    frozen = 0
    for name, parameter in model.named_parameters():
        if name in by_name and (layers is None or by_name[name] <= layers):
            parameter.requires_grad_(False)
            frozen += parameter.numel()
    what = "the encoder is" if layers is None else f"the embeddings and the lowest {layers} of {top} layers are"
    return f"{what} not trained: {frozen:,} of {model.num_parameters():,} parameters stay as they are ({flag})"


def rest_frozen(model: Any) -> None:
    """Switches off the dropout of modules that are not trained, so that they give the same states each time."""
    for module in model.modules():
        weights = list(module.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            module.eval()


def _numbered(model: Any, flag: str) -> dict[str, int]:
    by_name = heights(model)
    if not any(by_name.values()):
        raise BertkitError(
            f"{flag} needs an encoder whose layers have weights of their own: a {type(model).__name__} has no such layers"
        )
    return by_name
