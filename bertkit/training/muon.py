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
                for parameter in group["params"]:
                    self._muon_step(parameter, group)
        self._adamw.param_groups = [group for group in self.param_groups if "momentum" not in group]
        self._adamw.state = self.state
        self._adamw.step()

    def _muon_step(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        gradient = parameter.grad
        if gradient is None:
            return
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        direction = orthogonal(gradient.lerp(mean, group["momentum"]), self._dtype)  # Nesterov's momentum
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        # The entries of an orthogonal matrix of r ≤ c rows and columns have the root mean square 1/√c.
        parameter.add_(direction, alpha=-group["lr"] * _ADAMS_STEP * max(parameter.shape) ** 0.5)


def orthogonal(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """The matrix with its singular values brought to about 1 (0.7 to 1.2), by five steps of Newton and Schulz.

    Args:
        matrix: of any shape.
        dtype: in which the products are computed.

    Returns:
        A matrix of the same shape and dtype.
    """
    a, b, c = _QUINTIC
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix  # XXᵀ is the smaller of the two products
    x = x.to(dtype)
    x = x / x.norm().clamp(min=1e-7)  # no singular value is above the norm of all
    for _ in range(_QUINTIC_STEPS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.T if is_tall else x).to(matrix.dtype)
