"""A text, or two, with any number of classes."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.finetuning.heads.base import Batch
from bertkit.finetuning.heads.sequence import SequenceHead

if TYPE_CHECKING:
    import torch


class SeveralClasses(SequenceHead):
    """Any number of classes a row: binary cross-entropy of each class, averaged over the classes."""

    problem_type = "multi_label_classification"
    metric_names = ("micro_f1", "macro_f1", "accuracy")

    def loss(self, logits: "torch.Tensor", batch: Batch) -> "torch.Tensor":
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(logits, batch["labels"], reduction="sum") / logits.shape[-1]

    def shares(self, logits: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-logits.astype(np.float64)))

    def decided(self, shares: np.ndarray) -> np.ndarray:
        return (shares > 0.5).astype(np.float32)

    def named(self, label: Any) -> list[str]:
        return [name for name, on in zip(self.label_names, label, strict=True) if on]

    def encoded(self, predictions: list[dict[str, Any]]) -> np.ndarray:
        chosen = [[name in row["prediction"] for name in self.label_names] for row in predictions]
        return np.array(chosen, dtype=np.float32)
