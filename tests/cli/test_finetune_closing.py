"""The last lines of `bertkit finetune`."""

import pytest

from bertkit.cli.finetune import _named, _say_one_class


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
