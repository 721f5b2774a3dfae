"""Sums over a step or an evaluation, and the figures that are made of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from accelerate import Accelerator

Sums = dict[str, torch.Tensor]
"""Scalar tensors by name: ``p_loss`` and ``p_correct`` for each part ``p`` of the loss (see ``job.Objective``)."""


def reduced(accelerator: "Accelerator", sums: Sums) -> dict[str, float]:
    """The sums over all ranks, as plain numbers."""
    stacked = torch.stack([value.float() for value in sums.values()])
    total = accelerator.reduce(stacked, "sum") if accelerator.num_processes > 1 else stacked
    return dict(zip(sums, total.tolist(), strict=True))


def part_of(name: str) -> str:
    """The part of the loss that a sum belongs to: "mlm" of "mlm_loss", "" of "loss"."""
    return name.rpartition("_")[0]


def means(sums: Mapping[str, float], counts: Mapping[str, float]) -> dict[str, float]:
    """The means of sums: ``loss``, and for each part ``p`` whose count is not 0 ``p_loss`` and ``p_accuracy``."""
    figures: dict[str, float] = {"loss": 0.0}
    for name, value in sums.items():
        mean = value / counts[part_of(name)] if counts[part_of(name)] else None
        if mean is None:
            continue
        if name.endswith("correct"):
            figures[name.removesuffix("correct") + "accuracy"] = mean
        else:
            figures["loss"] += mean
            if name != "loss":
                figures[name] = mean
    return figures


def shown_figures(results: dict[str, float]) -> str:
    """The figures of an evaluation on one line: accuracies in per cent, the rest to three digits."""
    shown = []
    for name, value in results.items():
        if name.startswith("eval_") and name != "eval_perplexity":
            figure = f"{value:.1%}" if "accuracy" in name else f"{value:.3f}"
            shown.append(f"{name.removeprefix('eval_').replace('_', ' ')} {figure}")
    return "held-out " + " · ".join(shown)
