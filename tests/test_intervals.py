"""95 % intervals: those of SciPy and of the literature, and how often they hold the true figure in simulation."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from bertkit import intervals
from bertkit.finetuning.metrics import METRICS
from bertkit.intervals import bootstrap_interval, ratio, wilson_interval

Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
ROWS = 300
RUNS = 1_000
"""The deviation of a coverage of 95 % is then sqrt(.95 · .05 / 1000) = 0.7 %; 93 and 97 % are 2.9 of these away."""
ENOUGH = (0.93, 0.97)


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_is_that_of_newcombe(hits: int, trials: int, low: float, high: float) -> None:
    """Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3."""
    assert wilson_interval(hits, trials) == pytest.approx((low, high), abs=5e-5)
    assert wilson_interval(trials - hits, trials) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_no_trials_say_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_bca_is_that_of_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    values = random.lognormal(size=40)  # skewed, so that the plain percentiles differ
    resamples = 20_000
    of_scipy = stats.bootstrap((values,), np.mean, n_resamples=resamples, method="BCa", rng=1)
    plain = stats.bootstrap((values,), np.mean, n_resamples=resamples, method="percentile", rng=1)
    parts = np.stack([values, np.ones(40)], axis=1)
    monkeypatch.setattr(intervals, "_RESAMPLES", resamples)
    found = bootstrap_interval(parts, seed=2)
    # An outer quantile of N draws deviates by sqrt(.025 · .975 / N) / density(-1.96) = .019 standard deviations; two of
    # them, and the upper tail twice as thin.
    tolerance = 4 * 2 * 0.019 * np.sqrt(2) * of_scipy.standard_error
    assert found == pytest.approx(tuple(of_scipy.confidence_interval), abs=tolerance)
    assert found != pytest.approx(tuple(plain.confidence_interval), abs=tolerance)


def test_nothing_by_nothing_is_nothing() -> None:
    assert ratio(np.array([[1.0, 2.0], [3.0, 4.0], [0.0, 0.0]])).tolist() == [0.5, 0.75, 0.0]


def test_the_seed_alone_decides_whatever_the_order_of_the_rows() -> None:
    random = np.random.default_rng(3)
    parts = np.stack([random.random(50), np.ones(50)], axis=1)
    first = bootstrap_interval(parts, seed=1)
    assert bootstrap_interval(parts[::-1], seed=1) == pytest.approx(first, rel=1e-12)
    assert bootstrap_interval(parts, seed=2) != first


def test_blocks_of_resamples_make_no_difference_to_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = np.stack([np.arange(30.0), np.ones(30)], axis=1)
    whole = bootstrap_interval(parts, seed=1)
    monkeypatch.setattr("bertkit.intervals._NUMBERS_AT_ONCE", 1_000)
    assert bootstrap_interval(parts, seed=1) == whole


@pytest.mark.parametrize("share", [0, 1])
def test_rows_that_are_all_alike_have_the_interval_of_a_share(share: int) -> None:
    parts = np.tile([share, 1.0], (20, 1))
    expected = pytest.approx(wilson_interval(20 * share, 20))
    assert bootstrap_interval(parts, seed=1) == expected
    without_a_say = np.zeros((30, 2))
    assert bootstrap_interval(np.concatenate([parts, without_a_say]), seed=1) == expected
    assert bootstrap_interval(without_a_say, seed=1) == (0.0, 1.0)
    assert bootstrap_interval(parts, seed=1, limits=None) == (share, share)


def classes(shares: list[float], skill: float) -> tuple[Draw, np.ndarray]:
    """Rows of classes of which ``skill`` are known and the others guessed, and the probability of each cell ``[true, said]``."""
    prior = np.array(shares) / sum(shares)
    guessed = (prior + 1 / len(prior)) / 2
    cells = prior[:, None] * (skill * np.eye(len(prior)) + (1 - skill) * guessed)

    def draw(random: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
        cell = random.choice(cells.size, size=rows, p=cells.ravel())
        return cell % len(prior), cell // len(prior)

    return draw, cells


def true_figure(metric: str, cells: np.ndarray) -> float:
    """The figure of infinitely many rows: each cell as a row, weighed with its probability."""
    predictions, labels = np.tile(np.arange(len(cells)), len(cells)), np.repeat(np.arange(len(cells)), len(cells))
    parts = METRICS[metric].parts(predictions, labels)
    return float(METRICS[metric].figure(np.tensordot(cells.ravel(), parts, axes=1)))


def coverage(interval: Callable[[np.random.Generator, int], tuple[float, float]], true: float) -> float:
    """How often the interval of new rows holds the true figure."""
    random = np.random.default_rng(7)
    bounds = np.array([interval(random, seed) for seed in range(RUNS)])
    return float(((bounds[:, 0] <= true) & (true <= bounds[:, 1])).mean())


def test_a_class_that_a_resample_has_lost_does_not_count_in_it() -> None:
    labels = np.array([0] * 20 + [1] * 20 + [2])
    assert METRICS["macro_f1"].interval(labels, labels, seed=1) == pytest.approx(wilson_interval(41, 41))
    never_said = np.array([0] * 20 + [1] * 20 + [0])
    low, high = METRICS["macro_f1"].interval(never_said, labels, seed=1)
    assert low < 0.7 < high  # the mean over three classes, and without the third


def coverage_of(metric: str, draw: Draw, true: float, rows: int = ROWS) -> float:
    return coverage(lambda random, seed: METRICS[metric].interval(*draw(random, rows), seed), true)


@pytest.mark.parametrize("metric", ["accuracy", "f1", "precision", "recall", "macro_f1", "matthews_correlation"])
def test_intervals_of_two_uneven_classes_cover(metric: str) -> None:
    draw, cells = classes([6, 1], 0.7)
    assert ENOUGH[0] <= coverage_of(metric, draw, true_figure(metric, cells)) <= ENOUGH[1]


@pytest.mark.parametrize("metric", ["f1", "macro_f1", "matthews_correlation"])
def test_intervals_cover_where_most_samples_have_no_wrong_row(metric: str) -> None:
    """99 % are right; of 20 rows most samples have no wrong one, and each of their resamples is like the whole."""
    draw, cells = classes([3, 2], 0.98)
    assert coverage_of(metric, draw, true_figure(metric, cells), rows=20) >= ENOUGH[0]


@pytest.mark.parametrize("metric", ["accuracy", "precision", "recall", "macro_f1", "matthews_correlation"])
def test_intervals_of_three_uneven_classes_cover(metric: str) -> None:
    draw, cells = classes([5, 2, 1], 0.7)
    assert ENOUGH[0] <= coverage_of(metric, draw, true_figure(metric, cells)) <= ENOUGH[1]


@pytest.mark.parametrize("metric", ["accuracy", "micro_f1", "macro_f1"])
def test_intervals_of_several_classes_a_row_cover(metric: str) -> None:
    shares, right = np.array([0.5, 0.3, 0.15]), 0.85

    def draw(random: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
        labels = (random.random((rows, 3)) < shares).astype(np.int64)
        return np.where(random.random((rows, 3)) < right, labels, 1 - labels), labels

    both, said = shares * right, shares * right + (1 - shares) * (1 - right)
    true = {
        "accuracy": right**3,
        "micro_f1": 2 * both.sum() / (said + shares).sum(),
        "macro_f1": (2 * both / (said + shares)).mean(),
    }
    assert ENOUGH[0] <= coverage_of(metric, draw, true[metric]) <= ENOUGH[1]


@pytest.mark.parametrize("metric", ["pearson", "spearmanr", "mse"])
def test_intervals_of_numbers_cover(metric: str) -> None:
    def draw(random: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
        labels = random.normal(size=rows)
        return 0.8 * labels + 0.6 * random.normal(size=rows), labels

    # Of two normal variables the correlation of the ranks is 6 / π · asin(ρ / 2); (0.8 - 1)² + 0.6² is 0.4.
    true = {"pearson": 0.8, "spearmanr": 6 / np.pi * np.arcsin(0.4), "mse": 0.4}
    assert ENOUGH[0] <= coverage_of(metric, draw, true[metric], rows=80) <= ENOUGH[1]


def test_intervals_of_entities_cover() -> None:
    # A sentence has 1.5 entities on average; 0.7 of them are said, and 0.2 that are none.
    def interval(random: np.random.Generator, seed: int) -> tuple[float, float]:
        there = random.poisson(1.5, ROWS)
        both = random.binomial(there, 0.7)
        said = both + random.poisson(0.2, ROWS)
        return bootstrap_interval(np.stack([2 * both, said + there], axis=1), seed)

    assert ENOUGH[0] <= coverage(interval, 2 * 0.7 * 1.5 / (0.7 * 1.5 + 0.2 + 1.5)) <= ENOUGH[1]


def test_intervals_of_the_f1_of_answers_cover() -> None:
    # Half of the answers are right, three tenths wrong, and the others share some words.
    def interval(random: np.random.Generator, seed: int) -> tuple[float, float]:
        figures = random.choice([1.0, 0.0, 0.4, 0.8], size=ROWS, p=[0.5, 0.3, 0.1, 0.1])
        return bootstrap_interval(np.stack([figures, np.ones(ROWS)], axis=1), seed)

    assert ENOUGH[0] <= coverage(interval, 0.5 + 0.04 + 0.08) <= ENOUGH[1]


@pytest.mark.parametrize("share", [0.31, 0.62, 0.86])
def test_intervals_of_shares_cover(share: float) -> None:
    # Of exact matches, right choices, minimal pairs and guesses in the cloze test.
    assert (
        ENOUGH[0] <= coverage(lambda random, _: wilson_interval(random.binomial(ROWS, share), ROWS), share) <= ENOUGH[1]
    )
