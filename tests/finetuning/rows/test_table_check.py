"""Figures and warnings of labelled rows, counted by hand."""

import numpy as np
import pytest

from bertkit.finetuning.features import Split
from bertkit.finetuning.rows.table_check import check_table

ONE, SEVERAL, NUMBER = "single_label_classification", "multi_label_classification", "regression"


def split(name, texts, labels):
    return Split(name, [(text,) for text in texts], np.array(labels))


def told(names, labels, texts=None, kind=ONE, **more):
    return check_table([split("train", texts or [f"t{n}" for n in range(len(labels))], labels)], names, kind, **more)


def test_all_is_quiet_where_all_is_well():
    assert told(["neg", "pos"], [0, 1] * 10).warnings() == []
    assert told([], np.arange(9, dtype=np.float32), kind=NUMBER).warnings() == []
    # Codes and numbers are what they are.
    assert told(["007", "7", "1_1", "11", "+1", "1"], list(range(6)) * 4).warnings() == []
    assert told(["C", "C#", "C++", "T 1", "T 2"], list(range(5)) * 4).warnings() == []


@pytest.mark.parametrize(
    ("names", "labels", "said"),
    [
        (["Pos", "neg", "pos "], [0, 1, 2] * 4, "nearly one class: 'Pos' (4), 'pos ' (4)"),
        (["no-show", "no show"], [0, 1] * 4, "nearly one class: 'no-show' (4), 'no show' (4)"),
        (["1", "1.0"], [0, 1] * 4, "nearly one class: '1' (4), '1.0' (4)"),
        (["\u0958", "\u0915\u093c"], [0, 1] * 4, ", which look the same but"),  # a letter of Hindi, composed and not
        (
            ["hi\u200b", "hi"],
            [0, 1] * 4,
            "'hi' (4), which look the same but consist of other characters (in NFC and NFD, or with invisible ones): write",
        ),
        (["a", "a|b"], [0, 1] * 4, "some labels hold '|' between other labels: --set task.problem_type=multi"),
        (["a", "b", "c", "d"], [0, 1, 2, 3], "4 classes in 4 rows: is this the column of the labels (--label)?"),
        (["neg", "pos"], [0] + [1] * 5, "uneven classes, neg is 1 of 6 rows: --set train.class_weights=balanced"),
    ],
)
def test_what_should_be_looked_at(names, labels, said):
    warnings = told(names, labels).warnings()
    assert len(warnings) == 1
    assert said in warnings[0]


def test_classes_that_are_weighed_are_not_uneven():
    assert told(["neg", "pos"], [0] + [1] * 5).warnings(weighed=True) == []


def test_texts_that_look_the_same_are_equal():
    train = split("train", ["caf\u00e9", "cafe\u0301", "\u0645\u06cc\u200c\u0631", "cafe"], [0, 0, 1, 1])
    held = split("validation", ["\u0645\u06cc\u0631", "new"], [0, 1])
    look = check_table([train, held], ["x", "y"], ONE)
    assert [(one.repeated, one.shared) for one in look.splits] == [(1, 0), (0, 1)]


def test_equal_texts_are_counted_within_and_across_splits():
    train = split("train", ["a", "a", "a", "b", "c", ""], [0, 0, 1, 1, 0, 1])
    held = split("validation", ["a", "d", "d", "c"], [0, 1, 1, 1])
    look = check_table([train, held], ["x", "y"], ONE)
    figures = [(one.rows, one.repeated, one.contradictory, one.shared, one.empty) for one in look.splits]
    assert figures == [(6, 2, 1, 0, 1), (4, 1, 0, 2, 0)]
    assert look.warnings() == [
        "2 of 6 rows in train repeat the text of another, 1 of them with another label",
        "1 empty text in train",
        "1 of 4 rows in validation repeats the text of another",
        "2 of 4 rows in validation are also trained on: validation says little of new texts",
    ]


def test_lengths_are_counted_against_the_limit():
    texts = ["a", "b" * 5, "c" * 9, "d" * 3]
    look = told(["x", "y"], [0, 1, 0, 1], texts, lengths=lambda rows: [len(*row) for row in rows], limit=4)
    assert (look.splits[0].median, look.splits[0].longest, look.splits[0].over_limit) == (5, 9, 2)
    assert look.warnings() == [
        "2 of 4 rows in train are longer than 4 tokens: --seq-len 9 reads them whole, where the model has as many positions"
    ]


def test_what_labels_were_taken_for_is_described_with_examples_and_the_flag():
    assert told(["a", "b"], [0, 1, 1]).described() == "2 classes, one label a row: a (1), b (2)"
    assert told(["a, c", "b"], [0, 1, 1]).described() == "2 classes, one label a row: 'a, c' (1), b (2)"
    assert (
        told(["1", "2", "3"], [0, 1, 2])
        .described()
        .endswith("; --set task.problem_type=regression reads them as numbers")
    )
    several = told(["a", "b"], np.array([[1, 1], [0, 1], [0, 0]], dtype=np.float32), kind=SEVERAL)
    assert several.described() == "2 classes, several labels a row: a (1), b (2); 1 row with none"
    flags = told(["0", "1"], np.array([[1, 1], [0, 1]], dtype=np.float32), kind=SEVERAL)
    assert flags.described().endswith("named by position, --set 'task.labels=[\"NAME\", …]' names them")
    numbers = told([], np.array([0.5, 0.5, 2, 4, 3], dtype=np.float32), kind=NUMBER)
    assert numbers.described() == (
        "the labels are numbers such as 0.5, 2, 4, from 0.5 to 4: a regression; "
        "--set task.problem_type=single_label_classification makes them classes"
    )


def test_rows_left_out_are_counted():
    look = told(["x", "y"], [0, 1] * 4, left_out=["a.csv:3 has no label in column 'label'", "a.csv:5 …"])
    assert look.warnings() == [
        "rows that cannot be used, left out: 2; a.csv:3 has no label in column 'label' (and 1 more)"
    ]
    assert look.as_json()["splits"]["train"]["classes"] == {"x": 4, "y": 4}
