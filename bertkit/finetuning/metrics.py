"""Metrics that need no hub: ``evaluate.Metric``s whose figures scikit-learn and SciPy compute.

Predictions and labels come as class ids ``[rows]``, as numbers ``[rows]`` (floats), or as 0/1 ``[rows, classes]``.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import datasets
import evaluate
import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn import metrics as sklearn_metrics

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.atomic import scratch_folder
from bertkit.settings.recipes import did_you_mean

CLASSES, NUMBERS, SETS = "single_label_classification", "regression", "multi_label_classification"
_FEATURE = {
    CLASSES: datasets.Value("int64"),
    NUMBERS: datasets.Value("float64"),
    SETS: datasets.Sequence(datasets.Value("int64")),
}
_PERCENTILES_95 = (2.5, 97.5)


@dataclass(frozen=True)
class Rows:
    """What a figure is computed of.

    Attributes:
        predictions, labels: int64 ``[rows]`` or ``[rows, classes]``, or float64 ``[rows]``.
        weights: how often each row counts, int64 ``[rows]``; None is once.
        average: of precision and recall: "binary" (class 1 of two), or "macro" over the classes.
        classes: ids of the classes that occur, also where a resample has lost them; None for ``[rows, classes]``.
    """

    predictions: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None
    average: str
    classes: np.ndarray | None = None


class Score(evaluate.Metric):
    """One figure of predictions against references; nan where it is undefined. ``config_name`` is a kind of labels.

    Attributes:
        fits: the kinds of labels it can be computed for; the first is the default.
    """

    fits: ClassVar[tuple[str, ...]] = (CLASSES,)

    @staticmethod
    def score(rows: Rows) -> float:
        raise NotImplementedError

    def _info(self) -> evaluate.MetricInfo:
        feature = _FEATURE[self.fits[0] if self.config_name == "default" else self.config_name]
        features = datasets.Features({"predictions": feature, "references": feature})
        return evaluate.MetricInfo(description=self.__doc__, citation="", features=features)

    def _compute(self, predictions: ArrayLike, references: ArrayLike) -> dict[str, float]:
        predicted, true = np.asarray(predictions), np.asarray(references)
        return {self.name: _quiet_score(type(self), _rows(predicted, true))}


class Accuracy(Score):
    """Share of the rows that are right; of multi-label rows, right in every class."""

    fits = (CLASSES, SETS)

    @staticmethod
    def score(rows: Rows) -> float:
        return float(sklearn_metrics.accuracy_score(rows.labels, rows.predictions, sample_weight=rows.weights))


class F1(Score):
    """Harmonic mean of precision and recall of class 1 of two, as in GLUE."""

    @staticmethod
    def score(rows: Rows) -> float:
        return _over_classes(sklearn_metrics.f1_score, rows, "binary")


class MacroF1(Score):
    """Mean over the classes of their F1."""

    fits = (CLASSES, SETS)

    @staticmethod
    def score(rows: Rows) -> float:
        return _over_classes(sklearn_metrics.f1_score, rows, "macro")


class MicroF1(Score):
    """F1 of all decisions over all classes together."""

    fits = (SETS,)

    @staticmethod
    def score(rows: Rows) -> float:
        return _over_classes(sklearn_metrics.f1_score, rows, "micro")


class Precision(Score):
    """Share of the rows predicted as a class that are of it: class 1 of two, else the mean over the classes."""

    @staticmethod
    def score(rows: Rows) -> float:
        return _over_classes(sklearn_metrics.precision_score, rows, rows.average)


class Recall(Score):
    """Share of the rows of a class that are predicted as it: class 1 of two, else the mean over the classes."""

    @staticmethod
    def score(rows: Rows) -> float:
        return _over_classes(sklearn_metrics.recall_score, rows, rows.average)


class MatthewsCorrelation(Score):
    """Correlation of predicted and true classes (Matthews 1975; Gorodkin 2004 for more than two); 0 is chance."""

    @staticmethod
    def score(rows: Rows) -> float:
        return float(sklearn_metrics.matthews_corrcoef(rows.labels, rows.predictions, sample_weight=rows.weights))


class Pearson(Score):
    """Linear correlation; undefined where either side is constant."""

    fits = (NUMBERS,)

    @staticmethod
    def score(rows: Rows) -> float:
        return _correlation(stats.pearsonr, rows)


class Spearmanr(Score):
    """Correlation of the ranks; undefined where either side is constant."""

    fits = (NUMBERS,)

    @staticmethod
    def score(rows: Rows) -> float:
        return _correlation(stats.spearmanr, rows)


class Mse(Score):
    """Mean squared error."""

    fits = (NUMBERS,)

    @staticmethod
    def score(rows: Rows) -> float:
        return float(sklearn_metrics.mean_squared_error(rows.labels, rows.predictions, sample_weight=rows.weights))


METRICS: dict[str, type[Score]] = {
    "accuracy": Accuracy,
    "f1": F1,
    "macro_f1": MacroF1,
    "micro_f1": MicroF1,
    "precision": Precision,
    "recall": Recall,
    "matthews_correlation": MatthewsCorrelation,
    "pearson": Pearson,
    "spearmanr": Spearmanr,
    "mse": Mse,
}


def check_names(names: Sequence[str], kind: str, num_labels: int | None = None) -> None:
    """Refuses what ``compute`` would refuse, before anything is trained.

    Raises:
        BertkitError: there is no such metric, or it does not fit the kind of labels or the number of classes.
    """
    for name in names:
        if name not in METRICS:
            raise BertkitError(
                f"no metric '{name}'.{did_you_mean(name, list(METRICS))} There are: {', '.join(METRICS)}"
            )
        fitting = [
            other
            for other, metric in METRICS.items()
            if kind in metric.fits and not (other == "f1" and (num_labels or 2) > 2)
        ]
        if name not in fitting:
            classes = f" of {num_labels} classes" if num_labels else ""
            raise BertkitError(f"metric {name} does not fit {kind}{classes}: choose of {', '.join(fitting)}")


def compute(names: Sequence[str], predictions: ArrayLike, labels: ArrayLike) -> dict[str, float]:
    """The figures of all rows, by name. An undefined correlation is 0, and a note says so.

    Raises:
        BertkitError: a metric is unknown or does not fit; there are no rows; predictions are not finite.
    """
    predicted, true, kind = _checked(names, predictions, labels)
    figures: dict[str, float] = {}
    # Predictions stay in memory, yet an evaluate.Metric makes a folder in its cache, shared by all processes.
    with scratch_folder("bertkit-metrics") as folder:
        for name in names:
            metric = METRICS[name](config_name=kind, keep_in_memory=True, cache_dir=str(folder), seed=0)
            (value,) = metric.compute(predictions=predicted, references=true).values()
            if np.isnan(value):
                console.note(f"{name} is undefined (predictions or labels are all the same): counted as 0")
            figures[name] = float(np.nan_to_num(value))
    return figures


def bootstrap_interval(
    name: str, predictions: ArrayLike, labels: ArrayLike, seed: int, resamples: int = 1000
) -> tuple[float, float]:
    """The percentile bootstrap's 95 % interval of a metric, by resampling rows (Efron and Tibshirani 1993, 13.3).

    Equal rows are kept once and how often each is drawn is multinomial: the same distribution, hence four cells
    instead of 40,000 rows for two classes. A resample whose figure is undefined counts as 0. For means over the
    classes the rows of each class are resampled among themselves, so that a rare one is in every resample.

    Raises:
        BertkitError: as ``compute``.
    """
    predicted, true, _ = _checked([name], predictions, labels)
    pairs, counts = np.unique(np.stack([predicted, true], axis=1), axis=0, return_counts=True)
    whole = _rows(predicted, true)
    averaged = name == "macro_f1" or (whole.average == "macro" and name in ("f1", "precision", "recall"))
    over_classes = whole.classes is not None and averaged
    strata = [pairs[:, 1] == one for one in np.unique(true)] if over_classes else [np.ones(len(pairs), dtype=bool)]
    random = np.random.default_rng(seed)
    figures = np.empty(resamples)
    for number in range(resamples):
        drawn = np.zeros_like(counts)
        for mine in strata:
            drawn[mine] = random.multinomial(counts[mine].sum(), counts[mine] / counts[mine].sum())
        kept = drawn > 0
        rows = replace(whole, predictions=pairs[kept, 0], labels=pairs[kept, 1], weights=drawn[kept])
        figures[number] = _quiet_score(METRICS[name], rows)
    low, high = np.percentile(np.nan_to_num(figures), _PERCENTILES_95)
    return float(low), float(high)


def bootstrap_ratio(parts: np.ndarray, seed: int, resamples: int = 1000) -> tuple[float, float]:
    """The same interval for a figure that is one sum over the rows divided by another, as a mean, or F1 over entities.

    Args:
        parts: ``[rows, 2]``, what each row adds to the numerator and to the denominator; 0 / 0 counts as 0.
    """
    random = np.random.default_rng(seed)
    rows = len(parts)
    # Drawn in blocks: 1,000 resamples of a million rows at once would be 8 GB.
    block = max(1, min(resamples, 20_000_000 // max(rows, 1)))
    sums = np.concatenate([
        random.multinomial(rows, np.full(rows, 1 / rows), size=min(block, resamples - begin)) @ parts.astype(np.float64)
        for begin in range(0, resamples, block)
    ])  # fmt: skip
    figures = np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] > 0)
    low, high = np.percentile(figures, _PERCENTILES_95)
    return float(low), float(high)


def confusion(predictions: ArrayLike, labels: ArrayLike, label_names: Sequence[str]) -> dict[str, Any]:
    """Where the errors lie, as plain JSON values.

    Returns:
        ``labels``: the names; ``matrix``: rows are true classes, columns predicted ones; ``per_class``: for each
        name its ``precision``, ``recall``, ``f1`` (0 where undefined) and ``support`` (true rows).
    """
    ids = list(range(len(label_names)))
    matrix = sklearn_metrics.confusion_matrix(labels, predictions, labels=ids)
    figures = sklearn_metrics.precision_recall_fscore_support(labels, predictions, labels=ids, zero_division=0)
    kinds = ("precision", "recall", "f1", "support")
    per_class = [dict(zip(kinds, column, strict=True)) for column in zip(*(f.tolist() for f in figures), strict=True)]
    return {
        "labels": list(label_names),
        "matrix": matrix.tolist(),
        "per_class": dict(zip(label_names, per_class, strict=True)),
    }


def majority_baseline(labels: ArrayLike) -> float:
    """The accuracy of always guessing the most frequent class of ``labels`` (ids ``[rows]``)."""
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    return float(counts.max() / counts.sum())


def _quiet_score(metric: type[Score], rows: Rows) -> float:
    """``metric.score`` without the libraries' warnings: what they warn of is 0 or nan here, by contract."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return float(metric.score(rows))


