"""95 % intervals: how far a figure of some rows may lie from that of all rows like them.

Shares of rows get Wilson's, all else that adds up over the rows the BCa bootstrap. Measured coverages: docs/measurements.md.
"""

from collections.abc import Callable

import numpy as np

_RESAMPLES = 1_000
_NUMBERS_AT_ONCE = 20_000_000
"""Resamples are drawn in blocks of 160 MB: 1,000 of a million rows at once would be 8 GB."""
NORMAL_95 = np.array([-1.959964, 1.959964])


def wilson_interval(hits: int, trials: int) -> tuple[float, float]:
    """Of a share (Wilson 1927): one with a width, also where all or none are hits; 0 to 1 without trials."""
    from scipy.stats import binomtest

    if not trials:
        return 0.0, 1.0
    interval = binomtest(int(hits), int(trials)).proportion_ci(0.95, "wilson")
    return float(interval.low), float(interval.high)


def ratio(sums: np.ndarray) -> np.ndarray:
    """``[..., 2]`` → ``[...]``: numerators by denominators; 0 / 0 counts as 0."""
    zeros = np.zeros(sums.shape[:-1])
    quotient: np.ndarray = np.divide(sums[..., 0], sums[..., 1], out=zeros, where=sums[..., 1] != 0)
    return quotient


def bootstrap_interval(
    parts: np.ndarray, seed: int, figure: Callable[[np.ndarray], np.ndarray] = ratio, resamples: int = _RESAMPLES
) -> tuple[float, float]:
    """By resampling rows, with quantiles corrected for bias and skewness (BCa; Efron and Tibshirani 1993, 14.3).

    Equal rows are kept once and how often each is drawn is multinomial: the same distribution, hence four of them
    instead of 40,000 rows for two classes.

    Args:
        parts: ``[rows, ...]``, what each row adds to the sums of which the figure is made.
        figure: sums ``[..., ...]`` → figures ``[...]``; undefined ones (nan) count as 0.
    """
    kept, counts = np.unique(parts.reshape(len(parts), -1), axis=0, return_counts=True)
    rows, shape = int(counts.sum()), parts.shape[1:]

    def figures(sums: np.ndarray) -> np.ndarray:
        defined: np.ndarray = np.nan_to_num(figure(sums.reshape(-1, *shape)))
        return defined

    random = np.random.default_rng(seed)
    block = max(1, _NUMBERS_AT_ONCE // len(kept))
    blocks = [min(block, resamples - begin) for begin in range(0, resamples, block)]
    drawn = np.concatenate([figures(random.multinomial(rows, counts / rows, size) @ kept) for size in blocks])
    whole = counts @ kept
    # Each row left out in turn; equal ones at once.
    without = figures(whole - kept)
    away = counts @ without / rows - without
    spread = float(counts @ away**2)
    skewness = float(counts @ away**3) / (6 * spread**1.5) if spread else 0.0
    return _corrected(drawn, float(figures(whole)[0]), skewness)


def _corrected(drawn: np.ndarray, value: float, skewness: float) -> tuple[float, float]:
    """The quantiles of resampled figures between which the figure itself lies with 95 %."""
    from scipy.special import ndtr, ndtri  # of scipy.stats.norm, without its overhead

    below = ((drawn < value).mean() + (drawn <= value).mean()) / 2
    bias = ndtri(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn)))
    shifted = bias + NORMAL_95
    low, high = np.quantile(drawn, ndtr(bias + shifted / (1 - skewness * shifted)))
    return float(low), float(high)
