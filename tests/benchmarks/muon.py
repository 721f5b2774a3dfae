"""Muon on the matrices of the layers, AdamW on all else: tried beside AdamW, and not in the package unless it wins."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from bertkit.settings.schema import TrainSettings
from bertkit.training import loop
from bertkit.training.optimizer import build_optimizer


@contextmanager
def muon(steps: int = 5) -> Iterator[None]:
    """Within it runs are trained so; ``steps`` are those of the Newton-Schulz iteration."""
    before = loop.build_optimizer
    loop.build_optimizer = partial(_build, steps=steps)  # type: ignore[assignment]
    try:
        yield
    finally:
        loop.build_optimizer = before


class _Both(torch.optim.AdamW):
    """AdamW, and Muon at the same rate: its ``match_rms_adamw`` makes its steps as large as AdamW's."""

    def __init__(self, groups: list[dict[str, Any]], matrices: torch.optim.Muon, **options: Any) -> None:
        super().__init__(groups, **options)
        self.matrices = matrices

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        for group in self.matrices.param_groups:
            group["lr"] = self.param_groups[0]["lr"]
        self.matrices.step()
        return super().step(closure)  # type: ignore[return-value]

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        self.matrices.zero_grad(set_to_none)


def _build(
    module: nn.Module, settings: TrainSettings, factors: Mapping[str, float] = MappingProxyType({}), *, steps: int
) -> torch.optim.Optimizer:
    plain = build_optimizer(module, settings, factors)
    hidden = {id(one) for name, one in module.named_parameters() if ".layer." in name and one.ndim == 2}
    matrices = torch.optim.Muon(
        [one for group in plain.param_groups for one in group["params"] if id(one) in hidden],
        lr=settings.learning_rate,
        weight_decay=settings.weight_decay,
        ns_steps=steps,
        adjust_lr_fn="match_rms_adamw",
    )
    groups = [
        {**group, "params": [one for one in group["params"] if id(one) not in hidden]} for group in plain.param_groups
    ]
    return _Both([group for group in groups if group["params"]], matrices, **_options(plain))


def _options(plain: torch.optim.AdamW) -> dict[str, Any]:
    return {name: plain.defaults[name] for name in ("lr", "betas", "eps", "fused")}
