"""The common part of heads for a text or a pair with one class, several classes, or a number.

See Devlin et al. 2018, sections 3.2 and 4.1. The losses are those of transformers' ``ForSequenceClassificationLoss``,
summed over rows. Shapes: N features in a batch, R rows, C classes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from bertkit.errors import BertkitError
from bertkit.finetuning.baseline import beside
from bertkit.finetuning.features import Batch, Columns, Features, Row, Split
from bertkit.finetuning.heads.base import Head, label_config
from bertkit.finetuning.rows.cells import class_name
from bertkit.finetuning.rows.columns import Command, option
from bertkit.finetuning.rows.kinds import as_text, refuse_other_tasks
from bertkit.finetuning.rows.labels import Labelling, find_labelling
from bertkit.finetuning.rows.table_check import check_table
from bertkit.models.folder import class_names
from bertkit.settings.schema import TaskSettings

if TYPE_CHECKING:
    import torch

    from bertkit.finetuning.windows import RowEncoder


class SequenceHead(Head):
    """The base of the three heads; ``fit`` and ``of_model`` choose among them.

    Args:
        label_names: the classes by id; empty for a number.
    """

    name = "sequence"
    auto_class = "AutoModelForSequenceClassification"
    pipeline_tag = "text-classification"
    roles: ClassVar = {
        "text": (
            ("sentence1", "sentence2"),
            ("premise", "hypothesis"),
            ("question1", "question2"),
            ("question", "sentence"),
            ("question", "passage"),
            ("question", "context"),
            ("text_a", "text_b"),
            ("text", "text_pair"),
            *((name,) for name in ("text", "sentence", "review", "content", "document", "comment", "body")),
        ),
        "label": tuple(
            (name,) for name in ("label", "labels", "class", "target", "category", "score", "rating", "sentiment")
        ),
    }
    problem_type: ClassVar[str]
    """As in ``transformers.PretrainedConfig``."""
    simplest: ClassVar[str]
    """The baseline that gives the same answer for all rows, in words, as in "no better than …"."""
    texts = 0
    """How many texts a row has, 1 or 2; 0 if that is unknown."""

    def __init__(self, label_names: Sequence[str] = ()) -> None:
        self.label_names = list(label_names)

    @classmethod
    def check(cls, row: Row, columns: Columns) -> None:
        refuse_other_tasks(*row, columns.get("text", ()), columns.get("label", ()))

    @classmethod
    def check_row(cls, row: Row, columns: Columns, task: TaskSettings) -> None:  # noqa: ARG003
        for name in columns.get("label", ()):
            class_name(row[1].get(name))  # which refuses what cannot be read (io.cells.Unreadable)

    @classmethod
    def most_columns(cls, task: "TaskSettings") -> dict[str, int]:
        most = super().most_columns(task)
        # Several labels may stand in several columns; the kind of a model that is there is known, that of new rows maybe not.
        if getattr(cls, "problem_type", task.problem_type) in (None, "multi_label_classification"):
            del most["label"]
        return most

    @classmethod
    def fit(cls, rows: Sequence[Row], columns: Columns, task: TaskSettings) -> "SequenceHead":
        labelling = find_labelling(rows, columns.get("label", ()), task)
        head = _kinds()[labelling.kind](labelling.names)
        head.texts = len(columns.get("text", ()))
        return head

    @classmethod
    def of_model(cls, config: dict[str, Any]) -> "SequenceHead":
        names = class_names(config)
        kind = config.get("problem_type") or ("regression" if len(names) == 1 else "single_label_classification")
        if kind == "regression" and len(names) > 1:
            raise BertkitError(
                f"the model's config.json says regression of {len(names)} numbers, and bertkit reads one alone"
            )
        head = _kinds()[kind](names)
        head.texts = config.get("bertkit_texts", 0)
        return head._with(config)

    def _with(self, config: dict[str, Any]) -> "SequenceHead":  # noqa: ARG002
        """The same head with further fields of a saved model's config.json."""
        return self

    def in_order(self, names: Sequence[str], places: Sequence[int]) -> Self:  # noqa: ARG002
        """The same head with its classes renamed and reordered; ``places`` are their former positions."""
        other = type(self)(names)
        other.texts = self.texts
        return other

    def model_config(self) -> dict[str, Any]:
        return {
            **label_config(self.label_names or ["LABEL_0"]),
            "problem_type": self.problem_type,
            **({"bertkit_texts": self.texts} if self.texts else {}),
        }

    @property
    def needs(self) -> str:
        return "two texts" if self.texts == 2 else ""

    def check_texts(self, columns: Columns, source: str, command: Command = "finetune") -> None:
        given = len(columns["text"])
        if self.texts and given != self.texts:
            way = option("text", command, self.texts)
            wanted = f"two texts a row: name their columns with {way}"
            wanted = wanted if self.texts == 2 else f"one text a row: name its column with {way}"
            raise BertkitError(
                f"{source} is read by {given} columns ({', '.join(columns['text'])}), and the model takes {wanted}"
            )

    def input(self, row: Row, columns: Columns) -> tuple[str, ...]:
        place, values = row
        missing = next((name for name in columns["text"] if name not in values), None)
        if missing is not None:
            raise BertkitError(f"{place} has no column '{missing}', only {', '.join(values)}")
        return tuple(as_text(values[name], place, name) for name in columns["text"])

    def left_out(self, rows: Sequence[Row], columns: Columns, split: Split) -> list[str]:
        cells = [row.get(name) for _, row in rows for name in columns.get("label", ())] if self.label_names else []
        labels = [label for cell in cells for label in (cell if isinstance(cell, list) else [cell])]
        blank = sum(isinstance(label, str) and label != label.strip() for label in labels)
        return [f"labels in {split.name} with blanks around them, read without these: {blank:,}"] * bool(blank)

    def labels(self, rows: Sequence[Row], columns: Columns) -> np.ndarray:
        return Labelling(self.label_names, self.problem_type).encode(rows, columns["label"])

    def features(self, split: Split, encoder: "RowEncoder") -> Features:
        made = encoder(split.texts, self.overflow)
        return made if split.labels is None else replace(made, targets=split.labels[made.rows])

    def logits(self, model: Any, batch: Batch) -> "torch.Tensor":
        """``[N, C]``."""
        from bertkit.models.headed import pooled_logits

        return pooled_logits(model, batch)

    def loss(self, logits: "torch.Tensor", batch: Batch) -> "torch.Tensor":
        raise NotImplementedError

    def decode(self, logits: Sequence[np.ndarray], features: Features, split: Split) -> list[dict[str, Any]]:
        if not split.texts:
            return []
        answers = self.answers(_mean_of_windows(self.shares(np.stack(logits)), features.rows))
        if split.labels is None:
            return [{"index": index, **answer} for index, answer in enumerate(answers)]
        return [
            {"index": index, **answer, "label": self.named(label)}
            for index, (answer, label) in enumerate(zip(answers, split.labels, strict=True))
        ]

    def shares(self, logits: np.ndarray) -> np.ndarray:
        """What is averaged over the windows of a row, float64 ``[N, C]``: probabilities, or numbers, from the logits."""
        raise NotImplementedError

    def answers(self, shares: np.ndarray) -> list[dict[str, Any]]:
        """The answers for rows, from their probabilities (or numbers) ``[R, C]``."""
        return [
            {"prediction": self.named(decided), "probabilities": dict(zip(self.label_names, row, strict=True))}
            for decided, row in zip(self.decided(shares), shares.tolist(), strict=True)
        ]

    def decided(self, shares: np.ndarray) -> np.ndarray:
        """The predictions in the form that metrics take: ids int64 ``[R]``, 0/1 ``[R, C]``, or numbers ``[R]``."""
        raise NotImplementedError

    def named(self, label: Any) -> Any:
        """A label as it is written for people."""
        raise NotImplementedError

    def encoded(self, predictions: list[dict[str, Any]]) -> np.ndarray:
        """The predictions of ``decode``, in the form that metrics take."""
        raise NotImplementedError

    def probabilities(self, predictions: list[dict[str, Any]]) -> np.ndarray:
        """The probabilities in the predictions of ``decode``, as float64 ``[R, C]``."""
        return np.array([[row["probabilities"][name] for name in self.label_names] for row in predictions])

    def shown(self, text: tuple[str, ...]) -> dict[str, Any]:
        return {"text": list(text)}

    def metrics(self, wanted: Sequence[str]) -> tuple[str, ...]:
        from bertkit.finetuning.figures import check_names

        chosen = tuple(wanted) or self.metric_names
        check_names(chosen, self.problem_type, len(self.label_names))
        return chosen

    def score(self, predictions: list[dict[str, Any]], split: Split, metrics: Sequence[str]) -> dict[str, float]:
        from bertkit.finetuning.figures import compute

        return compute(metrics, self.encoded(predictions), split.labels, len(self.label_names))

    def details(
        self, predictions: list[dict[str, Any]], split: Split, metrics: Sequence[str], seed: int
    ) -> dict[str, Any]:
        from bertkit.finetuning.figures import baseline, interval
        from bertkit.finetuning.metrics import METRICS

        classes = len(self.label_names)
        bounds = interval(metrics[0], self.encoded(predictions), split.labels, seed, classes)
        simplest = baseline(metrics[0], split.labels, classes)
        of_second = METRICS[metrics[0]].of_second and classes == 2
        words = f"always saying {self.label_names[1]}" if of_second else self.simplest
        return beside(metrics[0], bounds, words, simplest, metrics[0] in self.lower_is_better)

    def described(self, split: Split) -> str:
        return check_table([split], self.label_names, self.problem_type).described()

    @property
    def purpose(self) -> str:
        return f" to tell apart {len(self.label_names)} classes: {', '.join(self.label_names[:20])}"

    def usage(self, folder: str) -> str:
        usage = super().usage(folder).replace("ask", "classify")
        pair = '{"text": "he was hungry .", "text_pair": "he ate an apple ."}'
        return usage.replace('"what a lovely day"', pair) if self.texts == 2 else usage

    def example(self, columns: Sequence[str]) -> Any:
        if self.texts != 2:
            return super().example(columns)
        return dict(zip(columns or self.roles["text"][0], ("he was hungry .", "he ate an apple ."), strict=False))


def _kinds() -> dict[str, type[SequenceHead]]:
    """The three heads by problem type. They are subclasses in files of their own, and therefore imported late."""
    from bertkit.finetuning.heads.number import Number
    from bertkit.finetuning.heads.one_class import OneClass
    from bertkit.finetuning.heads.several_classes import SeveralClasses

    return {kind.problem_type: kind for kind in (OneClass, SeveralClasses, Number)}


def _mean_of_windows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The mean over the windows of each row: float64 ``[features, C]`` → ``[R, C]``."""
    counts = np.bincount(rows)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, rows, values)
    means: np.ndarray = sums / counts[:, None]
    return means
