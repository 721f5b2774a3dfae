"""Reads the choices of a row, and which one is right."""

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from bertkit.console import counted, listed
from bertkit.errors import BertkitError
from bertkit.finetuning.features import Columns, Row
from bertkit.finetuning.rows.cells import class_name, is_missing, refuse_empty
from bertkit.finetuning.rows.kinds import as_text
from bertkit.finetuning.rows.unfolded import are_texts, unfolded

_NUMBERED = re.compile(r"(ending|choice|answer|option)_?(\d{1,9})")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SHOWN_NAMES = 12


def numbered(row: dict[str, Any]) -> list[list[str]]:
    """The columns such as ending0, ending1, …, in the order of their numbers, by what stands before the number. A column that
    is alone with its name is none of them, unless there are no others.

    Example:
        >>> numbered({"ending1": "", "ending0": "", "answer_1": "", "option1": "", "option2": ""})
        [['ending0', 'ending1'], ['option1', 'option2']]
    """
    families: dict[str, list[tuple[int, str]]] = {}
    for name in row:
        if match := _NUMBERED.fullmatch(name):
            families.setdefault(match[1], []).append((int(match[2]), name))
    several = [one for one in families.values() if len(one) > 1] or list(families.values())
    return [[name for _, name in sorted(one)] for one in several]


def numbered_choices(place: str, row: dict[str, Any]) -> list[str]:
    """The columns of a row's choices, where these are numbered.

    Raises:
        BertkitError: columns of several names are.
    """
    families = numbered(row)
    if len(families) > 1:
        shown = " or ".join(_shown(one) for one in families)
        raise BertkitError(
            f"{place}: are the choices {shown}? leave the others out, or put the choices into a list, 'choices'"
        )
    return families[0] if families else []


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) < 3 else f"{names[0]} … {names[-1]}"


def are_choices(cell: Any) -> bool:
    """Whether a cell is a list or an object of choices; one that is written as text has to have two choices at least."""
    if isinstance(cell, (list, dict)):
        return True
    found = unfolded(cell)
    found = found.get("text") if isinstance(found, dict) else found
    return are_texts(found) and len(found) > 1


def choices_of(row: Row, columns: Columns) -> list[str]:
    """The choices of a row, from a list or from numbered columns. Empty ones at the end are none: tables have as many columns
    as the row with the most choices needs.

    Raises:
        BertkitError: there are fewer than two, one is empty before another, or they have another form.
    """
    place, (names, given) = row[0], _given(row, columns)
    choices = given[: _number(given)]
    if "" in choices:
        gap = names[choices.index("")]
        raise BertkitError(f"{place}: {gap} is empty, and a choice behind it is not: fill it in, or take it out")
    if len(choices) < 2:
        raise BertkitError(
            f"{place} has {counted(len(choices), 'choice', 'choices')}: there must be two at least, in a list or in ending0, "
            "ending1, …"
        )
    return choices


def told_empty(rows: Sequence[Row], columns: Columns, name: str) -> list[str]:
    """A line that counts the rows with empty choices at the end; none if there are none."""
    fewer = sum(_number(given) < len(given) for _, given in (_given(row, columns) for row in rows))
    return [f"rows in {name} whose last choices are empty, and are left out: {fewer:,}"] if fewer else []


def right_choice(row: Row, columns: Columns) -> int:
    """The number of the right choice, from 0; it may be given as a number, as a letter, by its name, or by its text.

    Where the choices have names, as in ARC, a number is one of these names if any of them is a number.

    Raises:
        BertkitError: there is no such choice.
    """
    choices, given, keys = choices_of(row, columns), _label(row, columns), _keys(row, columns)
    number, ways = -1, f"a number from 0 to {len(choices) - 1}, a letter, or its text"
    if keys:
        ways = f"one of {listed(keys, _SHOWN_NAMES)}"
        number = next((at for at, key in enumerate(keys) if key.casefold() == given.casefold()), -1)
    if _is_number(given) and not any(key.isdecimal() for key in keys):
        number = int(given)
    elif len(given) == 1 and not keys:
        number = _LETTERS.find(given.upper())
    if not 0 <= number < len(choices) and choices.count(given) == 1:
        number = choices.index(given)
    if not 0 <= number < len(choices):
        raise BertkitError(f"{row[0]}: the label '{given[:60]}' is none of {len(choices)} choices: give {ways}")
    return number


