"""The interface of heads: everything that differs between kinds of tasks is behind these methods.

The data pass them in this order: rows of a table → what the model reads (``input``) and should answer (``labels``) →
features, one per window → batches → logits → one plain object per row (``decode``).

A unit is what a batch takes or leaves as a whole: a feature, or all features of a row where they belong together, as the
choices of a question do (see ``Features.units``).
"""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bertkit.errors import BertkitError
from bertkit.finetuning.features import Batch, Columns, Features, Row, Split
from bertkit.models.card import python_text

if TYPE_CHECKING:
    import torch

    from bertkit.finetuning.rows.columns import Command
    from bertkit.finetuning.windows import RowEncoder
    from bertkit.settings.schema import TaskSettings


class Head(ABC):
    """One kind of task: how its rows are read, what is computed on top of the encoder, and what the answer means.

    A head is made by ``fit`` from labelled rows, or by ``of_model`` from a saved model. It has no weights, and does not
    change. Shapes: N features in a batch, L tokens of the longest.

    Attributes:
        name: its name in recipes, as in ``[task] head = "token"``.
        auto_class: the auto class of transformers that builds the model with its layer on top.
        pipeline_tag: the hub's name of the task.
        roles: what a row has to contain: for each role the alternative tuples of columns that it may stand in, the most
            likely first. The first tuple whose columns all exist is taken; ``()`` makes a role optional. People choose the
            columns of "text" with ``--text``, of "label" with ``--label`` and of other roles with ``task.columns``. Rows to
            predict need no "label", and a plain line of text is a row with "text" alone.
        overflow: how long rows are read if ``data.overflow`` does not say it: "truncate" or "windows".
        metric_names: the metrics that are reported; the first one chooses the best weights.
        lower_is_better: the metrics for which the least value is the best.
        label_names: the classes by id; empty if there are none.
        says_one_class: whether its logits are those of one class per feature, so that a temperature can be fitted to them
            (``train.calibrate``).
        counts_words: whether the loss counts every word of a unit. Training batches are then drawn at random; else they hold
            units of similar length.
    """

    name: ClassVar[str]
    auto_class: ClassVar[str]
    pipeline_tag: ClassVar[str]
    roles: ClassVar[dict[str, tuple[tuple[str, ...], ...]]]
    overflow: ClassVar[str] = "truncate"
    metric_names: tuple[str, ...] = ()
    lower_is_better: ClassVar[frozenset[str]] = frozenset()
    label_names: list[str]
    says_one_class: ClassVar[bool] = False
    counts_words: ClassVar[bool] = False

    # From rows, or from a saved model.

    @classmethod
    def rows_of(cls, path: Path) -> Iterator[Row] | None:  # noqa: ARG003 (for those that have formats of their own)
        """The rows of a file in a format that only this head has, such as CoNLL's columns or SQuAD's nested JSON.

        The head chooses the names of their columns. It recognises the format by the file's name or its first lines.

        Returns:
            The rows; None if the file has another format.

        Raises:
            BertkitError: a line cannot be read; raised while the rows are read, with file and line.
        """
        return None

    @classmethod
    def takes(cls, row: dict[str, Any], task: "TaskSettings") -> bool:  # noqa: ARG003 (for those that can tell)
        """Whether a row clearly belongs to this kind of task, as most rows of a table have to; asked if no head was named."""
        return False

    @classmethod  # noqa: B027 (most have nothing to refuse)
    def check(cls, row: Row, columns: Columns) -> None:
        """Refuses a table by its first row. Called first with no columns, and again with those that were chosen.

        Raises:
            BertkitError: the row belongs to another kind of task.
        """

    @classmethod
    def most_columns(cls, task: "TaskSettings") -> dict[str, int]:  # noqa: ARG003 (for those that differ by it)
        """How many columns are read for a role at most; a role that is missing may have any number."""
        return {role: max(map(len, usual)) for role, usual in cls.roles.items()}

    @classmethod
    def columns_read(cls, columns: Columns, row: dict[str, Any]) -> set[str]:  # noqa: ARG003 (for those that read others)
        """The names of all columns of a row that are read: those of the roles, and others that the head knows by their names."""
        return {name for some in columns.values() for name in some}

    @classmethod  # noqa: B027 (most have nothing to refuse)
    def check_row(cls, row: Row, columns: Columns, task: "TaskSettings") -> None:
        """Refuses a row that cannot be read, whatever the others are. ``fit`` gets the other rows if such are left out.

        Raises:
            BertkitError: it cannot be read.
        """

    @classmethod
    @abstractmethod
    def fit(cls, rows: Sequence[Row], columns: Columns, task: "TaskSettings") -> "Head":
        """Makes the head for training rows; its classes come from the recipe or from the rows.

        Raises:
            BertkitError: the rows cannot be learned; the message names file and line.
        """

    @classmethod
    @abstractmethod
    def of_model(cls, config: dict[str, Any]) -> "Head":
        """Makes the head of a saved model, from its config.json."""

    @abstractmethod
    def model_config(self) -> dict[str, Any]:
        """The fields of config.json that describe the head: ``num_labels``, ``id2label``, ``problem_type`` and the like."""

    # From rows to batches.

    @property
    def needs(self) -> str:
        """What a row has to contain, in words, if a text alone is not enough; else empty."""
        return ""

    def check_texts(  # noqa: B027 (most have nothing to refuse)
        self, columns: Columns, source: str, command: "Command" = "finetune"
    ) -> None:
        """Checks that rows have as many texts as those that the model was fine-tuned on; a line says what is done without.

        Messages name the options of ``command``.

        Raises:
            BertkitError: they have fewer or more.
        """

    @abstractmethod
    def input(self, row: Row, columns: Columns) -> Any:
        """What the model reads of a row, as plain values that JSON can hold.

        Raises:
            BertkitError: the row cannot be read; the message names file and line.
        """

    def left_out(self, rows: Sequence[Row], columns: Columns, split: Split) -> list[str]:  # noqa: ARG002 (most have none)
        """Lines that count what is left out of the rows, or read differently than it is written, and name their split."""
        return []

    def check_labels(self, rows: Sequence[Row], columns: Columns, source: str) -> None:  # noqa: B027 (most see it in a row)
        """Checks labels of which only all rows together show that they are wrong.

        Raises:
            BertkitError: they are.
        """

    @abstractmethod
    def labels(self, rows: Sequence[Row], columns: Columns) -> Any:
        """What the model should answer for the rows: a numpy array or a list, with an entry per row.

        Raises:
            BertkitError: a label is missing or unknown; the message names file and line.
        """

    @abstractmethod
    def features(self, split: Split, encoder: "RowEncoder") -> Features:
        """The features of a split, with ``targets`` if it has labels."""

    def tensors(self, features: Features, units: Sequence[int]) -> Batch:
        """The tensors of a batch of some units besides ids, mask and segments: what ``logits`` and ``loss`` need."""
        import torch

        return {} if features.targets is None else {"labels": torch.from_numpy(features.targets[list(units)])}

    # From batches to a loss.

    @abstractmethod
    def logits(self, model: Any, batch: Batch) -> "torch.Tensor":
        """The logits of a batch, which has ids, mask and segments, int64 ``[N, L]`` each, and what ``tensors`` returned."""

    def read(self, batch: Batch) -> "torch.Tensor":
        """The tokens whose states ``logits`` uses, bool ``[N, L]``. (The states of a frozen encoder are computed once.)"""
        from bertkit.models.headed import first_tokens

        return first_tokens(batch)

    def count(self, batch: Batch) -> float:
        """What the loss of a batch is divided by: the number of rows or tokens, or the sum of their class weights."""
        return float(len(batch["labels"]))

    @abstractmethod
    def loss(self, logits: "torch.Tensor", batch: Batch) -> "torch.Tensor":
        """The loss of a batch, summed over what ``count`` counts; of ``batch`` it uses only what ``tensors`` returned."""

    def balanced(self, split: Split) -> "Head":  # noqa: ARG002 (for those that can)
        """The same head with a loss that weights each class by the inverse of its share of the rows.

        Raises:
            BertkitError: this kind of task has no classes to weight.
        """
        raise BertkitError("class_weights = 'balanced' needs one class a row; it does not fit these labels")

    def for_training(self, split: Split, model: Any) -> "Head":  # noqa: ARG002 (for those that need it)
        """The head to train these rows with, such as one with standardised targets; ``finished`` undoes that."""
        return self

    def finished(self, model: Any) -> "Head":  # noqa: ARG002
        """The head of the trained model; what ``for_training`` kept beside the weights is moved into them."""
        return self

    # From logits to answers. The logits of a unit are an array of any shape.

    def parted(self, logits: "torch.Tensor", batch: Batch) -> "list[torch.Tensor]":  # noqa: ARG002
        """Splits the logits of a batch into those of its units."""
        return list(logits)

    def picked(self, arrays: Sequence[np.ndarray], features: Features) -> list[np.ndarray]:  # noqa: ARG002
        """As ``parted``, from what ``head_logits`` of ``runtime.base.Bert`` returns for each feature: ``[outputs]`` for a
        head on the pooled state, ``[tokens, outputs]`` for one on each token."""
        return list(arrays)

    def joined(self, logits: Sequence[np.ndarray]) -> np.ndarray:
        """Joins the logits of all units into the form that ``loss`` takes."""
        return np.stack(logits)

    @abstractmethod
    def decode(self, logits: Sequence[np.ndarray], features: Features, split: Split) -> list[dict[str, Any]]:
        """One plain object per row, in order: "index", the answer, and, if the split has labels, "label".

        If the answer stands under "prediction", `bertkit report` shows the rows in which it differs from "label".

        Args:
            logits: the logits of each unit of ``features``.
            features: those of the split.
            split: the rows.
        """

    def shown(self, text: Any) -> dict[str, Any]:
        """The fields of ``predictions.jsonl`` that show a row's input, beside the answer."""
        return {"text": text}

    # How good the answers are.

    def metrics(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """The metrics to report: the wanted ones, or else the head's own.

        Raises:
            BertkitError: a metric is unknown, or does not fit the head.
        """
        unknown = next((name for name in wanted if name not in self.metric_names), None)
        if unknown is not None:
            raise BertkitError(
                f"no metric '{unknown}' for the head {self.name}: choose of {', '.join(self.metric_names)}"
            )
        return tuple(wanted) or self.metric_names

    def tuned(self, predictions: list[dict[str, Any]], split: Split) -> "Head":  # noqa: ARG002
        """The same head with what is fitted on held-out rows after training, such as a threshold; by default itself.

        ``model_config`` stores what was fitted.
        """
        return self

    @abstractmethod
    def score(self, predictions: list[dict[str, Any]], split: Split, metrics: Sequence[str]) -> dict[str, float]:
        """The metrics by name, of the predictions that ``decode`` returned for a split with labels."""

    def details(
        self,
        predictions: list[dict[str, Any]],  # noqa: ARG002
        split: Split,  # noqa: ARG002
        metrics: Sequence[str],  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> dict[str, Any]:
        """What ``eval_results.json`` has besides the metrics: intervals, a confusion matrix, figures of each class."""
        return {}

    def goodness(self, metric: str, results: dict[str, Any]) -> float:
        """A metric of an evaluation, with its sign changed if lower is better: the greatest value is the best."""
        value: float = results[f"eval_{metric}"]
        return -value if metric in self.lower_is_better else value

    def has_collapsed(self, results: dict[str, Any], headline: str) -> bool:
        """Whether a run has learned nothing, judged by its ``eval_results.json``."""
        return headline not in self.lower_is_better and math.isclose(results[f"eval_{headline}"], 0.0, abs_tol=1e-9)

    # What people are told.

    def described(self, split: Split) -> str:  # noqa: ARG002
        """A line that says what the training labels were taken for; empty if there is nothing to say."""
        return ""

    @property
    def purpose(self) -> str:
        """What the model is for, as the card continues after "fine-tuned on TASK"."""
        return ""

    def usage(self, folder: str) -> str:
        """Lines of Python for the card, which use the model with transformers."""
        return (
            "from transformers import pipeline\n\n"
            f'ask = pipeline("{self.pipeline_tag}", model={python_text(folder)})\n'
            'print(ask("what a lovely day"))'
        )

    def own_usage(self, folder: str, columns: Sequence[str] = ()) -> str:
        """Lines of Python for the card of a model that only bertkit can load; ``columns`` are those of its texts."""
        row = json.dumps(self.example(columns))
        return f"import bertkit\n\npredict = bertkit.load_predictor({python_text(folder)})\nprint(predict([{row}]))"

    def example(self, columns: Sequence[str]) -> Any:  # noqa: ARG002
        """A text or a row to predict, as an example."""
        return "what a lovely day"


def label_config(names: Sequence[str]) -> dict[str, Any]:
    """The fields of config.json that name the classes."""
    numbered = dict(enumerate(names))
    return {"num_labels": len(names), "id2label": numbered, "label2id": {name: id_ for id_, name in numbered.items()}}
