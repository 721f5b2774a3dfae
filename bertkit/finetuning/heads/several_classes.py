"""Multi-label classification: any number of classes for a text or a pair."""

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.calibration import best_threshold
from bertkit.finetuning.features import Batch, Split
from bertkit.finetuning.heads.sequence import SequenceHead

if TYPE_CHECKING:
    import torch


_HALF = 0.5
_FEWEST_ROWS = 10
"""The threshold of a class is fitted if it has at least so many held-out rows: fewer would give a threshold by chance."""
_KEY = "bertkit_thresholds"


class SeveralClasses(SequenceHead):
    """Any number of classes per row, with the binary cross-entropy, averaged over the classes, as loss.

    Attributes:
        thresholds: for each class, the probability above which it is predicted.
    """

    problem_type = "multi_label_classification"
    simplest = "always saying the same classes"
    metric_names = ("micro_f1", "macro_f1", "accuracy")

    def __init__(self, label_names: Sequence[str] = ()) -> None:
        super().__init__(label_names)
        self.thresholds = [_HALF] * len(self.label_names)

    def _with(self, config: dict[str, Any]) -> "SeveralClasses":
        kept = config.get(_KEY, self.thresholds)
        if not (
            isinstance(kept, list) and len(kept) == len(self.label_names) and all(isinstance(t, float) for t in kept)
        ):
            raise BertkitError(
                f"{_KEY} in config.json has to be a list with a number for each of the classes, not {kept!r}"
            )
        return self._at(kept)

    def _at(self, thresholds: list[float]) -> Self:
        other = copy(self)
        other.thresholds = thresholds
        return other

    def in_order(self, names: Sequence[str], places: Sequence[int]) -> Self:
        return super().in_order(names, places)._at([self.thresholds[place] for place in places])

    def model_config(self) -> dict[str, Any]:
        fitted = any(one != _HALF for one in self.thresholds)
        return super().model_config() | ({_KEY: self.thresholds} if fitted else {})

    def tuned(self, predictions: list[dict[str, Any]], split: Split) -> "SeveralClasses":
        """The same head with the threshold for each class that gives the best F1 on these rows."""
        shares, enough = self.probabilities(predictions), split.labels.sum(axis=0) >= _FEWEST_ROWS
        thresholds = [
            best_threshold(column, labels) if fits else _HALF
            for column, labels, fits in zip(shares.T, split.labels.T, enough, strict=True)
        ]
        if not enough.all():
            others = "; the others from what gives the best F1 there" if enough.any() else ""
            console.note(
                f"too few rows in {split.name} to fit thresholds (under {_FEWEST_ROWS}): {(~enough).sum():,} of {len(enough):,} "
                f"classes, which are predicted from a probability of {_HALF} on{others}"
            )
        return self._at(thresholds)

    def loss(self, logits: "torch.Tensor", batch: Batch) -> "torch.Tensor":
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(logits, batch["labels"], reduction="sum") / logits.shape[-1]

    def shares(self, logits: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-logits.astype(np.float64)))

    def decided(self, shares: np.ndarray) -> np.ndarray:
        return (shares > np.array(self.thresholds)).astype(np.float32)

    def named(self, label: Any) -> list[str]:
        return [name for name, on in zip(self.label_names, label, strict=True) if on]

    def encoded(self, predictions: list[dict[str, Any]]) -> np.ndarray:
        chosen = [[name in row["prediction"] for name in self.label_names] for row in predictions]
        return np.array(chosen, dtype=np.float32)

    def details(
        self, predictions: list[dict[str, Any]], split: Split, metrics: Sequence[str], seed: int
    ) -> dict[str, Any]:
        """Adds to the interval the thresholds, and the figures without them, for in `bertkit finetune` the thresholds were
        fitted on the same rows."""
        from bertkit.finetuning.figures import compute

        plain = SeveralClasses(self.label_names)
        at_half = compute(metrics, plain.decided(self.probabilities(predictions)), split.labels)
        return {
            **super().details(predictions, split, metrics, seed),
            "thresholds": dict(zip(self.label_names, self.thresholds, strict=True)),
            **{f"eval_{name}_at_half": value for name, value in at_half.items()},
        }
