"""Tables in memory."""

import datasets
import numpy as np
import pandas
import pytest

from bertkit.errors import BertkitError
from bertkit.io.memory import memory_rows


def test_a_frame_with_two_columns_of_one_name_is_refused():
    assert memory_rows("f", pandas.DataFrame([["a", None]], columns=["text", 1])).rows == [{"text": "a", "1": None}]
    for columns in (["text", "text"], [1, "1"]):
        with pytest.raises(BertkitError, match=f"the rows has two columns '{columns[1]}': rename one"):
            memory_rows("the rows", pandas.DataFrame([["a", "b"]], columns=columns))


def test_arrays_in_cells_are_lists():
    # As pandas gives the lists of a parquet file.
    row = {"tokens": np.array(["a", "b"]), "tags": np.array([1, 0]), "n": np.int64(3)}
    said = {"tokens": ["a", "b"], "tags": [1, 0], "n": 3}
    assert memory_rows("f", pandas.DataFrame([row])).rows == [said]
    assert memory_rows("f", [row]).rows == [said]


def test_bytes_are_text_in_utf8_or_harm_nobody_until_they_are_read():
    frame = pandas.DataFrame({"text": [b"f\xc3\xbcr", "b"], "hash": [b"\xff\x00", b"ab"]})
    (_, first), (_, second) = memory_rows("the rows", frame).placed()
    assert (first["text"], second) == ("für", {"text": "b", "hash": "ab"})
    with pytest.raises(
        BertkitError, match="^the rows, row 0: 'hash' holds bytes that are not UTF-8: store it as text$"
    ):
        str(first["hash"])


def test_missing_values_and_numpys_values_in_dictionaries_are_plain():
    frame = pandas.DataFrame({"text": ["a", pandas.NA], "at": [pandas.NaT, pandas.NaT], "n": [np.nan, 1.0]})
    assert memory_rows("f", frame.to_dict("records")).rows == memory_rows("f", frame).rows
    row = {"text": pandas.NA, "at": pandas.NaT, "yes": np.bool_(True), "n": np.int64(3), "s": np.str_("a"),
           "tags": [pandas.NA, np.int64(1)], "choices": {"text": np.array(["a", "b"]), "n": (np.float64(1.5), 2)}}  # fmt: skip
    (read,) = memory_rows("f", [row]).rows
    said = {
        "text": None,
        "at": None,
        "yes": True,
        "n": 3,
        "s": "a",
        "tags": [None, 1],
        "choices": {"text": ["a", "b"], "n": (1.5, 2)},
    }
    assert read == said
    assert repr(read) == repr(said)  # numpy's True is equal to Python's


def test_a_dictionary_of_columns_is_a_table():
    rows = [{"text": "a", "n": 1}, {"text": "b", "n": None}]
    assert memory_rows("f", {"text": ["a", "b"], "n": [1, None]}).rows == rows
    assert memory_rows("f", {"text": np.array(["a", "b"]), "n": pandas.Series([1, None], dtype=object)}).rows == rows
    assert memory_rows("f", {}).rows == []


def test_an_iterable_is_read_to_its_end():
    rows = [{"text": "a"}, {"text": "b"}]
    assert memory_rows("f", iter(rows)).rows == rows
    assert memory_rows("f", datasets.Dataset.from_list(rows).to_iterable_dataset()).rows == rows


@pytest.mark.parametrize("row", [None, "a", ["a"]])
def test_a_row_that_is_no_dictionary_is_refused(row: object):
    with pytest.raises(
        BertkitError, match=r"^the rows, row 1 is of type (NoneType|str|list): a row is a dictionary by"
    ):
        memory_rows("the rows", [{"text": "a"}, row])


@pytest.mark.parametrize("cells", [{0: "a", 1: "b"}, {"a", "b"}, b"ab"])
def test_a_column_that_is_no_list_is_refused(cells):
    with pytest.raises(BertkitError, match=r"whose 'text' is no list: .* to_dict\(\"list\"\)"):
        memory_rows("the table train", {"text": cells, "label": cells})


def test_columns_of_pandas_in_different_orders_are_refused():
    frame = pandas.DataFrame({"text": list("abcd"), "label": [0, 1, 0, 1]})
    shuffled = frame.label.sample(frac=1, random_state=0)
    with pytest.raises(BertkitError, match="columns of pandas with different indexes, 'text' and 'label'"):
        memory_rows("rows", {"text": frame.text, "label": shuffled})
    same = memory_rows("rows", {"text": frame.text, "label": frame.label, "more": [1, 2, 3, 4]})
    assert [row["label"] for row in same.rows] == [0, 1, 0, 1]


@pytest.mark.parametrize("unit", ["ns", "us", "s"])
def test_a_time_is_the_same_in_every_unit(unit):
    [row] = memory_rows("rows", [{"when": np.datetime64("2020-01-02T03:04:05", unit)}]).rows
    assert str(row["when"]) == "2020-01-02 03:04:05"
    [row] = memory_rows("rows", [{"how long": np.timedelta64(90, "s").astype(f"timedelta64[{unit}]")}]).rows
    assert str(row["how long"]) == "0:01:30"


def test_bytes_in_lists_are_text_too():
    [(_, row)] = memory_rows("rows", [{"labels": [b"gut", "schlecht"]}]).placed()
    assert row["labels"] == ["gut", "schlecht"]
