"""AdamW as BERT uses it."""

import torch
from torch import nn

from bertkit.settings.schema import TrainSettings


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
