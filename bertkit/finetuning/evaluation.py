"""A classifier's figures on whole splits, over all ranks, each row exactly once."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.finetuning.batches import Encoded, Encoder
from bertkit.finetuning.data import Split
from bertkit.finetuning.predictor import decide, logits_for, probabilities

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass(frozen=True)
class Scored:
    """A split with a classifier's logits, float32 ``[rows, classes]``, in the order of its rows."""

    split: Split
    logits: np.ndarray


@dataclass
class SplitEvaluator:
    """Evaluates an objective on validation splits; remembers the logits of its last call.

    Attributes:
        splits: the first one's figures are plain ``eval_<metric>``, those of the others carry the split's name.
        metrics: names in ``finetuning.metrics``.
    """

    accelerator: "Accelerator"
    splits: list[Split]
    encoder: Encoder
    metrics: tuple[str, ...]
    problem_type: str
    scored: list[Scored] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._encoded: list[Encoded] = [self.encoder(split.texts) for split in self.splits]

    def __call__(self, objective: Any, _steps_done: int) -> dict[str, float]:
        self.scored = [
            Scored(split, self._logits(objective, encoded))
            for split, encoded in zip(self.splits, self._encoded, strict=True)
        ]
        found: dict[str, float] = {}
        for number, scored in enumerate(self.scored):
            suffix = "" if number == 0 else f"_{scored.split.name}"
            figures = split_figures(scored, self.metrics, self.problem_type)
            found |= {f"eval_{name}{suffix}": value for name, value in figures.items()}
        return found

    def _logits(self, objective: Any, encoded: Encoded) -> np.ndarray:
        from accelerate.utils import gather_object

        accelerator = self.accelerator
        # In fp32 whatever the run's precision: these are the figures that the saved model has everywhere.
        mine = logits_for(
            objective.model,
            encoded,
            self.encoder.pad_id,
            accelerator.device,
            accelerator.process_index,
            accelerator.num_processes,
        )
        ordered = np.zeros((len(encoded.ids), objective.model.config.num_labels), dtype=np.float32)
        for rows, logits in gather_object([mine]):
            ordered[rows] = logits
        return ordered


def split_figures(scored: Scored, metrics: tuple[str, ...], problem_type: str) -> dict[str, float]:
    """``loss`` (without class weights) and the metrics of one split."""
    import torch

    from bertkit.finetuning.metrics import compute
    from bertkit.finetuning.objective import loss_sum

    labels = scored.split.labels
    assert labels is not None
    logits = torch.from_numpy(scored.logits).double()
    exact = torch.from_numpy(labels)
    total = loss_sum(logits, exact.double() if exact.is_floating_point() else exact, problem_type)
    loss = float(total) / len(labels)
    return {"loss": loss, **compute(metrics, decide(scored.logits, problem_type), labels)}


def prediction_rows(scored: Scored, label_names: list[str], problem_type: str) -> list[dict[str, Any]]:
    """One plain object a row: index, prediction, probabilities (or the number), and the true label where known."""
    predictions = decide(scored.logits, problem_type)
    shares = probabilities(scored.logits, problem_type)
    rows: list[dict[str, Any]] = []
    for index in range(len(predictions)):
        row: dict[str, Any] = {"index": index}
        if problem_type == "regression":
            row["prediction"] = float(predictions[index])
        else:
            row["prediction"] = _named(predictions[index], label_names)
            row["probabilities"] = dict(zip(label_names, shares[index].tolist(), strict=True))
        if scored.split.labels is not None:
            label = scored.split.labels[index]
            row["label"] = float(label) if problem_type == "regression" else _named(label, label_names)
        rows.append(row)
    return rows


def _named(label: Any, names: list[str]) -> str | list[str]:
    """A class id as its name, or a 0/1 row as the names of its classes."""
    if np.ndim(label) == 0:
        return names[int(label)]
    return [name for name, on in zip(names, label, strict=True) if on]
