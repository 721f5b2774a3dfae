"""95 % confidence intervals: how far a figure measured on some rows may lie from that of all rows like them.

Shares of rows get Wilson's interval. Other figures that are made of sums over rows get one by the BCa bootstrap. How often
the intervals cover the truth is measured in docs/measurements.md.
"""

from collections.abc import Callable

import numpy as np

_RESAMPLES = 1_000
_NUMBERS_AT_ONCE = 20_000_000
"""Resamples are drawn in blocks of so many numbers (160 MB): 1,000 resamples of a million rows at once would take 8 GB."""
NORMAL_95 = np.array([-1.959964, 1.959964])


def wilson_interval(hits: int, trials: int) -> tuple[float, float]:
    """The interval of a share (Wilson 1927). It has a width even if all or no trials are hits; without trials it is 0 to 1."""
    from scipy.stats import binomtest

    if not trials:
        return 0.0, 1.0
    interval = binomtest(int(hits), int(trials)).proportion_ci(0.95, "wilson")
    return float(interval.low), float(interval.high)


def ratio(sums: np.ndarray) -> np.ndarray:
    """Numerators divided by denominators, ``[..., 2]`` → ``[...]``; 0 / 0 is 0."""
    zeros = np.zeros(sums.shape[:-1])
    quotient: np.ndarray = np.divide(sums[..., 0], sums[..., 1], out=zeros, where=sums[..., 1] != 0)
    return quotient


def bootstrap_interval(
    parts: np.ndarray,
    seed: int,
    figure: Callable[[np.ndarray], np.ndarray] = ratio,
    limits: tuple[float, float] | None = (0.0, 1.0),
) -> tuple[float, float]:
    """The interval of a figure by resampling rows, corrected for bias and skewness (BCa; Efron and Tibshirani 1993, 14.3).

    Equal rows are stored once, and how often each is drawn follows a multinomial distribution, as if all rows were drawn.
    For a task with two classes four rows so stand for 40,000.

    If all rows are right, so are all resamples, and yet other rows may be wrong: as many as Wilson's interval leaves. The
    same holds for any interval without a width. With ``limits`` it gets the one that is Wilson's for a share of 0 or 1.

    Args:
        parts: ``[rows, ...]``: what each row adds to the sums that the figure is made of.
        seed: of the resampling.
        figure: computes figures ``[...]`` from sums ``[..., ...]``; undefined ones (NaN) count as 0.
        limits: the least and the greatest value that the figure can have; None if there are none.
    """
    kept, counts = np.unique(parts.reshape(len(parts), -1), axis=0, return_counts=True)
    rows, shape = int(counts.sum()), parts.shape[1:]

    def figures(sums: np.ndarray) -> np.ndarray:
        defined: np.ndarray = np.nan_to_num(figure(sums.reshape(-1, *shape)))
        return defined

    random = np.random.default_rng(seed)
    block = max(1, _NUMBERS_AT_ONCE // len(kept))
    blocks = [min(block, _RESAMPLES - begin) for begin in range(0, _RESAMPLES, block)]
    drawn = np.concatenate([figures(random.multinomial(rows, counts / rows, size) @ kept) for size in blocks])
    whole = counts @ kept
    # The jackknife: each row is left out in turn, equal ones at once.
    without = figures(whole - kept)
    away = counts @ without / rows - without
    spread = float(counts @ away**2)
    skewness = float(counts @ away**3) / (6 * spread**1.5) if spread else 0.0
    low, high = _corrected(drawn, float(figures(whole)[0]), skewness)
    if low != high or limits is None:
        return low, high
    # A row of zeros, such as one without the class of an F1, says nothing.
    counted = int(counts[kept.any(axis=1)].sum())
    alike, _ = wilson_interval(counted, counted)
    return alike * low + (1 - alike) * limits[0], alike * high + (1 - alike) * limits[1]


def _corrected(drawn: np.ndarray, value: float, skewness: float) -> tuple[float, float]:
    """The quantiles of the resampled figures that bound the corrected 95 % interval."""
    from scipy.special import ndtr, ndtri  # the functions of scipy.stats.norm, without its overhead

    below = ((drawn < value).mean() + (drawn <= value).mean()) / 2
    bias = ndtri(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn)))
    shifted = bias + NORMAL_95
    low, high = np.quantile(drawn, ndtr(bias + shifted / (1 - skewness * shifted)))
    return float(low), float(high)
