"""Figures against scikit-learn and SciPy called directly, and against ones worked out by hand."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import evaluate
import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from bertkit.errors import BertkitError
from bertkit.finetuning.confusion import confusion
from bertkit.finetuning.figures import baseline, check_names, compute, interval
from bertkit.finetuning.heads.number import Number
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.several_classes import SeveralClasses
from bertkit.finetuning.metrics import METRICS
from bertkit.intervals import wilson_interval

CLASSES, NUMBERS, SETS = "single_label_classification", "regression", "multi_label_classification"
Arrays = tuple[np.ndarray, np.ndarray]

# True class 1: 6 right, 1 missed; true class 0: 3 right, 2 wrongly called 1 (TP 6, FN 1, TN 3, FP 2).
HAND_LABELS = [1] * 7 + [0] * 5
HAND_PREDICTIONS = [1] * 6 + [0] + [0] * 3 + [1] * 2


def random_classes(classes: int) -> Arrays:
    random = np.random.default_rng(classes)
    labels = random.integers(0, classes, 300)
    return np.where(random.random(300) < 0.7, labels, random.integers(0, classes, 300)), labels


def random_numbers(all_different: bool = False) -> Arrays:
    random = np.random.default_rng(5)
    labels = random.integers(0, 11, 200).astype(np.float32) / 2  # with ties, as in STS-B
    labels += random.random(200, dtype=np.float32) * all_different
    return (labels + random.normal(size=200)).astype(np.float32), labels


def random_sets() -> Arrays:
    random = np.random.default_rng(6)
    labels = (random.random((150, 4)) < 0.3).astype(np.float32)
    return np.where(random.random(labels.shape) < 0.8, labels, 1 - labels), labels


def f1(average: str) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda p, y: sklearn_metrics.f1_score(y, p, average=average)


@pytest.mark.parametrize(
    ("name", "arrays", "expected"),
    [
        ("accuracy", random_classes(3), lambda p, y: sklearn_metrics.accuracy_score(y, p)),
        ("f1", random_classes(2), f1("binary")),
        ("macro_f1", random_classes(2), f1("macro")),
        ("macro_f1", random_classes(5), f1("macro")),
        ("precision", random_classes(2), lambda p, y: sklearn_metrics.precision_score(y, p)),
        ("precision", random_classes(4), lambda p, y: sklearn_metrics.precision_score(y, p, average="macro")),
        ("recall", random_classes(2), lambda p, y: sklearn_metrics.recall_score(y, p)),
        ("recall", random_classes(4), lambda p, y: sklearn_metrics.recall_score(y, p, average="macro")),
        ("matthews_correlation", random_classes(2), lambda p, y: sklearn_metrics.matthews_corrcoef(y, p)),
        ("matthews_correlation", random_classes(3), lambda p, y: sklearn_metrics.matthews_corrcoef(y, p)),
        ("pearson", random_numbers(), lambda p, y: stats.pearsonr(p.astype(float), y.astype(float)).statistic),
        ("spearmanr", random_numbers(), lambda p, y: stats.spearmanr(p, y).statistic),
        ("mse", random_numbers(), lambda p, y: np.mean((p.astype(float) - y) ** 2)),
        ("micro_f1", random_sets(), f1("micro")),
        ("macro_f1", random_sets(), f1("macro")),
        ("accuracy", random_sets(), lambda p, y: np.mean((p == y).all(axis=1))),
    ],
)
def test_figures_are_those_of_the_libraries(
    name: str, arrays: Arrays, expected: Callable[[np.ndarray, np.ndarray], float]
) -> None:
    assert compute([name], *arrays) == {name: pytest.approx(expected(*arrays), abs=1e-12)}


@pytest.mark.parametrize(
    ("name", "expected"), [("precision", sklearn_metrics.precision_score), ("recall", sklearn_metrics.recall_score)]
)
def test_means_over_three_classes_stay_means_where_the_third_does_not_occur(
    name: str, expected: Callable[..., float]
) -> None:
    predictions, labels = np.array([1, 1, 0, 0, 1]), np.array([1, 1, 1, 0, 0])
    assert compute([name], predictions, labels) == {name: pytest.approx(2 / 3)}  # of class 1 of two
    assert compute([name], predictions, labels, 3) == {name: pytest.approx((2 / 3 + 1 / 2) / 2)}
    low, high = interval(name, predictions, labels, seed=1, num_labels=3)
    assert low < (2 / 3 + 1 / 2) / 2 < high
    of_one_answer = expected(labels, np.ones_like(labels), average="macro", zero_division=0)
    assert baseline(name, labels, 3) == pytest.approx(of_one_answer)


def test_two_classes_by_hand() -> None:
    names = ["accuracy", "f1", "macro_f1", "precision", "recall", "matthews_correlation"]
    assert compute(names, HAND_PREDICTIONS, HAND_LABELS) == pytest.approx(
        {
            "accuracy": 9 / 12,
            "f1": 12 / 15,  # 2 TP / (2 TP + FP + FN)
            "macro_f1": (12 / 15 + 6 / 9) / 2,
            "precision": 6 / 8,
            "recall": 6 / 7,
            "matthews_correlation": (6 * 3 - 2 * 1) / math.sqrt(8 * 7 * 5 * 4),
        }
    )


def test_numbers_by_hand() -> None:
    # Labels less their mean: -1.5 -.5 .5 1.5; predictions: -3 -2 -1 6. Products sum to 14; squares to 5 and 50.
    # Ranks of the predictions are 1 2 3 4 as well.
    found = compute(["pearson", "spearmanr", "mse"], [1.0, 2.0, 3.0, 10.0], [1.0, 2.0, 3.0, 4.0])
    assert found == pytest.approx({"pearson": 14 / math.sqrt(5 * 50), "spearmanr": 1.0, "mse": 36 / 4})
    # Ranks 1 2 4 3 against 1 2 3 4: 1 - 6 · (0 + 0 + 1 + 1) / (4 · 15).
    assert compute(["spearmanr"], [1.0, 2.0, 9.0, 3.0], [1.0, 2.0, 3.0, 4.0])["spearmanr"] == pytest.approx(0.8)


def test_sets_by_hand() -> None:
    # Class by class: TP 1, FP 1, FN 0; TP 1, FP 0, FN 1; TP 0, FP 0, FN 1. Only the second row is right throughout.
    labels, predictions = [[1, 1, 0], [0, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert compute(["micro_f1", "macro_f1", "accuracy"], predictions, labels) == pytest.approx(
        {"micro_f1": 4 / 7, "macro_f1": (2 / 3 + 2 / 3 + 0) / 3, "accuracy": 1 / 3}
    )


def test_degenerate_predictions_are_zero_without_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["matthews_correlation", "f1", "precision", "recall"]
    assert compute(names, [0, 0, 0], [0, 1, 1]) == dict.fromkeys(names, 0.0)
    assert compute(names, [0, 0], [0, 0]) == dict.fromkeys(names, 0.0)
    assert capsys.readouterr().err == ""
    for predictions, labels in [([2.0, 2.0, 2.0], [1.0, 2.0, 3.0]), ([1.0], [2.0])]:
        assert compute(["pearson", "spearmanr"], predictions, labels) == {"pearson": 0.0, "spearmanr": 0.0}
        err = capsys.readouterr().err
        assert "pearson is undefined" in err
        assert "spearmanr is undefined" in err
        assert interval("pearson", predictions, labels, seed=1) == (-1.0, 1.0)
        assert interval("spearmanr", predictions, labels, seed=1) == (-1.0, 1.0)
    assert capsys.readouterr().err == ""


def test_evaluate_writes_nothing_that_lingers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, temporary = tmp_path / "cache", tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", cache)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    compute(["accuracy", "macro_f1"], *random_classes(3))
    assert not cache.exists()
    assert list(temporary.iterdir()) == []


def test_metrics_are_plain_evaluate_metrics(tmp_path: Path) -> None:
    for name, metric in METRICS.items():
        loaded = metric(cache_dir=str(tmp_path), keep_in_memory=True)
        assert isinstance(loaded, evaluate.Metric)
        assert loaded.name == name
        assert loaded.description
    accuracy = METRICS["accuracy"](cache_dir=str(tmp_path), keep_in_memory=True)
    accuracy.add_batch(predictions=[0, 1], references=[0, 0])
    accuracy.add_batch(predictions=[1, 1], references=[1, 1])
    assert accuracy.compute() == {"accuracy": 0.75}


def test_a_perfect_ranking_of_few_rows_is_still_uncertain():
    """By hand, of five: two neighbours exchanged are 1 - 12 / 120 = 0.9, tanh(atanh(0.9) - 1.96 √(1.405 / 2)) = -0.17."""
    rising = np.arange(5.0)
    assert interval("spearmanr", rising, rising, seed=1) == pytest.approx((-0.1687, 1.0), abs=1e-3)
    assert interval("spearmanr", -rising, rising, seed=1) == pytest.approx((-1.0, 0.1687), abs=1e-3)


@pytest.mark.parametrize(
    ("names", "kind", "arrays"),
    [
        (["accuracy", "macro_f1", "matthews_correlation"], "default", random_classes(3)),
        (["pearson", "mse"], "default", random_numbers()),
        (["micro_f1", "macro_f1", "accuracy"], SETS, random_sets()),
    ],
)
def test_they_combine_to_the_figures_of_our_evaluation(
    tmp_path: Path, names: list[str], kind: str, arrays: Arrays
) -> None:
    """Also with a metric that is not ours, and given batch by batch."""

    class Rows(evaluate.Metric):
        def _info(self) -> evaluate.MetricInfo:
            return METRICS[names[0]](kind, cache_dir=str(tmp_path))._info()

        def _compute(self, predictions: list[object], references: list[object]) -> dict[str, float]:
            return {"rows": len(predictions)}

    modules = [METRICS[name](kind, cache_dir=str(tmp_path)) for name in names]
    combined = evaluate.combine([*modules, Rows(cache_dir=str(tmp_path))])
    predictions, labels = (one if names[0] == "pearson" else one.astype(int) for one in arrays)
    for batch in (slice(0, 50), slice(50, None)):
        combined.add_batch(predictions=predictions[batch], references=labels[batch])
    expected = compute(names, predictions, labels)
    assert combined.compute() == pytest.approx({**expected, "rows": len(labels)}, rel=1e-6)


HEADS = {CLASSES: OneClass(["a", "b"]), NUMBERS: Number(), SETS: SeveralClasses(["a", "b", "c", "d"])}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name in METRICS for kind in METRICS[name].fits])
def test_of_every_metric_right_answers_are_best(name: str, kind: str) -> None:
    """The head of its rows has to know which way it goes: by it the best weights are kept."""
    arrays = {CLASSES: random_classes(2), NUMBERS: random_numbers(), SETS: random_sets()}[kind]
    right, wrong = (compute([name], predictions, arrays[1])[name] for predictions in (arrays[1], arrays[0]))
    assert HEADS[kind].goodness(name, {f"eval_{name}": right}) > HEADS[kind].goodness(name, {f"eval_{name}": wrong})


def test_defaults_fit_their_problem() -> None:
    for head in (OneClass(["a", "b"]), OneClass(["a", "b", "c"]), SeveralClasses(["a", "b"]), Number()):
        check_names(head.metric_names, head.problem_type, len(head.label_names) or None)
    assert OneClass(["a", "b", "c"]).metrics(()) == ("accuracy", "macro_f1")
    assert OneClass(["a", "b"]).metrics(()) == ("accuracy", "f1")


@pytest.mark.parametrize(
    ("name", "predictions", "labels", "message"),
    [
        ("acuracy", [0], [0], r"no metric 'acuracy'\. Did you mean 'accuracy'\? There are: accuracy, f1,"),
        ("pearson", [0, 1], [0, 1], "pearson does not fit single_label_classification of 2 classes: choose of acc"),
        ("f1", [0, 2], [0, 1], "f1 does not fit single_label_classification of 3 classes: choose of accuracy, macro"),
        ("accuracy", [0.5], [1.0], "accuracy does not fit regression: choose of pearson, spearmanr, mse"),
        ("mse", [math.nan], [1.0], "not finite"),
        ("accuracy", [], [], "no rows"),
    ],
)
def test_what_cannot_be_computed_is_refused(name: str, predictions: list, labels: list, message: str) -> None:
    with pytest.raises(BertkitError, match=message):
        compute([name], predictions, labels)
    with pytest.raises(BertkitError, match=message):
        interval(name, predictions, labels, seed=1)


def test_interval_of_accuracy_is_that_of_a_share() -> None:
    for name, predictions, labels in (
        ("accuracy", HAND_PREDICTIONS, HAND_LABELS),
        ("accuracy", np.eye(12)[HAND_LABELS], np.eye(12)[HAND_PREDICTIONS]),
    ):
        assert interval(name, predictions, labels, seed=1) == wilson_interval(9, 12)


def test_intervals_of_precision_and_recall_of_two_classes_are_those_of_shares() -> None:
    assert interval("precision", HAND_PREDICTIONS, HAND_LABELS, seed=1) == wilson_interval(6, 8)
    assert interval("recall", HAND_PREDICTIONS, HAND_LABELS, seed=1) == wilson_interval(6, 7)


def macro_recall(predictions: np.ndarray, labels: np.ndarray) -> float:
    return sklearn_metrics.recall_score(labels, predictions, average="macro", zero_division=0)


@pytest.mark.parametrize(
    ("name", "arrays", "figure"),
    [
        ("macro_f1", random_classes(3), f1("macro")),
        ("recall", random_classes(4), macro_recall),
        ("matthews_correlation", random_classes(4), lambda p, y: sklearn_metrics.matthews_corrcoef(y, p)),
        ("micro_f1", random_sets(), f1("micro")),
        ("spearmanr", random_numbers(), lambda p, y: stats.spearmanr(p, y).statistic),
        ("pearson", random_numbers(all_different=True), lambda p, y: stats.pearsonr(p, y).statistic),
    ],
)
def test_interval_is_about_that_of_resampled_rows(
    name: str, arrays: Arrays, figure: Callable[[np.ndarray, np.ndarray], float]
) -> None:
    predictions, labels = arrays
    random, resamples = np.random.default_rng(8), 400
    rows = [random.integers(0, len(labels), len(labels)) for _ in range(resamples)]
    figures = [figure(predictions[drawn], labels[drawn]) for drawn in rows]
    # Quantiles of 400 draws: 4 · sqrt(.025 · .975 / 400) / density(-1.96) = .53 deviations, and .1 for the correction.
    tolerance = 0.63 * float(np.std(figures))
    assert interval(name, predictions, labels, seed=9) == pytest.approx(
        tuple(np.percentile(figures, [2.5, 97.5])), abs=tolerance
    )


def test_confusion_by_hand() -> None:
    none_right = confusion([0, 0], [1, 1], ["no", "yes"])["per_class"]
    assert repr([one["support"] for one in none_right.values()]) == "[0, 2]"  # numbers of rows, no floats
    found = confusion(np.array(HAND_PREDICTIONS), np.array(HAND_LABELS), ["no", "yes", "never"])
    assert json.loads(json.dumps(found)) == found
    assert found["labels"] == ["no", "yes", "never"]
    assert found["matrix"] == [[3, 2, 0], [1, 6, 0], [0, 0, 0]]
    assert found["per_class"] == {
        "no": {"precision": 3 / 4, "recall": 3 / 5, "f1": pytest.approx(6 / 9), "support": 5},
        "yes": {"precision": 6 / 8, "recall": 6 / 7, "f1": pytest.approx(12 / 15), "support": 7},
        "never": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0},
    }


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("accuracy", HAND_LABELS, 7 / 12),
        ("accuracy", [4, 4, 4], 1.0),
        ("f1", HAND_LABELS, 14 / 19),  # all rows are said to be of class 1: 2 · 7 / (12 + 7)
        ("macro_f1", HAND_LABELS, 7 / 19),
        ("matthews_correlation", HAND_LABELS, 0.0),
        ("f1", [0, 0, 0, 1], 2 / 5),
        ("precision", [0, 0, 0, 1], 1 / 4),
        ("recall", [0, 0, 0, 1], 0.0),
        ("micro_f1", [[1, 0], [1, 1], [1, 0]], 2 * 3 / (3 + 4)),
        ("micro_f1", [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]], 2 * 4 / (10 + 5)),  # two classes for all
        ("macro_f1", [[1, 0], [0, 1], [0, 0], [0, 1]], (2 / 5 + 4 / 6) / 2),
        ("accuracy", [[1, 0], [0, 1], [0, 0], [0, 1]], 1 / 2),
        ("mse", [1.0, 2.0, 6.0], (4 + 1 + 9) / 3),
        ("pearson", [1.0, 2.0, 6.0], 0.0),
    ],
)
def test_the_baseline_is_the_figure_of_one_answer_for_all(name: str, labels: list, expected: float) -> None:
    assert baseline(name, labels) == pytest.approx(expected)
