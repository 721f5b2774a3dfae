"""Regression: a number for a text or a pair."""

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.finetuning.features import Batch, Columns, Row, Split
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.rows.cells import as_number
from bertkit.finetuning.scale import Scale

if TYPE_CHECKING:
    import torch


_FINE = 1e-4
"""The share of their range by which numbers may be off without a word."""


class Number(SequenceHead):
    """A number per row, with the squared error as loss.

    In training the numbers are scaled to mean 0 and deviation 1, so that prices in thousands are learned as easily as
    grades. A checkpoint stores the scale in config.json ("bertkit_scale"); a finished model gives the numbers themselves.
    """

    problem_type = "regression"
    simplest = "always saying the mean"
    scale: Scale = Scale()
    metric_names = ("pearson", "spearmanr", "mse")
    lower_is_better = frozenset({"mse"})
    purpose = ""

    def __init__(self, label_names: Sequence[str] = ()) -> None:  # noqa: ARG002 (transformers names its one output)
        super().__init__()

    def _with(self, config: dict[str, Any]) -> "Number":
        return self._scaled(Scale(*config.get("bertkit_scale", Scale())))

    def model_config(self) -> dict[str, Any]:
        return super().model_config() | ({} if self.scale == Scale() else {"bertkit_scale": list(self.scale)})

    def left_out(self, rows: Sequence[Row], columns: Columns, split: Split) -> list[str]:
        exact = [as_number(row.get(name)) for _, row in rows for name in columns.get("label", ())]
        numbers = np.array([one for one in exact if one is not None])
        off = float(np.abs(numbers - numbers.astype(np.float32)).max(initial=0))
        spread = float(np.ptp(numbers)) if off else 0.0
        if off <= _FINE * spread:
            return []
        return [
            f"labels in {split.name} are off by up to {off:.3g}, as 32-bit numbers have 7 digits, and they lie within "
            f"{spread:.3g}: subtract a constant from them, and add it to the predictions"
        ]

    def for_training(self, split: Split, model: Any) -> "Number":
        from bertkit.models.headed import last_layer

        return self if last_layer(model) is None else self._scaled(Scale.of(split.labels))

    def finished(self, model: Any) -> "Number":
        from bertkit.models.headed import last_layer

        layer = last_layer(model)
        if layer is not None and self.scale != Scale():
            self.scale.fold_into(layer)
            del model.config.bertkit_scale
        return self._scaled(Scale())

    def _scaled(self, scale: Scale) -> "Number":
        other = copy(self)
        other.scale = scale
        return other

    def loss(self, logits: "torch.Tensor", batch: Batch) -> "torch.Tensor":
        from torch.nn.functional import mse_loss

        targets = (batch["labels"] - self.scale.mean) / self.scale.deviation
        return mse_loss(logits.squeeze(-1), targets, reduction="sum")

    def shares(self, logits: np.ndarray) -> np.ndarray:
        return self.scale.mean + self.scale.deviation * logits.astype(np.float64)

    def answers(self, shares: np.ndarray) -> list[dict[str, Any]]:
        return [{"prediction": number} for number in self.decided(shares).tolist()]

    def decided(self, shares: np.ndarray) -> np.ndarray:
        return shares[:, 0]

    def named(self, label: Any) -> float:
        return float(label)

    def encoded(self, predictions: list[dict[str, Any]]) -> np.ndarray:
        return np.array([row["prediction"] for row in predictions])

    def details(
        self, predictions: list[dict[str, Any]], split: Split, metrics: Sequence[str], seed: int
    ) -> dict[str, Any]:
        """Adds to the interval the squared error of always answering the mean of these rows, which is their variance."""
        from bertkit.finetuning.figures import baseline

        return super().details(predictions, split, metrics, seed) | {"mean_baseline_mse": baseline("mse", split.labels)}
