"""Sums over a step or an evaluation, and the figures that people read."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator

Sums = dict[str, torch.Tensor]
"""Scalars by name: ``p_loss`` and ``p_correct`` of each part ``p`` of a loss (see ``job.Objective``)."""


def reduced(accelerator: "Accelerator", sums: Sums) -> dict[str, float]:
    """Sums over all ranks, as plain numbers."""
    stacked = torch.stack([value.float() for value in sums.values()])
    total = accelerator.reduce(stacked, "sum") if accelerator.num_processes > 1 else stacked
    return dict(zip(sums, total.tolist(), strict=True))


def part_of(name: str) -> str:
    """The part of the loss that a sum belongs to: "mlm" of "mlm_loss", "" of "loss"."""
    return name.rpartition("_")[0]


def means(sums: Mapping[str, float], counts: Mapping[str, float]) -> dict[str, float]:
    """Means out of sums: ``loss`` and, for each part that was counted, ``p_loss`` and ``p_accuracy``."""
    found: dict[str, float] = {"loss": 0.0}
    for name, value in sums.items():
        mean = value / counts[part_of(name)] if counts[part_of(name)] else None
        if mean is None:
            continue
        if name.endswith("correct"):
            found[name.removesuffix("correct") + "accuracy"] = mean
        else:
            found["loss"] += mean
            if name != "loss":
                found[name] = mean
    return found


def shown_figures(results: dict[str, float]) -> str:
    """An evaluation on one line: shares as per cent, the rest to three digits."""
    shown = []
    for name, value in results.items():
        if name.startswith("eval_") and name != "eval_perplexity":
            figure = f"{value:.1%}" if "accuracy" in name else f"{value:.3f}"
            shown.append(f"{name.removeprefix('eval_').replace('_', ' ')} {figure}")
    return "held-out " + " · ".join(shown)
