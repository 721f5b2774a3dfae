"""Reads a cell of a table as a class, a number, several classes, or nothing; classes are taken as they are written."""

import ast
import json
import math
import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from bertkit.console import counted, listed
from bertkit.errors import BertkitError

_LARGEST = float(np.finfo(np.float32).max)
_SHOWN_PLACES = 4
_LONGEST_LIST_CHARS = 100_000
# Numbers as programs write them, in ASCII: no sign "+", no leading zeros, no more digits than a float64 can distinguish.
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.0)?")
_DECIMAL = re.compile(r"-?((0|[1-9][0-9]*)?\.[0-9]+|[1-9](?=e))(e[+-][0-9]{2,3})?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NEIGHBOURS = re.compile(r"""['"]\s+['"]""")
_WITH_COMMA = re.compile(r"-?[0-9]+(,[0-9]+|([,. ][0-9]{3})*,[0-9]+|(,[0-9]{3})+\.[0-9]+)")
SEPARATORS = ("|", ";", ",", "\u061b", "\u060c", "\u1363", "\u3001", "\uff1b", "\uff0c")
"""Separators of several classes in a cell, the most likely first; behind those of ASCII the Arabic semicolon and comma, the
Ethiopic comma, and those of Chinese and Japanese."""


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: null, only blanks or NUL characters, or NaN, also written as a word."""
    if isinstance(value, str):
        return _bare(value).lower() in ("", "nan")
    return value is None or (isinstance(value, (float, Decimal)) and math.isnan(value))


def class_name(value: Any) -> str:
    """A class as it is written, stripped by ``_bare``; numbers that are stored as numbers lose ``.0``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (float, Decimal)) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return _bare(str(value))


def _bare(text: str) -> str:
    """The text without blanks around it, and without the NUL characters that fill up fields of a fixed width."""
    return text.strip().strip("\0").strip()


def as_seen(name: str) -> str:
    """A name without what cannot be seen in it: composed characters (NFC), and no format characters such as U+200B.

    Example:
        >>> as_seen("cafe\u0301\u200b") == "caf\u00e9"
        True
    """
    if name.isascii():
        return name
    return "".join(one for one in unicodedata.normalize("NFC", name) if unicodedata.category(one) != "Cf")


def is_whole(value: Any) -> bool:
    """Whether a cell is a whole number, stored or written as one: 10 or 10.0, but not 010, +10, 1e1, 1_0 or 10.00."""
    if isinstance(value, str):
        return bool(_WHOLE.fullmatch(value.strip()))
    return not isinstance(value, bool) and as_number(value) is not None and float(value).is_integer()


def are_numbers(names: Sequence[str]) -> bool:
    """Whether classes have no names: they are called 0, 1, … or, as by transformers, LABEL_0, LABEL_1, …, in any order."""
    return sorted(name.removeprefix("LABEL_") for name in names) == sorted(map(str, range(len(names))))


def is_plain_number(value: Any) -> bool:
    """Whether a cell is a number, stored as one or written as programs write it."""
    if isinstance(value, str):
        return is_whole(value) or bool(_DECIMAL.fullmatch(value.strip()))
    return as_number(value) is not None


def as_number(value: Any) -> float | None:
    """The number in a cell, if it is finite in fp32; it may be written in any usual way (``+1``, ``1e5``)."""
    if isinstance(value, bool) or (isinstance(value, str) and not _NUMBER.fullmatch(value.strip())):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) <= _LARGEST else None


def has_comma(value: Any) -> bool:
    """Whether a cell is written as a number with commas: 0,5 or 1.234,5, and 1,200,000 or 1,234.5."""
    return isinstance(value, str) and bool(_WITH_COMMA.fullmatch(value.strip()))


def as_flag(value: Any) -> bool | None:
    """The value of a cell with 0 or 1, or with true or false; None for other cells."""
    written = class_name(value).lower()
    return {"0": False, "1": True, "false": False, "true": True, "0.0": False, "1.0": True}.get(written)


def as_list(value: Any) -> list[Any] | None:
    """The list in a cell, which may be written as in JSON or Python; None for other cells."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "(") or len(value) > _LONGEST_LIST_CHARS:
        return None
    # Python would join neighbours without a comma, as numpy prints them.
    for read in (json.loads,) if _NEIGHBOURS.search(value) else (json.loads, ast.literal_eval):
        try:
            found = read(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, (list, tuple)):
            return list(found)
    return None


def are_flags(lists: Sequence[Sequence[Any]], length: int | None = None) -> bool:
    """Whether lists are flags (0 or 1) by position: all have the same length, of at least two (or ``length``, if given)."""
    lengths = {len(one) for one in lists}
    if len(lengths) != 1 or min(lengths) < 2 or (length is not None and lengths != {length}):
        return False
    return all(isinstance(value, (int, float)) and value in (0, 1) for one in lists for value in one)


def split(value: str, separator: str) -> list[str]:
    """The classes in a cell, without repetitions."""
    return list(dict.fromkeys(part.strip() for part in value.split(separator) if part.strip()))


class EmptyCellsError(BertkitError):
    """Rows lack something that they might be filled with."""


def refuse_empty(places: Sequence[str], rows: int, what: str, ways_on: str = "") -> None:
    """Refuses rows that lack something, all of them in one message.

    Args:
        places: the places of these rows, such as "a.csv:6".
        rows: the number of rows in the table.
        what: what they lack, such as "no label in column 'label'".
        ways_on: what a person can do besides filling them or leaving them out.

    Raises:
        EmptyCellsError: there are such rows.
    """
    if rows == 1 and places:
        raise EmptyCellsError(f"{places[0]} has {what}")
    if places:
        source = places[0].rpartition(":")[0]
        shown = listed([places[0], *(place.removeprefix(f"{source}:") for place in places[1:])], _SHOWN_PLACES)
        lacking = counted(len(places), f"of {rows:,} rows has", f"of {rows:,} rows have")
        raise EmptyCellsError(f"{lacking} {what}: {shown}; fill them in, or leave them out{ways_on}")
