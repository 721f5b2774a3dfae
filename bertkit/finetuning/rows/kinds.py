"""Recognises rows of other kinds of tasks, so that they are not read as those of a classifier, and describes cells."""

from collections.abc import Sequence
from typing import Any

from bertkit.errors import BertkitError
from bertkit.finetuning.rows.cells import refuse_empty
from bertkit.finetuning.rows.unfolded import are_texts, unfolded

CHOICE_LISTS = ("choices", "options", "endings")
"""Names of a column that holds the choices of a row."""
_SHOWN_CHARACTERS = 40
OF_SEVERAL = (list, tuple, dict, set, frozenset)
"""Types of cells that hold several values."""


def refuse_other_tasks(place: str, row: dict[str, Any], text: Sequence[str] = (), label: Sequence[str] = ()) -> None:
    """Refuses rows for tagging, question answering and multiple choice, which other heads read.

    Args:
        place: the place of the row, for the message.
        row: the first row of a table.
        text: the columns of its texts, if they are chosen already.
        label: the columns of its label; likewise.

    Raises:
        BertkitError: the row belongs to such a task.
    """
    choices = next((name for name in CHOICE_LISTS if isinstance(row.get(name), list)), None)
    choices = choices or ("ending0" if "ending0" in row and "ending1" in row else None)
    if choices:
        raise _not_trained(place, f"'{choices}' beside a label that numbers them is multiple choice")
    for tokens in text:
        for tags in label:
            if _are_tagged(row.get(tokens), row.get(tags)):
                raise _not_trained(
                    place,
                    f"'{tags}' has a label for each of the {len(unfolded(row[tokens]))} tokens of '{tokens}': tagging",
                )
    for answers in label:
        if isinstance(unfolded(row.get(answers)), dict):
            raise _not_trained(place, f"the label '{answers}' is an object, {shown(row[answers])}: question answering")


def _are_tagged(tokens: Any, tags: Any) -> bool:
    """Whether two cells are lists; those that are written as text have to be words, and as many tags."""
    if isinstance(tokens, list) and isinstance(tags, list):
        return True
    tokens, tags = unfolded(tokens), unfolded(tags)
    return are_texts(tokens) and isinstance(tags, list) and len(tokens) == len(tags)


def _not_trained(place: str, what: str) -> BertkitError:
    return BertkitError(
        f"{place}: {what}; the head sequence trains on a text, or two, with a class, several, or a number a row"
    )


def as_text(value: Any, place: str, column: str) -> str:
    """The text in a cell; lists, objects and sets are not turned into text.

    Raises:
        BertkitError: the cell is such a one.
    """
    if isinstance(value, OF_SEVERAL):
        raise BertkitError(f"{place}: '{column}' is {a_kind(value)}, not a text: {shown(value)}")
    # SST-2's parquet has blanks at the ends that its TSV does not have; tokenizers ignore them.
    return "" if value is None or value != value else str(value).strip()  # only NaN does not equal itself


def refuse_missing_texts(rows: Sequence[tuple[str, dict[str, Any]]], columns: Sequence[str]) -> None:
    """Refuses rows whose text is null or NaN, all of them in one message; an empty text is allowed.

    Raises:
        BertkitError: there are such rows.
    """
    for column in columns:
        empty = [place for place, row in rows if row.get(column) is None or row.get(column) != row.get(column)]
        refuse_empty(empty, len(rows), f"no text in column '{column}'")


def a_kind(value: Any) -> str:
    """The type of a cell, in words."""
    if isinstance(value, (set, frozenset)):
        return f"a set of {len(value)} (make it a list)"
    return "an object" if isinstance(value, dict) else f"a list of {len(value)}"


def shown(value: Any) -> str:
    """The beginning of a cell, for a message."""
    text = str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
