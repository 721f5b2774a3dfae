"""What a cell of a table holds, read as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bertkit.errors import BertkitError


class ClassId(int):
    """The number of a class in a data set that names its classes: a number, for whoever does not ask for the names.

    Attributes:
        names: those of all classes, by number.
    """

    names: Sequence[str] = ()


def class_names(features: Any) -> dict[str, Sequence[str]]:
    """The names of classes by number, for each column of a ``datasets.Dataset`` with classes (``ClassLabel``) or lists of them.

    ``features`` are those of the data set; None has none.
    """
    inner = {name: getattr(one, "feature", one) for name, one in (features or {}).items()}
    return {name: one.names for name, one in inner.items() if hasattr(one, "int2str")}


def with_class_ids(row: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A row whose classes know their names, as ``class_names`` gives them by column; -1, which means no label, becomes None."""
    return {**row, **{column: _class_ids(row[column], names[column]) for column in names if column in row}}


def _class_ids(value: Any, names: Sequence[str]) -> Any:
    if isinstance(value, list):
        return [_class_ids(one, names) for one in value]
    if not isinstance(value, int) or not 0 <= value < len(names):
        return None if value == -1 else value
    made = ClassId(value)
    made.names = names
    return made


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
        if isinstance(value, bytes) or (isinstance(value, list) and any(isinstance(one, bytes) for one in value)):
            try:
                found[name] = _decoded(value)
            except UnicodeDecodeError:
                found[name] = Unreadable(f"{place}: '{name}' holds bytes that are not UTF-8: store it as text")
        elif isinstance(value, OverflowError):
            found[name] = Unreadable(f"{place}: '{name}' holds more than can be read ({value}): store it as text")
    return found


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(one) for one in value]
    return value.decode("utf-8") if isinstance(value, bytes) else value


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
