"""AdamW as BERT uses it, and the clipping of its gradient."""

from typing import TYPE_CHECKING

import torch
from torch import nn

from bertkit.settings.schema import TrainSettings

if TYPE_CHECKING:
    from accelerate import Accelerator


def build_optimizer(module: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """Fused AdamW; weight decay on matrices only, not on biases and LayerNorm (google-research/bert, optimization.py).

    Parameters that are not trained (``requires_grad`` off) are left out.
    """
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for parameter in module.parameters():
        if parameter.requires_grad:
            (decayed if parameter.ndim > 1 else plain).append(parameter)
    device = next(module.parameters()).device.type
    return torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        betas=(settings.adam_beta1, settings.adam_beta2),
        eps=settings.adam_epsilon,
        fused=device in ("cpu", "cuda"),
    )


def clip_grad_norm(accelerator: "Accelerator", module: nn.Module, limit: float) -> float:
    """The norm of the whole gradient, which is scaled down to the limit where it is over it.

    ``Accelerator.clip_grad_norm_`` multiplies every gradient in any case; it is left to that where weights are sharded.
    """
    if accelerator.is_fsdp2:
        return float(accelerator.clip_grad_norm_(module.parameters(), limit))
    accelerator.unscale_gradients()
    trained = [parameter for parameter in module.parameters() if parameter.grad is not None]
    norm = nn.utils.get_total_norm([parameter.grad for parameter in trained])  # type: ignore[misc]
    if norm > limit:
        nn.utils.clip_grads_with_norm_(trained, limit, norm)
    return float(norm)
