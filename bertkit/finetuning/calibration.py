"""How sure a classifier is, held against how often it is right (Guo et al. 2017), and the thresholds of its labels."""

import numpy as np

_BINS = 15
"""As in the paper."""
_HOTTEST = 20.0
"""And the coldest is 1 / 20: what wants more has learned nothing, or the rows by heart."""


def calibration_error(shares: np.ndarray, labels: np.ndarray) -> float:
    """The expected calibration error: the mean distance between certainty and accuracy, over 15 bins of certainty.

    Args:
        shares: probabilities, float64 ``[R, C]``.
        labels: ids, int64 ``[R]``.

    Example:
        >>> always_sure = np.array([[1.0, 0.0]] * 4)
        >>> calibration_error(always_sure, np.array([0, 0, 0, 1]))
        0.25
    """
    certainty, is_right = shares.max(axis=1), shares.argmax(axis=1) == labels
    bins = np.minimum((certainty * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.bincount(bins, weights=certainty - is_right, minlength=_BINS)
    return float(np.abs(gaps).sum() / max(1, len(labels)))


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """By what the logits ``[R, C]`` are best divided: the least cross-entropy of these rows, whose classes stay the same."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    exact, rows = logits.astype(np.float64), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(exact / np.exp(log_temperature), axis=1)[rows, labels].mean())

    most = np.log(_HOTTEST)
    return float(np.exp(minimize_scalar(loss, bounds=(-most, most), method="bounded").x))


def best_threshold(shares: np.ndarray, labels: np.ndarray) -> float:
    """Over which probability a label is best said: the greatest F1 of these rows; 0.5 where none is greater.

    One that says the label of all rows is left out: F1 likes it for what nothing is known of (Lipton et al. 2014).

    Args:
        shares: float64 ``[R]``, of one label.
        labels: 0 or 1, ``[R]``.

    Example:
        >>> best_threshold(np.array([0.1, 0.2, 0.3, 0.45]), np.array([0, 0, 1, 1]))
        0.25
    """
    values, order = np.unique(shares, return_inverse=True)
    cuts = np.append((values[:-1] + values[1:]) / 2, 0.5)
    said = len(shares) - np.searchsorted(np.sort(shares), cuts, side="right")
    right = np.bincount(order, weights=labels, minlength=len(values))
    both = np.append(right[::-1].cumsum()[::-1], 0.0)[np.searchsorted(values, cuts, side="right")]
    figures = 2 * both / np.maximum(1, said + labels.sum())
    best = np.flatnonzero(np.isclose(figures, figures.max()))
    return float(cuts[best[np.abs(cuts[best] - 0.5).argmin()]])
