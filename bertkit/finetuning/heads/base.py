"""The seam: all that differs between kinds of task is what a head answers here.

A row of a table becomes what the head reads of it (``input``) and what it is to say (``labels``); rows become features,
one a window; features become batches, batches logits, and logits one plain object a row.
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

if TYPE_CHECKING:
    import torch

    from bertkit.finetuning.windows import Encoder
    from bertkit.settings.schema import TaskSettings


class Head(ABC):
    """One kind of task: how its rows are read, what is computed on top of the encoder, and what the answer means.

    A head is made by ``fit`` from labelled rows, or by ``of_model`` from a saved model; it holds no weights, and never
    changes. Numbers: N features in a batch, L tokens of the longest.

    Attributes:
        name: as in ``[task] head = "token"``.
        auto_class: of transformers, which builds the model and its layer on top.
        pipeline_tag: the hub's name of the task.
        roles: what a row has to say, each with the columns it may stand in, the likeliest first: of several alternatives
            the first that is there whole; ``()`` lets a role be absent. "text" is also chosen by ``--text`` and "label"
            by ``--label``, any other role by ``task.columns``. "label" is left out where there is nothing to learn from,
            and a plain line of text is a row with "text" alone.
        overflow: what happens to long rows unless ``data.overflow`` says it: "truncate" or "windows".
        metric_names: what is reported, the headline first, by which the best weights are kept.
        lower_is_better: those of them of which the least is best.
        label_names: the classes by id; empty where there are none.
        says_one_class: whether its logits are those of one class a feature, which a temperature makes as sure as they
            are right (``train.calibrate``).
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

    # From rows, or from a saved model.

    @classmethod
    def rows_of(cls, path: Path) -> Iterator[Row] | None:  # noqa: ARG003 (for those that have formats of their own)
        """The rows of a file in a form of the head's own, such as CoNLL's columns or SQuAD's nested JSON, under columns
        that it names itself; None for any other file. Decides by name, or by the first lines.

        Raises:
            BertkitError: naming file and line of what cannot be read; only as the rows are taken.
        """
        return None

    @classmethod
    def takes(cls, row: dict[str, Any], task: "TaskSettings") -> bool:  # noqa: ARG003 (for those that can tell)
        """Whether a table's first row is plainly one of this head's, where nobody has said so."""
        return False

    @classmethod  # noqa: B027 (most have nothing to refuse)
    def check(cls, row: Row, columns: Columns) -> None:
        """Refuses a table by its first row; called without columns first, and again when they are chosen.

        Raises:
            BertkitError: the row is of another kind of task.
        """

    @classmethod
    @abstractmethod
    def fit(cls, rows: Sequence[Row], columns: Columns, task: "TaskSettings") -> "Head":
        """The head for these training rows: its classes, from the recipe or from the rows.

        Raises:
            BertkitError: naming file and line of what cannot be learned.
        """

    @classmethod
    @abstractmethod
    def of_model(cls, config: dict[str, Any]) -> "Head":
        """The head of a saved model, from its config.json."""

    @abstractmethod
    def model_config(self) -> dict[str, Any]:
        """What config.json has to say of it: ``num_labels``, ``id2label``, ``label2id``, ``problem_type``."""

    # From rows to batches.

    @property
    def needs(self) -> str:
        """What a row has to hold, in words, where a text alone does not do."""
        return ""

    def check_texts(self, columns: Columns, source: str) -> None:  # noqa: B027 (most have nothing to refuse)
        """Refuses rows to be predicted that have fewer or more texts than the model was fine-tuned on.

        Raises:
            BertkitError: they have.
        """

    @abstractmethod
    def input(self, row: Row, columns: Columns) -> Any:
        """What is read of a row: plain values, which JSON can hold.

        Raises:
            BertkitError: naming file and line of what cannot be read.
        """

    @abstractmethod
    def labels(self, rows: Sequence[Row], columns: Columns) -> Any:
        """What is to be said of the rows: a numpy array or a list with an entry a row.

        Raises:
            BertkitError: naming file and line of a label that is missing or unknown.
        """

    @abstractmethod
    def features(self, split: Split, encoder: "Encoder") -> Features:
        """The features of a split, with ``targets`` where it has labels."""

    def tensors(self, features: Features, units: Sequence[int]) -> Batch:
        """What a batch of some units holds besides ids, mask and segments: what ``loss`` and ``logits`` need to know."""
        import torch

        return {} if features.targets is None else {"labels": torch.from_numpy(features.targets[list(units)])}

    # From batches to a loss.

    @abstractmethod
    def logits(self, model: Any, batch: Batch) -> "torch.Tensor":
        """What the model says of a batch: ids, mask and segments, int64 ``[N, L]``, and what ``tensors`` gave."""

    def read(self, batch: Batch) -> "torch.Tensor":
        """bool ``[N, L]``: the tokens whose states ``logits`` is made of; those of a frozen encoder are kept."""
        from bertkit.models.headed import first_tokens

        return first_tokens(batch)

    def count(self, batch: Batch) -> float:
        """What the loss of a batch is divided by: rows, or tokens, or the weights of the classes."""
        return float(len(batch["labels"]))

    @abstractmethod
    def loss(self, logits: "torch.Tensor", batch: Batch) -> "torch.Tensor":
        """The loss of a batch, summed over what ``count`` counts; of ``batch`` it reads what ``tensors`` gave."""

    def balanced(self, split: Split) -> "Head":  # noqa: ARG002 (for those that can)
        """The same head, whose loss weighs each class by the inverse of its share of the rows.

        Raises:
            BertkitError: there is no such thing here.
        """
        raise BertkitError("class_weights = 'balanced' needs one class a row; it does not fit these labels")

    def for_training(self, split: Split, model: Any) -> "Head":  # noqa: ARG002 (for those that need it)
        """The head by which a model learns these rows, such as one whose targets are standardised; ``finished`` ends that."""
        return self

    def finished(self, model: Any) -> "Head":  # noqa: ARG002
        """The head that reads the trained model alone: what ``for_training`` kept beside its weights goes into them."""
        return self

    # From logits to answers. The logits of a unit are an array of any shape.

    def parted(self, logits: "torch.Tensor", batch: Batch) -> "list[torch.Tensor]":  # noqa: ARG002
        """The logits of a batch unit by unit."""
        return list(logits)

    def picked(self, arrays: Sequence[np.ndarray], features: Features) -> list[np.ndarray]:  # noqa: ARG002
        """The same, out of what ``runtime``'s ``head_logits`` says of each feature: ``[outputs]`` of a head on the
        pooled state, ``[tokens, outputs]`` of one on each token."""
        return list(arrays)

    def joined(self, logits: Sequence[np.ndarray]) -> np.ndarray:
        """The logits of all units in the form in which ``loss`` takes them."""
        return np.stack(logits)

    @abstractmethod
    def decode(self, logits: Sequence[np.ndarray], features: Features, split: Split) -> list[dict[str, Any]]:
        """One plain object a row, in order: "index", the answer, and, where the split has labels, "label".

        Where answer and label are under "prediction" and "label", `bertkit report` shows the rows in which they differ.

        Args:
            logits: of each unit of ``features``.
        """

    def shown(self, text: Any) -> dict[str, Any]:
        """What ``predictions.jsonl`` says of a row's input, beside the answer."""
        return {"text": text}

    # How good the answers are.

    def metrics(self, wanted: Sequence[str]) -> tuple[str, ...]:
        """The metrics that are reported: those wanted, or else its own.

        Raises:
            BertkitError: one of them is unknown, or does not fit.
        """
        unknown = next((name for name in wanted if name not in self.metric_names), None)
        if unknown is not None:
            raise BertkitError(
                f"no metric '{unknown}' for the head {self.name}: choose of {', '.join(self.metric_names)}"
            )
        return tuple(wanted) or self.metric_names

    def tuned(self, predictions: list[dict[str, Any]], split: Split) -> "Head":  # noqa: ARG002
        """The same head with what is best fitted on held-out rows once the weights are learned, such as a threshold; itself where
        there is no such thing. ``model_config`` says what came of it."""
        return self

    @abstractmethod
    def score(self, predictions: list[dict[str, Any]], split: Split, metrics: Sequence[str]) -> dict[str, float]:
        """The metrics of what ``decode`` gave for a split with labels, by name."""

    def details(
        self,
        predictions: list[dict[str, Any]],  # noqa: ARG002
        split: Split,  # noqa: ARG002
        metrics: Sequence[str],  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> dict[str, Any]:
        """What ``eval_results.json`` says besides the metrics: intervals, confusion, figures of each class."""
        return {}

    def goodness(self, metric: str, results: dict[str, Any]) -> float:
        """A metric of an evaluation, so that the greatest is best."""
        value: float = results[f"eval_{metric}"]
        return -value if metric in self.lower_is_better else value

    def has_collapsed(self, results: dict[str, Any], headline: str) -> bool:
        """Whether a run learned nothing, by its ``eval_results.json``."""
        return headline not in self.lower_is_better and math.isclose(results[f"eval_{headline}"], 0.0, abs_tol=1e-9)

    # What people are told.

    def described(self, split: Split) -> str:  # noqa: ARG002
        """What the training labels were taken for, in a line; empty where there is nothing to say."""
        return ""

    @property
    def purpose(self) -> str:
        """What the model is for, as the card goes on after "fine-tuned on TASK"."""
        return ""

    def usage(self, folder: str) -> str:
        """Lines of Python for the card."""
        return (
            "from transformers import pipeline\n\n"
            f'ask = pipeline("{self.pipeline_tag}", model="{folder}")\n'
            'print(ask("what a lovely day"))'
        )

    def own_usage(self, folder: str, columns: Sequence[str] = ()) -> str:
        """The same for a folder that bertkit alone reads; ``columns`` are those of its texts."""
        row = json.dumps(self.example(columns))
        return f'import bertkit\n\npredict = bertkit.load_predictor("{folder}")\nprint(predict([{row}]))'

    def example(self, columns: Sequence[str]) -> Any:  # noqa: ARG002
        """A text, or a row, to be predicted."""
        return "what a lovely day"
