"""Converts what callers may pass into the forms that the rest of the package takes."""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from bertkit.errors import BertkitError
from bertkit.settings.recipes import Override

if TYPE_CHECKING:
    from bertkit.io.memory import MemoryRows, Table

Name = str | PathLike[str]
"""A path, or the name of a model or a data set on the Hugging Face hub."""


def overrides_of(settings: Mapping[str, Any] | None) -> list[Override]:
    """Settings by dotted key as overrides, each with the name that messages use for it."""
    return [Override(key, value, f"settings {key}") for key, value in (settings or {}).items()]


def given_name(given: Name | None) -> str | None:
    """A path or name as text; None stays None."""
    return None if given is None else str(given)


def given_names(given: Name | Sequence[Name] | None) -> list[str]:
    """One or several paths or names as a list of texts; None is none.

    Raises:
        BertkitError: it is something else.
    """
    if given is None or isinstance(given, str | PathLike):
        return [] if given is None else [str(given)]
    if not isinstance(given, Iterable):
        raise BertkitError(f"give a path or a name, or a list of them, not an object of type {type(given).__name__}")
    return [str(one) for one in given]


def given_rows(name: str, given: "Name | Table | None") -> "str | MemoryRows | None":
    """A path or name as text, or rows in memory; messages call these ``the table NAME``."""
    if given is None or isinstance(given, str | PathLike):
        return given_name(given)
    from bertkit.io.memory import memory_rows

    return memory_rows(f"the table {name}", given)