def refuse_missing_labels(rows: Sequence[Row], columns: Columns) -> None:
    """Refuses rows that do not say which choice is right, all of them in one message.

    Raises:
        EmptyCellsError: there are such rows.
    """
    empty = [row[0] for row in rows if not _label(row, columns)]
    refuse_empty(empty, len(rows), f"no label in column '{columns['label'][0]}'")


def refuse_numbers_from_1(rows: Sequence[Row], columns: Columns, source: str) -> None:
    """Refuses rows whose right choices are counted from 1: none has 0, and some have the number of their choices.

    Raises:
        BertkitError: they are; were those rows left out alone, the others would learn the choice behind the right one.
    """
    beyond = 0
    for row in rows:
        given = _label(row, columns)
        if not given or _is_text_of_a_choice(row, columns):
            continue
        if not _is_number(given) or int(given) == 0 or _keys(row, columns):
            return
        with suppress(BertkitError):  # what is wrong with its choices is told elsewhere
            beyond += int(given) == len(choices_of(row, columns))
    if beyond:
        raise BertkitError(
            f"{source} seems to count choices from 1: no row has the label 0, and {counted(beyond, 'row has', 'rows have')} "
            "that of the last choice and 1; count them from 0, or give letters"
        )


def _is_text_of_a_choice(row: Row, columns: Columns) -> bool:
    """Whether the label of a row is the text of one of its choices."""
    with suppress(BertkitError):  # what is wrong with its choices is told elsewhere
        return _label(row, columns) in choices_of(row, columns)
    return False


def refuse_two_readings(rows: Sequence[Row], columns: Columns) -> None:
    """Refuses rows all of whose labels are texts of choices, if some of them are also numbers or letters of other choices.

    Raises:
        BertkitError: they are.
    """
    if not all(_is_text_of_a_choice(row, columns) for row in rows):
        return
    for row in rows:
        given, read = _label(row, columns), choices_of(row, columns)[right_choice(row, columns)]
        if read != given:
            raise BertkitError(
                f"{row[0]}: the label '{given}' is the text of a choice, as all labels are, and by its number, letter or name "
                f"that of another, '{read[:60]}': write letters (A, B, …) that are no texts of choices"
            )


def _label(row: Row, columns: Columns) -> str:
    """The right choice as it is written; empty where the cell is."""
    cell = row[1].get(columns["label"][0])
    return "" if not isinstance(cell, str) and is_missing(cell) else class_name(cell)


def _is_number(given: str) -> bool:
    return given.isdecimal() and len(given) < 10


def _keys(row: Row, columns: Columns) -> list[str]:
    """The names of the choices, where they have some, as in ARC: ``{"text": […], "label": ["A", …]}``."""
    cell = unfolded(row[1].get(columns["choices"][0])) if "choices" in columns else None
    names = cell.get("label") if isinstance(cell, dict) else None
    return list(map(class_name, names)) if isinstance(names, list) else []


def _given(row: Row, columns: Columns) -> tuple[list[str], list[str]]:
    """The choices, empty ones as well, and before them what they are called in messages."""
    place, values = row
    if "choices" not in columns:
        names = numbered_choices(place, values)
        return [f"'{name}'" for name in names], [as_text(values[name], place, name) for name in names]
    name = columns["choices"][0]
    given = unfolded(values.get(name))
    given = given.get("text") if isinstance(given, dict) else given
    if not isinstance(given, list):
        raise BertkitError(f"{place}: '{name}' must be a list of choices, got {str(given)[:60]}")
    return [f"'{name}'[{at}]" for at in range(len(given))], [as_text(one, place, name) for one in given]


def _number(given: Sequence[str]) -> int:
    """How many choices there are up to the last one that is not empty."""
    return max((at for at, choice in enumerate(given, 1) if choice), default=0)
