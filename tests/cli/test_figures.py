"""What is said of figures in the last lines of `finetune` and `evaluate`."""

import numpy as np
import pytest

from bertkit.cli.figures import of_class, say_doubts, say_least_class, told
from bertkit.finetuning.evaluation import Scored, results_of
from bertkit.finetuning.features import Split
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.choice import ChoiceHead
from bertkit.finetuning.heads.number import Number
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.several_classes import SeveralClasses
from bertkit.intervals import wilson_interval

NAMES = ["neg", "pos", "so so"]


def certain(head: Head, answer: object) -> dict[str, float]:
    chosen = answer if isinstance(answer, list) else [answer]
    return {name: 0.9 if name in chosen else 0.1 for name in head.label_names}


def results(head: Head, predictions: list, labels: object, texts: object = None) -> dict:
    split = Split("validation", texts or [("text",)] * len(predictions), labels)
    rows = [{"prediction": one, "probabilities": certain(head, one)} for one in predictions]
    metrics = head.metrics(())
    return results_of([Scored(split, head.score(rows, split, metrics), rows)], head, metrics, seed=1)


def of_classes(matrix: list[list[int]]) -> dict:
    cells = [(true, said) for true, row in enumerate(matrix) for said, n in enumerate(row) for _ in range(n)]
    names = NAMES[: len(matrix)]
    return results(OneClass(names), [names[said] for _, said in cells], np.array([true for true, _ in cells]))


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        ([[0, 3], [0, 9]], "all 12 rows got one class, pos"),
        ([[3, 0, 0], [1, 0, 0], [2, 0, 0]], "all 6 rows got one class, neg"),
        # 14 of 20 are pos, and 15 right: Wilson's interval of 15 of 20 is 0.53 to 0.89.
        (
            [[3, 3], [2, 12]],
            "no better than always saying the most frequent class (accuracy 0.7000), by the 95 % interval on 20 rows",
        ),
        ([[6, 0], [1, 13]], ""),  # 0.76 to 0.99
    ],
)
def test_what_does_not_look_at_the_text_is_said_with_what_to_try(capsys, matrix, words):
    say_doubts(of_classes(matrix), "model")
    told = said(capsys)
    assert words in told
    assert ("class_weights=balanced" in told) == bool(words)


def test_weights_are_not_advised_for_even_classes_nor_where_they_are_on(capsys, tmp_path):
    say_doubts(of_classes([[0, 5], [0, 6]]), "model")
    assert "a larger --lr, or more rows to train on" in said(capsys)
    uneven = of_classes([[0, 3], [0, 9]])
    for weights, is_advised in (("none", True), ("balanced", False)):
        (tmp_path / "recipe.toml").write_text(f'[train]\nclass_weights = "{weights}"\n')
        say_doubts(uneven, str(tmp_path))
        assert ("class_weights=balanced" in said(capsys)) == is_advised


@pytest.mark.parametrize("matrix", [[[0, 0], [0, 9]], [[0, 0], [4, 5]]])
def test_rows_of_one_class_are_said_to_tell_nothing(capsys, matrix):
    say_doubts(of_classes(matrix), "model")
    assert said(capsys) == "warning: all 9 rows are of one class, pos: only rows of others show what was learned"


@pytest.mark.parametrize(("noise", "is_doubted"), [(0.1, False), (30.0, True)])
def test_numbers_are_held_against_their_mean(capsys, noise, is_doubted):
    random = np.random.default_rng(0)
    labels = random.normal(size=50)
    found = results(Number(), (labels + noise * random.normal(size=50)).tolist(), labels)
    say_doubts(found, "model")
    told = said(capsys)
    assert ("no better than always saying the mean (pearson 0.0000)" in told) == is_doubted
    assert ("class_weights" in told) is False
    assert found["mean_baseline_mse"] == pytest.approx(labels.var())


def test_a_metric_of_which_the_least_is_best_is_held_against_the_baseline_from_below():
    labels = np.arange(20.0)
    split = Split("validation", [("text",)] * 20, labels)
    for shift, beaten in ((1.0, True), (20.0, False)):  # the mean has an error of 33.25
        rows = [{"prediction": one + shift} for one in labels]
        details = Number().details(rows, split, ("mse",), seed=1)
        assert details["baseline"] == {"what": "always saying the mean", "mse": 33.25, "beaten": beaten}


def test_several_classes_are_held_against_those_that_most_rows_have():
    labels = np.array([[1, 0]] * 6 + [[1, 1]] * 4, dtype=np.float32)
    found = results(SeveralClasses(["a", "b"]), [["a"]] * 10, labels)
    assert found["baseline"] == {
        "what": "always saying the same classes",
        "micro_f1": pytest.approx(2 * 10 / (10 + 14)),
        "beaten": False,
    }


@pytest.mark.parametrize(("times", "beaten"), [(1, False), (3, True)])
def test_a_few_rows_that_are_all_right_beat_no_baseline_that_is_nearly_as_good(times, beaten):
    """The baseline's micro F1 is 0.83; Wilson's interval of 10 of 10 begins at 0.72, of 30 of 30 at 0.89."""
    labels = np.array(([[1, 0]] * 6 + [[1, 1]] * 4) * times, dtype=np.float32)
    found = results(SeveralClasses(["a", "b"]), ([["a"]] * 6 + [["a", "b"]] * 4) * times, labels)
    assert found["eval_micro_f1"] == 1.0
    assert found["eval_micro_f1_interval_95"] == pytest.approx(wilson_interval(10 * times, 10 * times))
    assert found["baseline"]["beaten"] is beaten


def test_choices_are_held_against_guessing(capsys):
    texts = [{"question": "", "choices": ["a", "b"]}] * 10
    say_doubts(results(ChoiceHead(), [0] * 10, np.array([0] * 7 + [1] * 3), texts), "model")
    assert "no better than guessing (accuracy 0.5000)" in said(capsys)


def test_the_least_class_is_named_where_it_is_far_smaller(capsys):
    found = of_classes([[1, 3], [1, 35]])
    say_least_class(found)
    # F1 of neg is 2 / (4 + 2), of pos 70 / (36 + 38).
    assert f"macro f1 {(1 / 3 + 70 / 74) / 2:.4f}, recall of the least class, neg (4 of 40 rows) 0.2500" in said(capsys)
    assert found["least_class"] == {"class": "neg", "rows": 4, "recall": 0.25}
    assert found["eval_macro_f1"] == pytest.approx((1 / 3 + 70 / 74) / 2)
    say_least_class(of_classes([[10, 3], [5, 20]]))
    assert said(capsys) == ""


def test_nothing_is_said_without_classes(capsys):
    say_doubts({"eval_mse": 1.0}, "model")
    say_least_class({"eval_mse": 1.0})
    assert said(capsys) == ""


def test_a_figure_stands_beside_its_baseline_and_beside_itself_without_what_was_fitted():
    found = of_classes([[2, 3], [0, 9]])
    assert told("accuracy", found).endswith("on 14 rows; always saying the most frequent class: 0.6429")
    assert told("f1", found) == f"f1 of pos [bold]{18 / 21:.4f}[/]"
    found |= {"eval_f1_untuned": 0.25}
    assert told("f1", found).endswith("; without thresholds that were fitted on these rows: 0.2500")


def test_the_f1_of_two_classes_is_that_of_the_second():
    found = of_classes([[2, 3], [0, 9]])
    assert found["f1_class"] == "pos"
    assert of_class("f1", found) == " of pos"
    assert of_class("macro_f1", found) == ""
    assert of_class("f1", of_classes([[2, 0, 0], [1, 1, 0], [0, 0, 3]])) == ""
