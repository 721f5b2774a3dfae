"""The optimizer, AdamW as BERT uses it or Muon, and gradient clipping."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bertkit.errors import BertkitError
from bertkit.hardware import choose_precision
from bertkit.settings.schema import TrainSettings
from bertkit.training.muon import Muon

if TYPE_CHECKING:
    from accelerate import Accelerator

_OF_A_LAYER = re.compile(r"[._]layers?\.\d+\.")


def build_optimizer(
    module: nn.Module, settings: TrainSettings, factors: Mapping[str, float] = MappingProxyType({})
) -> torch.optim.Optimizer:
    """Builds a fused AdamW that decays matrices only, not biases and LayerNorm (google-research/bert, optimization.py).

    With the setting ``optimizer`` "muon" the matrices of the layers learn by Muon. Frozen parameters (``requires_grad``
    off) are left out.

    Args:
        module: an objective.
        settings: the optimizer, its learning rate, weight decay and AdamW's other numbers.
        factors: factors of the learning rate by the name of a parameter of the objective's model; 1 for all others.

    Raises:
        BertkitError: Muon is asked for, and no matrix of a layer is trained.
    """
    check_optimizer(module, settings)
    groups: dict[tuple[bool, float, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            by_muon = learns_by_muon(name, parameter, settings)
            factor = factors.get(name.removeprefix("model."), 1.0)
            groups.setdefault((by_muon, factor, parameter.ndim > 1), []).append(parameter)
    built = [
        (by_muon, _group(some, factor, settings.weight_decay if is_matrix else 0.0))
        for (by_muon, factor, is_matrix), some in sorted(groups.items(), key=lambda group: group[0], reverse=True)
    ]
    matrices = [group for by_muon, group in built if by_muon]
    device = next(module.parameters()).device.type
    adamw = torch.optim.AdamW(
        [group for by_muon, group in built if not by_muon],
        lr=settings.learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_epsilon,
        fused=device in ("cpu", "cuda"),
    )
    return Muon(matrices, adamw, products_dtype(settings, device)) if matrices else adamw


def products_dtype(settings: TrainSettings, device: str) -> torch.dtype:
    """The dtype of Muon's products: bf16 where the run computes in it, else fp32.

    Args:
        settings: with the precision that is asked for, or "auto".
        device: "cpu", "cuda" or "mps".

    Raises:
        BertkitError: the device cannot compute in that precision.
    """
    return torch.bfloat16 if choose_precision(settings.mixed_precision, device) == "bf16" else torch.float32


def check_optimizer(module: nn.Module, settings: TrainSettings) -> None:
    """Refuses Muon where it has nothing to train.

    Raises:
        BertkitError: Muon is asked for, and no matrix of a layer is trained.
    """
    if settings.optimizer == "muon" and not any(
        learns_by_muon(*named, settings) for named in module.named_parameters()
    ):
        raise BertkitError(
            'train.optimizer = "muon" is for the matrices of an encoder\'s layers, and none is trained here: use "adamw"'
        )


def learns_by_muon(name: str, parameter: nn.Parameter, settings: TrainSettings) -> bool:
    """Whether Muon trains a parameter: a matrix of a layer that is not frozen, where the settings ask for it."""
    is_matrix = parameter.requires_grad and parameter.ndim == 2
    return settings.optimizer == "muon" and is_matrix and _OF_A_LAYER.search(name) is not None


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Sets the learning rate of each parameter group: the given rate times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_factor", 1.0)


def _group(parameters: list[nn.Parameter], factor: float, weight_decay: float) -> dict[str, Any]:
    """A parameter group; its factor of the learning rate is stored, and saved, with it."""
    group: dict[str, Any] = {"params": parameters, "weight_decay": weight_decay}
    return group if factor == 1 else group | {"lr_factor": factor}


def clip_grad_norm(accelerator: "Accelerator", module: nn.Module, limit: float) -> float:
    """Scales the gradient down where its norm exceeds the limit; returns the norm before.

    ``Accelerator.clip_grad_norm_`` multiplies every gradient even where the norm is within the limit, so it is used only
    for sharded weights.
    """
    if accelerator.is_fsdp2:
        return float(accelerator.clip_grad_norm_(module.parameters(), limit))
    accelerator.unscale_gradients()
    trained = [parameter for parameter in module.parameters() if parameter.grad is not None]
    norm = nn.utils.get_total_norm([parameter.grad for parameter in trained])  # type: ignore[misc]
    if norm > limit:
        nn.utils.clip_grads_with_norm_(trained, limit, norm)
    return float(norm)
