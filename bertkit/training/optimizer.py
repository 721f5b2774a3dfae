"""AdamW as BERT uses it, and gradient clipping."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bertkit.settings.schema import TrainSettings

if TYPE_CHECKING:
    from accelerate import Accelerator


def build_optimizer(
    module: nn.Module, settings: TrainSettings, factors: Mapping[str, float] = MappingProxyType({})
) -> torch.optim.AdamW:
    """Builds a fused AdamW that decays matrices only, not biases and LayerNorm (google-research/bert, optimization.py).

    Frozen parameters (``requires_grad`` off) are left out.

    Args:
        module: an objective.
        settings: learning rate, weight decay and AdamW's other numbers.
        factors: factors of the learning rate by the name of a parameter of the objective's model; 1 for all others.
    """
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            factor = factors.get(name.removeprefix("model."), 1.0)
            groups.setdefault((factor, parameter.ndim > 1), []).append(parameter)
    device = next(module.parameters()).device.type
    return torch.optim.AdamW(
        [
            _group(some, factor, settings.weight_decay if is_matrix else 0.0)
            for (factor, is_matrix), some in sorted(groups.items(), key=lambda group: group[0], reverse=True)
        ],
        lr=settings.learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_epsilon,
        fused=device in ("cpu", "cuda"),
    )


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