def _checked(names: Sequence[str], predictions: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray, str]:
    """Both sides as arrays of one kind, and the kind of labels."""
    predicted, true = np.asarray(predictions), np.asarray(labels)
    assert predicted.shape == true.shape, f"{predicted.shape} predictions for {true.shape} labels"
    if not len(true):
        raise BertkitError("there are no rows to evaluate: give a validation file with at least one row")
    if not np.isfinite(predicted).all():
        raise BertkitError("the model's predictions are not finite: its training has diverged; lower --lr")
    floats = np.issubdtype(np.result_type(predicted, true), np.floating)
    kind = SETS if true.ndim == 2 else NUMBERS if floats else CLASSES
    dtype = np.float64 if kind == NUMBERS else np.int64
    num_labels = 1 + int(max(predicted.max(), true.max())) if kind == CLASSES else None
    check_names(names, kind, num_labels)
    return predicted.astype(dtype), true.astype(dtype), kind


def _rows(predictions: np.ndarray, labels: np.ndarray) -> Rows:
    """All rows, once each. Two classes are told by one, more by all of them."""
    average = "binary" if max(predictions.max(), labels.max()) <= 1 else "macro"
    are_ids = labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer)
    classes = np.union1d(predictions, labels) if are_ids else None
    return Rows(predictions, labels, None, average, classes)


def _over_classes(function: Callable[..., float], rows: Rows, average: str) -> float:
    """A figure of scikit-learn's for class 1 of two ("binary"), or over the classes."""
    return function(
        rows.labels,
        rows.predictions,
        average=average,
        labels=None if average == "binary" else rows.classes,
        sample_weight=rows.weights,
        zero_division=0,
    )


def _correlation(function: Callable[..., Any], rows: Rows) -> float:
    """SciPy's correlation of rows that count ``weights`` times; nan for fewer than two rows."""
    times = 1 if rows.weights is None else rows.weights
    predictions, labels = np.repeat(rows.predictions, times), np.repeat(rows.labels, times)
    return float(function(predictions, labels).statistic) if len(labels) > 1 else float("nan")
