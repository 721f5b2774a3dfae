"""Evaluates a model on whole splits, with all ranks, and each row exactly once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit import console
from bertkit.finetuning.batches import batches_in_order
from bertkit.finetuning.features import Features, Split
from bertkit.finetuning.heads.base import Head

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from bertkit.finetuning.windows import RowEncoder


@dataclass(frozen=True)
class Scored:
    """A split with labels, with a model's predictions and figures.

    Attributes:
        split: the rows.
        figures: "loss" (without class weights) and the metrics.
        predictions: one plain object per row, as ``Head.decode`` returns it.
    """

    split: Split
    figures: dict[str, float]
    predictions: list[dict[str, Any]]


def scored(
    head: Head, logits: Sequence[np.ndarray], features: Features, split: Split, metrics: Sequence[str]
) -> Scored:
    """Decodes and scores the logits of the units of a split."""
    predictions = head.decode(logits, features, split)
    figures = {"loss": _loss(head, logits, features), **head.score(predictions, split, metrics)}
    return Scored(split, figures, predictions)


def _loss(head: Head, logits: Sequence[np.ndarray], features: Features) -> float:
    """The loss, in fp64 and as one sum."""
    import torch

    targets = head.tensors(features, range(len(features.units)))
    exact = {name: one.double() if one.is_floating_point() else one for name, one in targets.items()}
    total = head.loss(torch.from_numpy(head.joined(logits)).double(), exact)
    return float(total) / (head.count(targets) or 1)


def figures_of(splits: Sequence[Scored]) -> dict[str, float]:
    """``eval_loss`` and ``eval_<metric>`` of the first split; for the others the split's name is added to the names."""
    return {
        f"eval_{name}{f'_{one.split.name}' if number else ''}": value
        for number, one in enumerate(splits)
        for name, value in one.figures.items()
    }


def results_of(splits: Sequence[Scored], head: Head, metrics: Sequence[str], seed: int) -> dict[str, Any]:
    """The contents of ``eval_results.json``: the figures of all splits, with the details of the first one."""
    if not splits:
        return {}
    first = splits[0]
    details = head.details(first.predictions, first.split, metrics, seed)
    return {**figures_of(splits), "eval_rows": len(first.split.texts), **details}


@dataclass
class SplitEvaluator:
    """Evaluates an objective on validation splits, and remembers the result of its last call.

    Attributes:
        splits: the splits; the figures of the first are named ``eval_<metric>``, those of the others with the split's name.
        metrics: names of metrics that the head knows.
    """

    accelerator: "Accelerator"
    splits: list[Split]
    encoder: "RowEncoder"
    metrics: tuple[str, ...]
    head: Head
    scored: list[Scored] = field(default_factory=list)
    _said: list[list[np.ndarray]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.features: list[Features] = [self.head.features(split, self.encoder) for split in self.splits]

    def __call__(
        self, objective: Any, _steps_done: int, between: Callable[[], object] = lambda: None
    ) -> dict[str, float]:
        """The figures of all splits; ``between`` as for ``logits_for``."""
        self._said = [self._logits(objective.model, features, between) for features in self.features]
        return self._score()

    def tune(self) -> Head:
        """The head with what it fits on the first split; the result of the last call is computed again with it."""
        tuned = self.head.tuned(self.scored[0].predictions, self.scored[0].split)
        if tuned is not self.head:
            self.head = tuned
            self._score()
        return tuned

    def calibrate(self, model: Any) -> dict[str, float]:
        """Divides a model's last layer by the best temperature for the first split, and computes the last result again. A line
        says what that changes, or why there is no best temperature.

        Returns:
            The temperature, and the calibration error before.
        """
        from bertkit.finetuning.calibration import best_temperature
        from bertkit.models.headed import divide_logits

        name = "eval_calibration_error"
        before = self._details()[name]
        temperature, why_not = best_temperature(self.head.joined(self._said[0]), self.features[0].targets)
        split = console.plain(self.splits[0].name)
        if why_not:
            console.note(f"temperature stays 1 (train.calibrate), as of {split} {why_not}")
        else:
            divide_logits(model, temperature)
            self._said = [[one / np.float32(temperature) for one in logits] for logits in self._said]
            self._score()
            after = self._details()[name]
            console.note(
                f"temperature {temperature:.3f} (train.calibrate): calibration error in {split} {before:.4f} → {after:.4f}"
            )
        return {"temperature": temperature, f"{name}_before": before}

    def _details(self) -> dict[str, Any]:
        return self.head.details(self.scored[0].predictions, self.splits[0], self.metrics, 0)

    def _score(self) -> dict[str, float]:
        self.scored = [
            scored(self.head, logits, features, split, self.metrics)
            for logits, features, split in zip(self._said, self.features, self.splits, strict=True)
        ]
        return figures_of(self.scored)

    def _logits(self, model: Any, features: Features, between: Callable[[], object]) -> list[np.ndarray]:
        from accelerate.utils import gather_object

        accelerator = self.accelerator
        # In fp32 whatever the run's precision, so that the saved model has the same figures everywhere.
        mine = logits_for(
            model,
            self.head,
            features,
            self.encoder.pad_id,
            accelerator.device,
            accelerator.process_index,
            accelerator.num_processes,
            between,
        )
        return in_order(gather_object(mine))


def in_order(numbered: Sequence[tuple[int, np.ndarray]]) -> list[np.ndarray]:
    """The arrays of (number, array) pairs, ordered by number."""
    return [array for _, array in sorted(numbered, key=lambda one: one[0])]


def logits_for(
    model: Any,
    head: Head,
    features: Features,
    pad_id: int,
    device: "torch.device",
    rank: int = 0,
    ranks: int = 1,
    between: Callable[[], object] = lambda: None,
) -> list[tuple[int, np.ndarray]]:
    """The units of this rank with their logits, float32.

    Args:
        model: the model, in evaluation mode and on the device.
        head, features, pad_id, device, rank, ranks, between: as for ``batches_in_order``.
    """
    import torch

    by_unit: list[tuple[int, np.ndarray]] = []
    with torch.inference_mode():
        for units, batch in batches_in_order(features, head, pad_id, device, rank, ranks, between):
            logits = head.parted(head.logits(model, batch).float().cpu(), batch)
            by_unit += zip(units, (one.numpy() for one in logits), strict=True)
    return by_unit
