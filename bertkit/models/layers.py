"""How high in an encoder each weight stands: for layers that are not trained, and for learning rates layer by layer."""

import re
from typing import Any

from bertkit.errors import BertkitError

_LAYER = re.compile(r"\.layers?\.(\d+)\.")


def heights(model: Any) -> dict[str, int]:
    """Of each parameter of a model's encoder how high it stands: 0 in the embeddings, n in the n-th layer from below.

    What reads the encoder's states, pooler and head, is left out. What lies between layers counts to the one before it.

    Args:
        model: of transformers, with a head.

    Example:
        >>> from transformers import BertConfig, BertForTokenClassification
        >>> sizes = BertConfig(vocab_size=8, hidden_size=4, num_hidden_layers=2, num_attention_heads=1)
        >>> heights(BertForTokenClassification(sizes))["bert.encoder.layer.1.output.dense.bias"]
        2
    """
    found: dict[str, int] = {}
    height = 0
    for name, _ in model.named_parameters():
        if name.startswith(f"{model.base_model_prefix}.") and "pooler" not in name:
            numbered = _LAYER.search(name)
            height = int(numbered[1]) + 1 if numbered else height
            found[name] = height
    return found


def rate_factors(model: Any, decay: float) -> dict[str, float]:
    """What the learning rate of each parameter is multiplied by: ``decay`` once a layer from the top, 1 where none is named.

    Of n layers the n-th has ``decay``, the first ``decay ** n``, the embeddings ``decay ** (n + 1)`` (Howard and Ruder
    2018, 3.2).

    Raises:
        BertkitError: the layers of the model share their weights, or are not numbered.
    """
    if decay == 1:
        return {}
    found = _numbered(model, "train.layerwise_lr_decay")
    top = max(found.values())
    return {name: decay ** (top + 1 - height) for name, height in found.items()}


def freeze(model: Any, layers: int | None) -> str:
    """Leaves the embeddings and the lowest layers out of training; returns the line that counts them.

    Args:
        layers: how many; None is all of them.

    Raises:
        BertkitError: the model has fewer layers, or none with numbers.
    """
    flag = "train.frozen_layers" if layers is not None else 'train.encoder = "frozen"'
    found = _numbered(model, flag) if layers else heights(model)
    top = max(found.values())
    if layers is not None and layers > top:
        raise BertkitError(f"train.frozen_layers is {layers}, and the model has {top} layers: give at most {top}")
    frozen = 0
    for name, parameter in model.named_parameters():
        if name in found and (layers is None or found[name] <= layers):
            parameter.requires_grad_(False)
            frozen += parameter.numel()
    what = "the encoder is" if layers is None else f"the embeddings and the lowest {layers} of {top} layers are"
    return f"{what} not trained: {frozen:,} of {model.num_parameters():,} parameters stay as they are ({flag})"


def rest_frozen(model: Any) -> None:
    """Switches the dropout of what is not trained off: its states are the same each time."""
    for module in model.modules():
        weights = list(module.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            module.eval()


def _numbered(model: Any, flag: str) -> dict[str, int]:
    found = heights(model)
    if not any(found.values()):
        raise BertkitError(
            f"{flag} needs an encoder whose layers have weights of their own: a {type(model).__name__} has no such layers"
        )
    return found
