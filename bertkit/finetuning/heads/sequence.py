"""A text, or two, with one class, several classes, or a number (Devlin et al. 2018, 3.2 and 4.1).

The losses are those of transformers' ``ForSequenceClassificationLoss``, as sums over rows. Shapes: R rows, C classes.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bertkit.errors import BertkitError
from bertkit.finetuning.heads.base import Batch, Columns, Features, Head, Row, Split
from bertkit.finetuning.rows.kinds import as_text, refuse_other_tasks
from bertkit.finetuning.rows.labels import Labelling, find_labelling
from bertkit.finetuning.rows.table_check import check_table
from bertkit.finetuning.scale import Scale
from bertkit.settings.schema import TaskSettings

if TYPE_CHECKING:
    import torch

    from bertkit.finetuning.windows import Encoder


class SequenceHead(Head):
    """What the three have in common. ``fit`` and ``of_model`` choose among them.

    Args:
        label_names: of the classes by id; empty for a number.
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
            ("text_a", "text_b"),
            *((name,) for name in ("text", "sentence", "review", "content", "document", "comment", "body")),
        ),
        "label": tuple(
            (name,) for name in ("label", "labels", "class", "target", "category", "score", "rating", "sentiment")
        ),
    }
    problem_type: ClassVar[str]
    """As in ``transformers.PretrainedConfig``."""
    texts = 0
    """How many a row has, 1 or 2; 0 where that is not known."""

    def __init__(self, label_names: Sequence[str] = ()) -> None:
        self.label_names = list(label_names)

    @classmethod
    def check(cls, row: Row, columns: Columns) -> None:
        refuse_other_tasks(*row, columns.get("text", ()), columns.get("label", ()))

    @classmethod
    def fit(cls, rows: Sequence[Row], columns: Columns, task: TaskSettings) -> "SequenceHead":
        labelling = find_labelling(rows, columns.get("label", ()), task)
        head = _KINDS[labelling.kind](labelling.names)
        head.texts = len(columns.get("text", ()))
        return head

    @classmethod
    def of_model(cls, config: dict[str, Any]) -> "SequenceHead":
        # transformers leaves two classes without names out of config.json.
        names = {int(id_): name for id_, name in (config.get("id2label") or {0: "LABEL_0", 1: "LABEL_1"}).items()}
        kind = config.get("problem_type") or (Number if len(names) == 1 else OneClass).problem_type
        head = _KINDS[kind]([names[id_] for id_ in sorted(names)])
        head.texts = config.get("bertkit_texts", 0)
        return head._with(config)

    def _with(self, config: dict[str, Any]) -> "SequenceHead":  # noqa: ARG002
        """The same head with what else a saved model's config.json says of it."""
        return self

    def model_config(self) -> dict[str, Any]:
        names = self.label_names or ["LABEL_0"]
        return {
            "num_labels": len(names),
            "id2label": dict(enumerate(names)),
            "label2id": {name: id_ for id_, name in enumerate(names)},
            "problem_type": self.problem_type,
            **({"bertkit_texts": self.texts} if self.texts else {}),
        }

    @property
    def needs(self) -> str:
        return "two texts" if self.texts == 2 else ""

    def check_texts(self, columns: Columns, source: str) -> None:
        given = len(columns["text"])
        if self.texts and given != self.texts:
            wanted = "two texts a row: name their columns with --text and --text-pair"
            wanted = wanted if self.texts == 2 else "one text a row: name its column with --text"
            raise BertkitError(
                f"{source} is read by {given} columns ({', '.join(columns['text'])}), and the model takes {wanted}"
            )

    def input(self, row: Row, columns: Columns) -> tuple[str, ...]:
        place, values = row
        missing = next((name for name in columns["text"] if name not in values), None)
        if missing is not None:
            raise BertkitError(f"{place} has no column '{missing}', only {', '.join(values)}")
        return tuple(as_text(values[name], place, name) for name in columns["text"])

    def labels(self, rows: Sequence[Row], columns: Columns) -> np.ndarray:
        return Labelling(self.label_names, self.problem_type).encode(rows, columns["label"])

    def features(self, split: Split, encoder: "Encoder") -> Features:
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
        """What windows are averaged by, of logits float32 ``[N, C]``: probabilities, float64 ``[N, C]``, or numbers."""
        raise NotImplementedError

    def answers(self, shares: np.ndarray) -> list[dict[str, Any]]:
        """The answers of rows with these probabilities, or numbers, ``[R, C]``."""
        return [
            {"prediction": self.named(decided), "probabilities": dict(zip(self.label_names, row, strict=True))}
            for decided, row in zip(self.decided(shares), shares.tolist(), strict=True)
        ]

    def decided(self, shares: np.ndarray) -> np.ndarray:
        """The predictions as metrics take them: ids int64 ``[R]``, 0/1 ``[R, C]``, or numbers ``[R]``."""
        raise NotImplementedError

    def named(self, label: Any) -> Any:
        """A label as people write it."""
        raise NotImplementedError

    def encoded(self, predictions: list[dict[str, Any]]) -> np.ndarray:
        """The predictions of ``decode`` as metrics take them."""
        raise NotImplementedError

    def shown(self, text: tuple[str, ...]) -> dict[str, Any]:
        return {"text": list(text)}

    def metrics(self, wanted: Sequence[str]) -> tuple[str, ...]:
        from bertkit.finetuning.metrics import check_names

        chosen = tuple(wanted) or self.metric_names
        check_names(chosen, self.problem_type, len(self.label_names))
        return chosen

    def score(self, predictions: list[dict[str, Any]], split: Split, metrics: Sequence[str]) -> dict[str, float]:
        from bertkit.finetuning.metrics import compute

        return compute(metrics, self.encoded(predictions), split.labels)

    def details(
        self, predictions: list[dict[str, Any]], split: Split, metrics: Sequence[str], seed: int
    ) -> dict[str, Any]:
        from bertkit.finetuning.metrics import bootstrap_interval

        interval = bootstrap_interval(metrics[0], self.encoded(predictions), split.labels, seed)
        return {f"eval_{metrics[0]}_interval_95": list(interval)}

    def described(self, split: Split) -> str:
        return check_table([split], self.label_names, self.problem_type).described()

    @property
    def purpose(self) -> str:
        return f" to tell apart {len(self.label_names)} classes: {', '.join(self.label_names[:20])}"

    def usage(self, folder: str) -> str:
        return super().usage(folder).replace("ask", "classify")


