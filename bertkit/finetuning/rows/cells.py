"""One cell of a table as a class, a number, several classes, or nothing: as it is written, never by what it equals."""

import ast
import json
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from bertkit.console import counted
from bertkit.errors import BertkitError

_LARGEST = float(np.finfo(np.float32).max)
_SHOWN_PLACES = 4
_LONGEST_LIST_CHARS = 100_000
# Numbers as programs write them: no sign "+", no leading zeros, no more digits than a float64 tells apart. In ASCII.
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,14})")
_DECIMAL = re.compile(r"-?((0|[1-9][0-9]*)?\.[0-9]+|[1-9](?=e))(e[+-][0-9]{2,3})?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_DECIMAL_COMMA = re.compile(r"-?[0-9]+,[0-9]+")
SEPARATORS = ("|", ";", ",")
"""Between several classes in one cell, the likeliest first."""


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: null, blanks (or NUL characters) alone, or NaN, also as a word."""
    if isinstance(value, str):
        return _bare(value).lower() in ("", "nan")
    return value is None or (isinstance(value, (float, Decimal)) and math.isnan(value))


def class_name(value: Any) -> str:
    """A class as it is written, without what ``_bare`` takes off; numbers that are stored as such lose ``.0``."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (float, Decimal)) and math.isfinite(value) and value == int(value):
        return str(int(value))
    return _bare(str(value))


def _bare(text: str) -> str:
    """Without blanks around it, and the NUL characters that fill up fields of a fixed width."""
    return text.strip().strip("\0").strip()


def is_whole(value: Any) -> bool:
    """Whether a cell is a whole number, stored as one or written plainly: 10, but not 010, +10, 1e1, 1_0 or 10.0."""
    if isinstance(value, str):
        return bool(_WHOLE.fullmatch(value.strip()))
    return not isinstance(value, bool) and as_number(value) is not None and float(value).is_integer()


def is_plain_number(value: Any) -> bool:
    """Whether a cell is a number, stored as one or written as programs write them."""
    if isinstance(value, str):
        return is_whole(value) or bool(_DECIMAL.fullmatch(value.strip()))
    return as_number(value) is not None


def as_number(value: Any) -> float | None:
    """The finite fp32 number that a cell is, or is written as in any usual way (``+1``, ``1e5``)."""
    if isinstance(value, bool) or (isinstance(value, str) and not _NUMBER.fullmatch(value.strip())):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) <= _LARGEST else None


def has_decimal_comma(value: Any) -> bool:
    """Whether a cell is written as a number with a comma, as 0,5 (or 1,000)."""
    return isinstance(value, str) and bool(_DECIMAL_COMMA.fullmatch(value.strip()))


def as_flag(value: Any) -> bool | None:
    """What a cell of 0 and 1, or of true and false, says."""
    written = class_name(value).lower()
    return {"0": False, "1": True, "false": False, "true": True, "0.0": False, "1.0": True}.get(written)


def as_list(value: Any) -> list[Any] | None:
    """The list that a cell is, or is written as in JSON or Python."""
    if isinstance(value, (list, tuple)):
        return list(value)
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "(") or len(value) > _LONGEST_LIST_CHARS:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(found, (list, tuple)):
            return list(found)
    return None


def are_flags(lists: Sequence[Sequence[Any]], length: int | None = None) -> bool:
    """Whether lists are 0 and 1 by position: all of one length of two or more (of ``length``, where given)."""
    lengths = {len(one) for one in lists}
    if len(lengths) != 1 or min(lengths) < 2 or (length is not None and lengths != {length}):
        return False
    return all(isinstance(value, (int, float)) and value in (0, 1) for one in lists for value in one)


def split(value: str, separator: str) -> list[str]:
    """The classes in a cell, each once."""
    return list(dict.fromkeys(part.strip() for part in value.split(separator) if part.strip()))


def refuse_empty(places: Sequence[str], rows: int, what: str, ways_on: str = "") -> None:
    """Refuses rows that lack something, all of them at once.

    Args:
        places: of those rows, as "a.csv:6".
        rows: of the whole table.
        what: they lack, as "no label in column 'label'".
        ways_on: what to do besides filling or leaving them out.

    Raises:
        BertkitError: there are such rows.
    """
    if rows == 1 and places:
        raise BertkitError(f"{places[0]} has {what}")
    if places:
        source = places[0].rpartition(":")[0]
        shown = ", ".join([places[0], *(place.removeprefix(f"{source}:") for place in places[1:_SHOWN_PLACES])])
        more = ", …" if len(places) > _SHOWN_PLACES else ""
        lacking = counted(len(places), f"of {rows:,} rows has", f"of {rows:,} rows have")
        raise BertkitError(
            f"{lacking} {what}: {shown}{more}; fill them in, or leave them out with finetune --skip-bad-rows{ways_on}"
        )
