"""Rows of JSON: one object a line, or one array of objects."""

import io
import json
import re
from collections.abc import Iterator
from typing import Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.delimited import LONGEST_VALUE_CHARS, Refuse, Row, bounded
from bertkit.io.remote import AnyFile
from bertkit.io.text import LONE_SURROGATE

_BLANKS = re.compile(r"[ \t\n\r]*")


def json_rows(text: io.TextIOWrapper, path: AnyFile, refuse: Refuse) -> Iterator[Row]:
    """The objects with their places, FILE:LINE. ``refuse`` is told of a line that cannot be read, and may raise.

    Raises:
        BertkitError: an array cannot be read, or the file holds a table by columns.
    """
    begun, halves = False, Halves()
    for number, line in enumerate(bounded(text, path), 1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        if not begun and line.lstrip().startswith("["):
            for at, entry in _array_rows(line, text, path, number):
                yield at, halves.replaced(entry, at)
            break
        begun = True
        row = _object(line, place, refuse)
        if row is not None:
            yield place, halves.replaced(row, place) if "\\u" in line else row
    halves.say()


def _object(line: str, place: str, refuse: Refuse) -> dict[str, Any] | None:
    try:
        row = json.loads(line, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        refuse(f"{place} is not JSON: {_reason(error)}; each line must be one object")
        return None
    if not isinstance(row, dict):
        refuse(f'{place} is no JSON object: each line must be one, like {{"text": "…"}}')
        return None
    if _is_by_columns(row):
        raise BertkitError(
            f"{place} is a table by columns, as pandas writes it: write its rows, with to_json(…, orient='records', lines=True)"
        )
    return row


def _is_by_columns(row: dict[str, Any]) -> bool:
    """Whether an object is a whole table, whose columns are objects by the numbers of the rows."""
    columns = list(row.values())
    if len(columns) < 2 or not all(isinstance(column, dict) and column for column in columns):
        return False
    return all(column.keys() == columns[0].keys() for column in columns) and all(map(str.isdecimal, columns[0]))


def _array_rows(first: str, text: io.TextIOWrapper, path: AnyFile, line: int) -> Iterator[Row]:
    """The objects of one array, of which ``first`` is the first line that is not blank."""
    content = first + text.read(LONGEST_VALUE_CHARS)
    if text.read(1):
        raise BertkitError(
            f"{path} is one array of over {LONGEST_VALUE_CHARS:,} characters: write one object a line, as .jsonl"
        )
    decoder = json.JSONDecoder(object_pairs_hook=_without_twins)
    place, separator = content.index("[") + 1, "["
    while separator != "]":
        begin = _behind_blanks(content, place)
        at = f"{path}:{line + content.count(chr(10), 0, begin)}"
        if separator == "[" and content.startswith("]", begin):
            place = begin + 1
            break
        try:
            row, end = decoder.raw_decode(content, begin)
        except (ValueError, RecursionError) as error:
            raise BertkitError(f"{at} is not JSON: {_reason(error)}; the array must hold objects") from error
        if not isinstance(row, dict):
            raise BertkitError(f'{at} is no JSON object: the array must hold objects, like {{"text": "…"}}')
        yield at, row
        place = _behind_blanks(content, end) + 1
        separator = content[place - 1 : place]
        if separator not in (",", "]"):
            raise BertkitError(f"{at} is not followed by ',' or ']': the array is cut or damaged")
    rest = _behind_blanks(content, place)
    if rest < len(content):
        raise BertkitError(
            f"{path}:{line + content.count(chr(10), 0, rest)} has something behind the array that begins in line {line}, where "
            "nothing may follow: put all objects into one array, or write one object a line"
        )


def _behind_blanks(content: str, place: int) -> int:
    blanks = _BLANKS.match(content, place)
    return blanks.end() if blanks else place


def _reason(error: Exception) -> str:
    return f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)[:100]


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; JSON itself would keep the last of two values of one name."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(name for name in names if names.count(name) > 1)}' stands twice in one object")
    return found


class Halves:
    """Lone surrogates: JSON may escape half a character, which no tokenizer takes."""

    def __init__(self) -> None:
        self._count, self._first = 0, ""

    def replaced(self, value: Any, place: str) -> Any:
        """A value with U+FFFD in their place, in its texts and in those of what it holds."""
        if isinstance(value, dict):
            return {name: self.replaced(one, place) for name, one in value.items()}
        if isinstance(value, list):
            return [self.replaced(one, place) for one in value]
        if not isinstance(value, str) or value.isascii():
            return value
        whole, count = LONE_SURROGATE.subn("\ufffd", value)
        self._first = self._first or (place if count else "")
        self._count += count
        return whole

    def say(self) -> None:
        if self._count:
            console.note_once(
                f"half characters (lone surrogates) read as U+FFFD: {self._count:,}, first at {self._first}"
            )
