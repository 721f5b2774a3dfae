"""Dropout whose random numbers cost little on a CPU."""

import torch
from torch import nn

_VALUES = 2**16


def draw_cheaply(model: nn.Module) -> None:
    """Gives the model's dropout layers ``CheapDropout`` in place of torch's."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = CheapDropout


class CheapDropout(nn.Dropout):
    """``nn.Dropout`` by ``drop``."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (its name in nn.Dropout)
        return drop(input, self.p) if self.training else input


def drop(states: torch.Tensor, rate: float) -> torch.Tensor:
    """Zeroes a share of the numbers and scales the others up, so that the mean stays.

    On a CPU one 64-bit draw decides for four numbers, by 16 bits each, where torch's own takes one draw after another:
    a million numbers take 1.6 ms instead of 6.4 (two cores, fp32, 2026-11-24). The rate is rounded to 1/65,536, and the
    others are scaled by what it then is. Elsewhere it is torch's own.
    """
    dropped = round(rate * _VALUES)
    if states.device.type != "cpu" or dropped in (0, _VALUES):
        return nn.functional.dropout(states, rate)
    draws = torch.empty(-(-states.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = draws.view(torch.int16)[: states.numel()].view(states.shape) >= dropped - _VALUES // 2
    return (states * kept.to(states.dtype)).mul_(_VALUES / (_VALUES - dropped))
