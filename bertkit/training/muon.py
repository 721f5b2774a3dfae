"""Muon (Jordan et al. 2024) on the matrices of the layers, AdamW on all else."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn, optim

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""a, b, c of the step X → aX + b(XXᵀ)X + c(XXᵀ)²X: the steepest at singular values of 0 that brings all of them into 0.7
to 1.2 within five steps (kellerjordan.github.io/posts/muon)."""
_QUINTIC_STEPS = 5
_MOMENTUM = 0.95
_TOGETHER = 2**24
"""Entries of matrices that are made orthogonal together at most: 64 MiB in fp32, and as much again for each product."""
_ADAMS_STEP = 0.2
"""The root mean square of AdamW's step in units of the learning rate, as it is seen in training (Liu et al. 2025,
arXiv 2502.16982, 2.2). Muon's step is made as large, so that one learning rate suits both."""


class Muon(optim.Optimizer):
    """AdamW, and for some matrices Muon: the momentum of the gradient, made orthogonal, is the direction of the step.

    It differs from ``torch.optim.Muon`` with ``adjust_lr_fn="match_rms_adamw"`` only in being one optimizer with AdamW,
    so that a checkpoint has one state, and in the precision of its products, which torch's always computes in bf16: on a
    CPU without bf16 that takes three to five times as long as fp32, on one with it two fifths of the time.

    Args:
        matrices: parameter groups with ``weight_decay``, of matrices alone.
        adamw: the optimizer of all other parameters; its groups become groups of this one.
        dtype: of the products that make a matrix orthogonal: ``torch.bfloat16`` or ``torch.float32``.
    """

    def __init__(self, matrices: Sequence[dict[str, Any]], adamw: optim.AdamW, dtype: torch.dtype) -> None:
        self._adamw, self._dtype = adamw, dtype
        own = {"lr": adamw.defaults["lr"], "momentum": _MOMENTUM}
        super().__init__([*(group | own for group in matrices), *adamw.param_groups], {})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002 (torch names it)
        """Makes a step of both."""
        for group in self.param_groups:
            if "momentum" in group:
                for some in of_one_shape([one for one in group["params"] if one.grad is not None]):
                    self._muon_step(some, group)
        self._adamw.param_groups = [group for group in self.param_groups if "momentum" not in group]
        self._adamw.state = self.state
        self._adamw.step()

    def _muon_step(self, parameters: Sequence[nn.Parameter], group: dict[str, Any]) -> None:
        means = [self._mean(parameter, group["momentum"]) for parameter in parameters]
        shape = parameters[0].shape
        for parameter, direction in zip(parameters, orthogonal(torch.stack(means), self._dtype), strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            # The entries of an orthogonal matrix of r ≤ c rows and columns have the root mean square 1/√c.
            parameter.add_(direction, alpha=-group["lr"] * _ADAMS_STEP * max(shape) ** 0.5)

    def _mean(self, parameter: nn.Parameter, momentum: float) -> Tensor:
        """The gradient with Nesterov's momentum."""
        gradient = parameter.grad
        assert gradient is not None
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(mean, momentum)


def of_one_shape(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Matrices that are made orthogonal together, which takes about two thirds of the time that they take one by one."""
    shapes: dict[torch.Size, list[nn.Parameter]] = {}
    for parameter in parameters:
        shapes.setdefault(parameter.shape, []).append(parameter)
    together = []
    for shape, some in shapes.items():
        size = max(1, _TOGETHER // max(1, shape.numel()))
        together += [some[begin : begin + size] for begin in range(0, len(some), size)]
    return together


def orthogonal(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Matrices with their singular values brought to about 1 (0.7 to 1.2), by five steps of Newton and Schulz.

    Args:
        matrices: ``[N, rows, columns]``.
        dtype: in which the products are computed.

    Returns:
        Matrices of the same shape and dtype.
    """
    a, b, c = _QUINTIC
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices  # XXᵀ is the smaller of the two products
    x = x.to(dtype)
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)  # no singular value is above the norm of all
    for _ in range(_QUINTIC_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if is_tall else x).to(matrices.dtype)
