"""The last lines of `bertkit finetune`."""

import pytest

from bertkit.cli.finetune import _named, _say_one_class, _say_sweep


def results(matrix):
    return {"confusion": {"labels": ["neg", "pos", "so so"][: len(matrix)], "matrix": matrix}}


@pytest.mark.parametrize(
    ("matrix", "said"),
    [
        ([[0, 3], [0, 9]], "all 12 rows got one class, pos"),
        ([[3, 0, 0], [1, 0, 0], [2, 0, 0]], "all 6 rows got one class, neg"),
        ([[1, 2], [0, 9]], ""),
    ],
)
def test_one_class_for_all_rows_is_said(capsys, matrix, said):
    _say_one_class(results(matrix))
    told = " ".join(capsys.readouterr().err.split())
    assert said in told
    assert ("class_weights=balanced" in told) == bool(said)


def test_nothing_is_said_without_classes(capsys):
    _say_one_class({"eval_mse": 1.0})
    assert capsys.readouterr().err == ""


def test_the_f1_of_two_classes_is_that_of_the_second():
    assert _named("f1", results([[0, 3], [0, 9]])) == "f1 of pos"
    assert _named("macro_f1", results([[0, 3], [0, 9]])) == "macro f1"


@pytest.mark.parametrize(
    ("best", "order"), [(0.9, ["0.9000", "0.5000", "0.2000"]), (0.2, ["0.2000", "0.5000", "0.9000"])]
)
def test_a_sweep_ends_in_a_table_the_best_first_with_its_settings(capsys, best, order):
    runs = [
        {"learning_rate": rate, "seed": 42, "eval_mse": mse} for rate, mse in ((1e-4, 0.5), (5e-5, 0.9), (3e-5, 0.2))
    ]
    _say_sweep(
        {"metric": "eval_mse", "mean": 0.533, "standard_deviation": 0.35, "best": best, "collapsed": 0, "runs": runs}
    )
    lines = capsys.readouterr().err.splitlines()
    assert lines[1].split() == ["learning", "rate", "seed", "mse"]
    assert [line.split()[-1] for line in lines[2:5]] == order
    won = {0.9: "5e-05", 0.2: "3e-05"}[best]
    assert f"learning rate {won}, seed 42" in " ".join(lines[5:])