class OneClass(SequenceHead):
    """One class a row: cross-entropy.

    Attributes:
        class_weights: float32 ``[C]`` for a weighted cross-entropy, whose mean is by the sum of the weights; or None.
    """

    problem_type = "single_label_classification"
    class_weights: np.ndarray | None = None

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
        # A class without rows is the label of none, so that its weight is never taken.
        other.class_weights = np.ones(len(self.label_names), np.float32)
        other.class_weights[present] = compute_class_weight("balanced", classes=present, y=split.labels)
        return other

    def shares(self, logits: np.ndarray) -> np.ndarray:
        shifted = np.exp(logits.astype(np.float64) - logits.astype(np.float64).max(axis=1, keepdims=True))
        found: np.ndarray = shifted / shifted.sum(axis=1, keepdims=True)
        return found

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
        from bertkit.finetuning.metrics import confusion, majority_baseline

        return {
            **super().details(predictions, split, metrics, seed),
            "majority_baseline": majority_baseline(split.labels),
            "confusion": confusion(self.encoded(predictions), split.labels, self.label_names),
        }

    def has_collapsed(self, results: dict[str, Any], headline: str) -> bool:
        """It predicts a single class, or is no better than the most frequent one."""
        predicted = [any(column) for column in zip(*results["confusion"]["matrix"], strict=True)]
        no_better = headline == "accuracy" and results["eval_accuracy"] <= results["majority_baseline"]
        return sum(predicted) == 1 or no_better


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


class Number(SequenceHead):
    """A number a row: squared error.

    Training sees numbers of mean 0 and deviation 1, so that prices in thousands are learned like grades. A checkpoint
    says its scale in config.json ("bertkit_scale"); the weights of a finished model give the numbers themselves.
    """

    problem_type = "regression"
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
        """Beside the interval the squared error of always saying the mean of these rows: their variance."""
        baseline = {"mean_baseline_mse": float(np.var(np.asarray(split.labels, dtype=np.float64)))}
        return {**super().details(predictions, split, metrics, seed), **baseline}


_KINDS: dict[str, type[SequenceHead]] = {kind.problem_type: kind for kind in (OneClass, SeveralClasses, Number)}


def _mean_of_windows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """float64 ``[features, C]`` → ``[R, C]``: of each row the mean of its windows."""
    counts = np.bincount(rows)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, rows, values)
    means: np.ndarray = sums / counts[:, None]
    return means
