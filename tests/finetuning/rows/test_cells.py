"""Single cells, by hand."""

import math
from decimal import Decimal

import pytest

from bertkit.errors import BertkitError
from bertkit.finetuning.rows import cells


@pytest.mark.parametrize(
    ("value", "name"),
    [("007", "007"), ("1_1", "1_1"), ("1E1", "1E1"), ("+1", "+1"), ("250.00", "250.00"), ("١٢", "١٢"), (" a b ", "a b"),
     ("pos\0\0 ", "pos"), ("p\0s", "p\0s"),
     (7, "7"), (7.0, "7"), (Decimal("7.0"), "7"), (0.5, "0.5"), (True, "true"), ("True", "True"), (math.inf, "inf")],
)  # fmt: skip
def test_a_class_is_called_as_it_is_written(value, name):
    assert cells.class_name(value) == name


PLAIN = ["0", "-3", "10", "0.5", "-.5", "250.00", "1e-05", "1.5e-07", 3, 2.5, Decimal("1.5")]
NOT_PLAIN = ["007", "+1", "1_1", "1E1", "1e5", "١٢", "1,5", "inf", "nan", "0x10", "", "1" * 16, True, None, [1]]


@pytest.mark.parametrize("value", PLAIN)
def test_plain_numbers_are_those_that_programs_write(value):
    assert cells.is_plain_number(value)
    assert cells.as_number(value) == float(value)


@pytest.mark.parametrize("value", NOT_PLAIN)
def test_codes_are_no_plain_numbers(value):
    assert not cells.is_plain_number(value)
    assert not cells.is_whole(value)


def test_a_regression_that_is_asked_for_takes_any_usual_number():
    assert [cells.as_number(one) for one in ("+1", "007", "1E1", " 5. ")] == [1, 7, 10, 5]
    assert [cells.as_number(one) for one in ("1_1", "١٢", "inf", "nan", "1e39", "x", True, [1])] == [None] * 8


@pytest.mark.parametrize(
    ("value", "found"),
    [("[1, 0]", [1, 0]), ('["a"]', ["a"]), ("['a', \"b\"]", ["a", "b"]), ("(0, 1)", [0, 1]), ("[]", []), ([1], [1]),
     ("[0 1]", None), ("[a]", None), ("(a)", None), ("a", None), ("{'a': 1}", None), ("[" * 9_999, None), ({}, None)],
)  # fmt: skip
def test_lists_in_json_and_python_are_read(value, found):
    assert cells.as_list(value) == found


def test_nothing_is_missing_but_what_is():
    assert all(map(cells.is_missing, [None, "", " \t", "\0\0 ", math.nan, "nan", "NaN", Decimal("nan")]))
    assert not any(map(cells.is_missing, [0, False, "NA", "None", [], "0"]))


def test_flags_are_lists_of_one_length():
    assert cells.are_flags([[0, 1], [1.0, 0]])
    for lists in ([[0, 1], [1]], [[1], [0]], [[0, 2]], [["0", "1"]], []):
        assert not cells.are_flags(lists)


def test_empty_cells_are_refused_all_at_once():
    places = [f"a.csv:{line}" for line in (2, 5, 6, 7, 9)]
    with pytest.raises(
        BertkitError, match=r"^5 of 9 rows have no x: a\.csv:2, 5, 6, 7, …; fill them in, or leave them out$"
    ):
        cells.refuse_empty(places, 9, "no x")
    cells.refuse_empty([], 9, "no x")
