"""Calibration of a classifier's probabilities (Guo et al. 2017), and thresholds for labels."""

import numpy as np

_BINS = 15
"""As in the paper."""
_HOTTEST = 20.0
"""The highest temperature that is looked at; the lowest is its inverse. A model that would need more has learned nothing,
or is right so often that there is nothing to fit."""
_NEAR_BOUND = 0.01


def calibration_error(shares: np.ndarray, labels: np.ndarray) -> float:
    """The expected calibration error: the mean distance between confidence and accuracy, over 15 bins of confidence.

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


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> tuple[float, str]:
    """The temperature with the least cross-entropy on these rows: the number that the logits ``[R, C]`` are divided by.

    Returns:
        The temperature, and "". Where none is the best, because ever lower or higher ones are better, 1 and the reason.

    Example:
        >>> best_temperature(np.array([[0.2, 0.1]] * 4), np.array([0, 0, 0, 0]))
        (1.0, 'all of 4 answers are right')
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    if (logits.argmax(axis=1) == labels).all():
        return 1.0, f"all of {len(labels):,} answers are right"
    exact, rows = logits.astype(np.float64), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(exact / np.exp(log_temperature), axis=1)[rows, labels].mean())

    most = np.log(_HOTTEST)
    best = float(minimize_scalar(loss, bounds=(-most, most), method="bounded").x)
    if most - abs(best) < _NEAR_BOUND:
        bound = f"over {_HOTTEST:g}" if best > 0 else f"under {1 / _HOTTEST:g}"
        return 1.0, f"the best one would be {bound}"
    return float(np.exp(best)), ""


def best_threshold(shares: np.ndarray, labels: np.ndarray) -> float:
    """The probability above which predicting a label gives the best F1 on these rows; 0.5 if none is better than that.

    A threshold that predicts the label for all rows is not considered: F1 prefers it where the model knows nothing of a
    label (Lipton et al. 2014).

    Args:
        shares: the probabilities of one label, float64 ``[R]``.
        labels: whether each row has the label, 0 or 1, ``[R]``.

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
