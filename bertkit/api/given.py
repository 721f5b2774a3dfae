"""Converts what callers may pass into the forms that the rest of the package takes.

Each function has the name of the argument, for messages, and raises a BertkitError where something else was passed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.errors import BertkitError
from bertkit.io.memory import unboxed
from bertkit.settings.recipes import Override

if TYPE_CHECKING:
    from bertkit.io.memory import MemoryRows, Table

Name = str | PathLike[str]
"""A path, or the name of a model or a data set on the Hugging Face hub."""


def overrides_of(settings: Mapping[str, Any] | None) -> list[Override]:
    """Settings by dotted key as overrides, each with the name that messages use for it."""
    return [Override(key, unboxed(value), f"settings {key}") for key, value in _by_name("settings", settings).items()]


def name_of(argument: str, given: Name) -> str:
    """A path or name as text."""
    if not isinstance(given, str | PathLike):
        raise BertkitError(f"{argument} must be a name or a path, got {_shown(given)}")
    return str(given)


def given_name(argument: str, given: Name | None) -> str | None:
    """A path or name as text; None stays None."""
    return None if given is None else name_of(argument, given)


def given_path(argument: str, given: Name | None) -> Path | None:
    """A path; None stays None."""
    return None if given is None else Path(name_of(argument, given))


def given_names(argument: str, given: Name | Iterable[Name] | None) -> list[str]:
    """One or several paths or names as a list of texts; None is none, while a list has to name one."""
    if given is None or isinstance(given, str | PathLike):
        return [] if given is None else [str(given)]
    if not isinstance(given, Sequence | Iterator | set):  # as tables are, whose rows or columns are no paths
        raise BertkitError(
            f"{argument} must be a path or a name, or a list of them, got {_shown(given)}: write texts that are in memory "
            "into a file, with a blank line between documents"
        )
    names = [name_of(f"each of {argument}", one) for one in given]
    if not names:
        raise BertkitError(f"{argument} names no text: give a path, or a list of them, or leave it out")
    return names


def given_rows(argument: str, given: "Name | Table | None") -> "str | MemoryRows | None":
    """A path or name as text, or rows in memory; messages call these ``the table ARGUMENT``."""
    if given is None or isinstance(given, str | PathLike):
        return given_name(argument, given)
    from bertkit.io.memory import memory_rows

    return memory_rows(f"the table {argument}", given)


def share_or_rows(
    argument: str, given: "Name | float | Table | None"
) -> "tuple[float | None, str | MemoryRows | None]":
    """The share of the rows to hold out, and None; or None, and held-out rows as ``given_rows`` gives them."""
    if not isinstance(given, float | int | Real):
        return None, given_rows(argument, given)
    if isinstance(given, bool) or not 0 < given < 1:
        raise BertkitError(
            f"{argument} must be rows, or the share to hold out, which lies between 0 and 1, got {given}"
        )
    return float(given), None


def number_of(argument: str, given: float) -> float:
    """A number; True and False are none."""
    if isinstance(given, bool) or not isinstance(given, Real):
        raise BertkitError(f"{argument} must be a number, got {_shown(given)}")
    return float(given)


def count_of(argument: str, given: int) -> int:
    """A whole number; True and False are none."""
    if isinstance(given, bool) or not isinstance(given, Integral):
        raise BertkitError(f"{argument} must be a whole number, got {_shown(given)}")
    return int(given)


def device_of(given: object) -> str:
    """A device as text, also that of a ``torch.device``; None is "auto"."""
    return "auto" if given is None else str(given)


def given_keep(given: tuple[Name, float] | None) -> tuple[str, float] | None:
    """General text to mix in, and its share of the examples."""
    if given is None:
        return None
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise BertkitError(f"keep must be a text and its share, such as ('general.txt', 0.3), got {given!r:.80}")
    return name_of("the text of keep", given[0]), number_of("the share of keep", given[1])


def given_grid(given: Mapping[str, Any] | str | None) -> dict[str, list[Any]] | None:
    """The values to try by setting, or a text as ``--grid`` takes it; a single value is a list of one."""
    if given is None:
        return None
    if isinstance(given, str):
        from bertkit.finetuning.sweep import parse_grid

        return parse_grid(given)
    return {
        name: list(map(unboxed, values))
        if isinstance(values, Iterable) and not isinstance(values, str)
        else [unboxed(values)]
        for name, values in _by_name("grid", given).items()
    }


def _by_name(argument: str, given: Mapping[str, Any] | None) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise BertkitError(
            f"{argument} must be a dictionary by the names of settings, such as {{'train.epochs': 2}}, got {_shown(given)}"
        )
    for name in given:
        if not isinstance(name, str):
            raise BertkitError(f"{argument} must have the names of settings as its keys, got {_shown(name)}")
    return given


def _shown(given: object) -> str:
    """What was passed, for messages: values as they are, and of larger objects the type."""
    small = given is None or isinstance(given, str | Real)
    return repr(given) if small else f"an object of type {type(given).__name__}"
