"""What a cell of a table holds, read as text."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bertkit.errors import BertkitError


@dataclass(frozen=True)
class Unreadable:
    """A cell that is no text, such as an image: it harms nobody, until somebody reads it as text."""

    why: str

    def __str__(self) -> str:
        """Raises a BertkitError that says why."""
        raise BertkitError(self.why)


def decoded(place: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row whose bytes are read as text in UTF-8; those that are none are ``Unreadable``."""
    found = dict(row)
    for name, value in row.items():
        if isinstance(value, bytes):
            try:
                found[name] = value.decode("utf-8")
            except UnicodeDecodeError:
                found[name] = Unreadable(f"{place}: '{name}' holds bytes that are not UTF-8: store it as text")
        elif isinstance(value, OverflowError):
            found[name] = Unreadable(f"{place}: '{name}' holds more than can be read ({value}): store it as text")
    return found


def text_of(place: str, row: Mapping[str, Any], name: str, to_do: str = "store it as text") -> str:
    """A cell that has to be a text.

    Raises:
        BertkitError: it holds something else, or nothing.
    """
    value = row[name]
    if isinstance(value, Unreadable):
        raise BertkitError(value.why)
    if not isinstance(value, str):
        is_wrong = f"not text but {type(value).__name__}; {to_do}"
        raise BertkitError(f"{place}: '{name}' is {'empty; fill it in' if value is None else is_wrong}")
    return value
