"""Classification: one class for a text or a pair."""

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.finetuning.features import Batch, Split
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.runtime.numpy_bert import softmax

if TYPE_CHECKING:
    import torch


class OneClass(SequenceHead):
    """One class per row, with the cross-entropy as loss.

    Attributes:
        class_weights: float32 ``[C]`` for a weighted cross-entropy, which is divided by the sum of the weights; or None.
    """

    problem_type = "single_label_classification"
    simplest = "always saying the most frequent class"
    class_weights: np.ndarray | None = None
    says_one_class = True

    def __init__(self, label_names: Sequence[str] = ()) -> None:
        super().__init__(label_names)
        self.metric_names = ("accuracy", "f1" if len(self.label_names) == 2 else "macro_f1")

    def count(self, batch: Batch) -> float:
        import torch

        if self.class_weights is None:
            return super().count(batch)
        return float(torch.from_numpy(self.class_weights)[batch["labels"]].sum())

    def loss(self, logits: "torch.Tensor", batch: Batch) -> "torch.Tensor":
        import torch
        from torch.nn.functional import cross_entropy

        weights = None if self.class_weights is None else torch.from_numpy(self.class_weights).to(logits)
        return cross_entropy(logits, batch["labels"], weight=weights, reduction="sum")

    def balanced(self, split: Split) -> "OneClass":
        from sklearn.utils.class_weight import compute_class_weight

        other = copy(self)
        present = np.unique(split.labels)
        # The weight of a class without rows is never used.
        other.class_weights = np.ones(len(self.label_names), np.float32)
        other.class_weights[present] = compute_class_weight("balanced", classes=present, y=split.labels)
        return other

    def shares(self, logits: np.ndarray) -> np.ndarray:
        return softmax(logits.astype(np.float64))

    def decided(self, shares: np.ndarray) -> np.ndarray:
        most_likely: np.ndarray = shares.argmax(axis=1)
        return most_likely

    def named(self, label: Any) -> str:
        return self.label_names[int(label)]

    def encoded(self, predictions: list[dict[str, Any]]) -> np.ndarray:
        ids = {name: id_ for id_, name in enumerate(self.label_names)}
        return np.array([ids[row["prediction"]] for row in predictions], dtype=np.int64)

    def details(
        self, predictions: list[dict[str, Any]], split: Split, metrics: Sequence[str], seed: int
    ) -> dict[str, Any]:
        """Adds to the interval figures for uneven classes, and the confusion matrix."""
        from bertkit.finetuning.calibration import calibration_error
        from bertkit.finetuning.confusion import confusion
        from bertkit.finetuning.figures import baseline, compute

        predicted = self.encoded(predictions)
        errors = confusion(predicted, split.labels, self.label_names)
        there = {name: one for name, one in errors["per_class"].items() if one["support"]}
        least = min(there, key=lambda name: there[name]["support"])
        return {
            **super().details(predictions, split, metrics, seed),
            **(
                {}
                if "macro_f1" in metrics
                else {"eval_macro_f1": compute(["macro_f1"], predicted, split.labels)["macro_f1"]}
            ),
            "eval_calibration_error": calibration_error(self.probabilities(predictions), split.labels),
            **({"f1_class": self.label_names[1]} if len(self.label_names) == 2 else {}),
            "least_class": {"class": least, "rows": there[least]["support"], "recall": there[least]["recall"]},
            "majority_baseline": baseline("accuracy", split.labels),
            "confusion": errors,
        }

    def has_collapsed(self, results: dict[str, Any], headline: str) -> bool:
        """Whether the model predicts a single class, or is no better than always answering the most frequent one."""
        predicted = [any(column) for column in zip(*results["confusion"]["matrix"], strict=True)]
        no_better = headline == "accuracy" and results["eval_accuracy"] <= results["majority_baseline"]
        return sum(predicted) == 1 or no_better
