"""Metrics for texts with classes or numbers, as ``evaluate.Metric``s that need no hub and work with ``evaluate.combine``.

Predictions and labels are class ids ``[rows]``, numbers ``[rows]`` (floats), or 0/1 ``[rows, classes]``.
"""

from typing import ClassVar

import datasets
import evaluate
import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from bertkit.intervals import NORMAL_95, bootstrap_interval, ratio, wilson_interval

CLASSES, NUMBERS, SETS = "single_label_classification", "regression", "multi_label_classification"
_FEATURE = {
    CLASSES: datasets.Value("int64"),
    NUMBERS: datasets.Value("float64"),
    SETS: datasets.Sequence(datasets.Value("int64")),
}
_ROUNDING = 1e-12  # a variance below this share of the mean square counts as 0


def _flags(predictions: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether each row is predicted as each class, belongs to it, or either: three bool arrays ``[rows, C]``.

    For ids, C are the classes that occur. For several classes per row all of them count as occurring, as in scikit-learn.
    """
    if labels.ndim == 2:
        return predictions == 1, labels == 1, np.ones(labels.shape, dtype=bool)
    classes = np.union1d(predictions, labels)
    said, there = predictions[:, None] == classes, labels[:, None] == classes
    return said, there, said | there


class Score(evaluate.Metric):
    """One figure of predictions and labels; NaN where it is undefined. ``config_name`` is a kind of labels.

    Every figure is made of sums over the rows: ``figure(parts(predictions, labels).sum(axis=0))``. So the figure of a
    resample of the rows, as for its interval, needs only other weights in the sum.

    Attributes:
        fits: the kinds of labels that it can be computed for; the first one is the default.
        limits: the least and the greatest value that it can have; None for those of numbers, whose rows are never all alike.
        of_second: whether, of two classes, it is the figure of the second one, which the baseline then gives for all rows.
    """

    fits: ClassVar[tuple[str, ...]] = (CLASSES,)
    limits: ClassVar[tuple[float, float] | None] = (0.0, 1.0)
    of_second: ClassVar[bool] = False

    @classmethod
    def one_answer(cls, labels: np.ndarray) -> np.ndarray | float:
        """The same answer for all rows that is the baseline: the most frequent class ``[]``, or set of classes ``[classes]``; or
        the mean ``[]``."""
        if labels.ndim == 2:
            sets, rows = np.unique(labels, axis=0, return_counts=True)
            return np.asarray(sets[rows.argmax()])
        if not np.issubdtype(labels.dtype, np.integer):
            return float(labels.mean())
        return 1.0 if cls.of_second and labels.max() <= 1 else float(np.bincount(labels).argmax())

    @staticmethod
    def parts(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """What each row adds to the sums, float64 ``[rows, ...]``; ``[rows, 2]`` for a numerator and a denominator."""
        raise NotImplementedError

    @staticmethod
    def figure(sums: np.ndarray) -> np.ndarray:
        """Figures ``[...]`` from sums ``[..., ...]``; by default numerators divided by denominators."""
        return ratio(sums)

    @classmethod
    def interval(cls, predictions: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, float]:
        """The 95 % confidence interval; by default from resampling the rows."""
        return bootstrap_interval(cls.parts(predictions, labels), seed, cls.figure, cls.limits)

    def _info(self) -> evaluate.MetricInfo:
        feature = _FEATURE[self.fits[0] if self.config_name == "default" else self.config_name]
        features = datasets.Features({"predictions": feature, "references": feature})
        return evaluate.MetricInfo(description=self.__doc__, citation="", features=features)

    def _compute(self, predictions: ArrayLike, references: ArrayLike) -> dict[str, float]:
        sums = self.parts(np.asarray(predictions), np.asarray(references)).sum(axis=0)
        return {self.name: float(self.figure(sums))}


class Accuracy(Score):
    """The share of the rows that are right; a multi-label row is right if every class is."""

    fits = (CLASSES, SETS)

    @staticmethod
    def parts(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        right = (predictions == labels).reshape(len(labels), -1).all(axis=1)
        return _pairs(right, np.ones_like(right))

    @classmethod
    def interval(cls, predictions: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, float]:  # noqa: ARG003
        return _of_share(cls.parts(predictions, labels))


class F1(Score):
    """The harmonic mean of precision and recall of class 1 of two, as in GLUE."""

    of_second = True

    @staticmethod
    def parts(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return _f1_parts(predictions == 1, labels == 1)


class _MeanOverClasses(Score):
    """A mean over the classes that occur in the rows (or in a resample of them), predicted or true."""

    @staticmethod
    def figure(sums: np.ndarray) -> np.ndarray:
        """From sums ``[..., C, 3]``: numerator, denominator, and the number of rows in which the class occurs."""
        occurring: np.ndarray = (sums[..., 2] > 0).sum(axis=-1)
        return ratio(_pairs(ratio(sums[..., :2]).sum(axis=-1), occurring))


class MacroF1(_MeanOverClasses):
    """The mean of the F1 of all classes."""

    fits = (CLASSES, SETS)

    @classmethod
    def one_answer(cls, labels: np.ndarray) -> np.ndarray | float:
        """As of every metric; of several classes a row all of them, for the F1 of one that is never said is 0."""
        return np.ones(labels.shape[1]) if labels.ndim == 2 else super().one_answer(labels)

    @staticmethod
    def parts(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        said, there, occurs = _flags(predictions, labels)
        return np.concatenate([_f1_parts(said, there), occurs[..., None]], axis=-1)


class MicroF1(Score):
    """The F1 of the decisions about all classes together."""

    fits = (SETS,)

    @classmethod
    def one_answer(cls, labels: np.ndarray) -> np.ndarray:
        """The most frequent classes, as many as give the best F1: of k classes 2 · right / (k · rows + true)."""
        rows = labels.sum(axis=0)
        by_rows = np.argsort(-rows, kind="stable")
        f1 = ratio(_pairs(2 * np.cumsum(rows[by_rows]), np.arange(1, len(rows) + 1) * len(labels) + rows.sum()))
        return np.isin(np.arange(len(rows)), by_rows[: 1 + int(np.nanargmax(f1))])

    @staticmethod
    def parts(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        parts: np.ndarray = _f1_parts(predictions == 1, labels == 1).sum(axis=1)
        return parts


class Precision(_MeanOverClasses):
    """The share of the rows predicted as a class that belong to it: class 1 of two, else the mean over the classes.

    Rows with no id above 1 are taken for two classes; where there are more, it is ``MacroPrecision``.
    """

    of_second = True

    @classmethod
    def parts(cls, predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        said, there, occurs = cls.flags(predictions, labels)
        return np.stack([said & there, said, occurs], axis=-1).astype(np.float64)

    @staticmethod
    def flags(predictions: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As ``_flags``, but of two classes only the second one, ``[rows, 1]``."""
        if max(predictions.max(), labels.max()) > 1:
            return _flags(predictions, labels)
        return predictions[:, None] == 1, labels[:, None] == 1, np.ones((len(labels), 1), dtype=bool)

    @classmethod
    def interval(cls, predictions: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, float]:
        parts = cls.parts(predictions, labels)
        return _of_share(parts[:, 0, :2]) if parts.shape[1] == 1 else bootstrap_interval(parts, seed, cls.figure)


class Recall(Precision):
    """The share of the rows of a class that are predicted as it: class 1 of two, else the mean over the classes."""

    of_second = False  # that of the same answer for all would be 1, which nothing beats

    @classmethod
    def parts(cls, predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        said, there, occurs = cls.flags(predictions, labels)
        return np.stack([said & there, there, occurs], axis=-1).astype(np.float64)


class MacroPrecision(Precision):
    """The mean of the precision of all classes that occur, also where only the first two do."""

    of_second = False
    flags = staticmethod(_flags)


class MacroRecall(Recall):
    """The mean of the recall of all classes that occur, also where only the first two do."""

    flags = staticmethod(_flags)


class MatthewsCorrelation(Score):
    """The correlation of predicted and true classes (Matthews 1975; Gorodkin 2004 for more than two); 0 is chance."""

    limits = (-1.0, 1.0)

    @staticmethod
    def parts(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        said, there, _ = _flags(predictions, labels)
        return np.stack([said & there, said, there], axis=1).astype(np.float64)

    @staticmethod
    def figure(sums: np.ndarray) -> np.ndarray:
        """From sums ``[..., 3, C]``: for each class the rows that are right, the predicted ones, and the true ones."""
        hits, said, there = (sums[..., number, :] for number in range(3))
        rows = there.sum(axis=-1)
        covariance = hits.sum(axis=-1) * rows - (said * there).sum(axis=-1)
        variances = [rows**2 - (one**2).sum(axis=-1) for one in (said, there)]
        return ratio(_pairs(covariance, np.sqrt(variances[0] * variances[1])))


class Pearson(Score):
    """The linear correlation; undefined if either side is constant."""

    fits = (NUMBERS,)
    limits = None

    @staticmethod
    def parts(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        # Centred, so that no precision is lost if the means are large.
        x, y = (one - one.mean() if np.ptp(one) else np.zeros(len(one)) for one in (predictions, labels))
        return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y], axis=1)

    @staticmethod
    def figure(sums: np.ndarray) -> np.ndarray:
        """From sums ``[..., 6]``: rows, x, y, x², y², xy."""
        rows, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
        with np.errstate(all="ignore"):
            of_x, of_y = xx - x * x / rows, yy - y * y / rows
            constant = (of_x <= _ROUNDING * xx) | (of_y <= _ROUNDING * yy)
            return np.where(constant, np.nan, (xy - x * y / rows) / np.sqrt(of_x * of_y))

    @classmethod
    def interval(cls, predictions: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, float]:
        """As of every figure; all that there can be where the correlation is undefined."""
        if np.isnan(cls.figure(cls.parts(predictions, labels).sum(axis=0))):
            return -1.0, 1.0
        return super().interval(predictions, labels, seed)


class Spearmanr(Pearson):
    """The correlation of the ranks; undefined if either side is constant."""

    @staticmethod
    def parts(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return Pearson.parts(stats.rankdata(predictions), stats.rankdata(labels))

    @classmethod
    def interval(cls, predictions: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, float]:  # noqa: ARG003
        """The interval by Fisher's z, with the deviation for ranks (Bonett and Wright 2000).

        The z of a perfect ranking is infinite: that of the same ranking with two neighbours exchanged takes its place, whose
        correlation is ``1 - 12 / (n³ - n)``.
        """
        value, rows = float(np.nan_to_num(cls.figure(cls.parts(predictions, labels).sum(axis=0)))), len(labels)
        if rows < 4:
            return -1.0, 1.0
        most = 1 - 12 / (rows**3 - rows)
        near = min(max(value, -most), most)
        half = NORMAL_95[1] * np.sqrt((1 + near**2 / 2) / (rows - 3))
        low, high = np.tanh(np.arctanh(near) - half), np.tanh(np.arctanh(near) + half)
        return min(float(low), value), max(float(high), value)


class Mse(Score):
    """The mean squared error."""

    fits = (NUMBERS,)
    limits = None

    @staticmethod
    def parts(predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return _pairs((predictions - labels) ** 2, np.ones(len(labels)))


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
OF_MANY: dict[str, type[Score]] = {"precision": MacroPrecision, "recall": MacroRecall}  # where classes are over two


def _f1_parts(said: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Numerator and denominator of F1 = 2 · both / (predicted + true)."""
    return _pairs(2 * (said & there), said.astype(int) + there)


def _pairs(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    return np.stack([numerators, denominators], axis=-1).astype(np.float64)


def _of_share(parts: np.ndarray) -> tuple[float, float]:
    hits, trials = parts.sum(axis=0)
    return wilson_interval(hits, trials)
