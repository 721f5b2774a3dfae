"""Chooses the columns of a table for each role: as asked for, by their usual names, or by their values."""

import re
import statistics
import unicodedata
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from bertkit.errors import BertkitError
from bertkit.finetuning.features import Row
from bertkit.finetuning.rows import cells
from bertkit.io.delimited import SEPARATORS

_LONG_TEXT_WORDS = 4
_TIMES_LONGER = 3
_FEW_VALUES = 20
_SHOWN_COLUMNS = 4
_HEADER_WORDS = 2
LOOKED_AT = 1_000
"""How many rows are examined."""
_BY_CONTENT = {"text": "the only column of long texts", "label": "the only column of few values"}

Command = Literal["finetune", "evaluate", "predict"]
"""What rows are read for; it says by which options a person names their columns."""
Roles = Mapping[str, Sequence[Sequence[str]]]
"""For each role the alternative columns that it may stand in, the most likely first; ``()`` makes it optional."""


def choose_columns(
    roles: Roles,
    asked: Mapping[str, Sequence[str]],
    rows: Sequence[Row],
    source: str,
    trained_on: Mapping[str, Sequence[str]] = MappingProxyType({}),
    command: Command = "finetune",
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The columns of each role, and lines about what was guessed.

    Names are compared without regard to case, blanks and punctuation. If no column has a usual name, "text" is the only
    column with long text, and "label" the only one with few values.

    Args:
        roles: the usual names of columns.
        asked: columns that a person named, by role.
        rows: the first rows.
        source: the table, for messages.
        trained_on: the columns that a model was trained on, by role. A role that nobody named is read from these where the
            table has all of them; else it is recognised, and the line says what the model was trained on.
        command: the command at hand, for messages.

    Raises:
        BertkitError: a named column does not exist, a role has no column, or the table has no header.
    """
    names = _names(rows)
    chosen = {role: _named(asked[role], names, role, source, command) for role in roles if asked.get(role)}
    before = {role: trained_on[role] for role in roles if role not in chosen and trained_on.get(role)}
    chosen |= {role: found for role, some in before.items() if (found := _alike(some, names)) is not None}
    usual = {role: _usual(roles[role], names) for role in roles if role not in chosen}
    guessed_names = [name for name in names if name not in {one for some in chosen.values() for one in some}]
    by_content = []
    for role, columns in usual.items():
        if columns is None:
            taken = {name for some in (*chosen.values(), *usual.values()) for name in some or ()}
            columns = _by_content(role, [name for name in names if name not in taken], rows[:LOOKED_AT])
            if columns is None:
                _refuse_without_header(guessed_names, rows, source, command)
                lacking = [one for one in before.get(role, ()) if _alike([one], names) is None]
                lost = (
                    f" (the model was trained on {_listed(before[role])}: {_listed(lacking)} is not there)"
                    if lacking
                    else ""
                )
                raise BertkitError(f"which column of {source} is the {role}{lost}? {_to_do(role, names, command)}")
            by_content.append(role)
        if columns:
            chosen[role] = usual[role] = columns
    if by_content:
        _refuse_without_header(guessed_names, rows, source, command)
        _refuse_text_as_name(names, source, command)
    ordered = {role: chosen[role] for role in roles if role in chosen}
    told = []
    for role, columns in ordered.items():
        why = [f"{_BY_CONTENT[role]}; {option(role, command)} names another"] if role in by_content else []
        if role in before and columns != _alike(before[role], names):
            why.insert(0, f"the model was trained on {_listed(before[role])}")
        told.append(f"{role}: {_listed(columns)}" + (f" ({'; '.join(why)})" if why else ""))
    known = {**before, **asked}
    is_guessed = any(tuple(known.get(role, ())) != columns for role, columns in ordered.items())
    return ordered, ["; ".join(told)] if is_guessed else []


def columns_like(
    columns: Mapping[str, Sequence[str]], roles: Roles, rows: Sequence[Row], source: str
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The columns of a table that is to be read like another one, whose columns are given: the same ones; and lines about them.

    A role may stand in another column with a usual name, which is said, as that of tags does in other formats; an optional one
    may be missing. But not "text", without which rows would mean another thing.

    Raises:
        BertkitError: a column does not exist.
    """
    names = _names(rows)
    there = set(map(_plain, names))
    asked = {
        role: some
        for role, some in columns.items()
        if role == "text" or _usual(roles[role], names) is None or all(_plain(one) in there for one in some)
    }
    found = choose_columns({role: roles[role] for role in columns}, asked, rows, source)[0]
    others = {role: one for role, one in found.items() if one and one != tuple(columns[role]) and role not in asked}
    told = [f"{role}: {_listed(one)}, as there is no {_listed(columns[role])}" for role, one in others.items()]
    return found, [f"{source}: {'; '.join(told)}"] if told else []


def check_columns(
    columns: Mapping[str, Sequence[str]],
    most: Mapping[str, int],
    source: str,
    reader: str,
    command: Command = "finetune",
) -> None:
    """Refuses columns that would be read twice, or not at all.

    Args:
        columns: those of each role.
        most: how many columns a role has at most; a role that is missing here has any number.
        source: the table, for messages.
        reader: what reads the columns, for messages.
        command: the command at hand; likewise.

    Raises:
        BertkitError: there are such columns.
    """
    taken: dict[str, str] = {}
    for role, names in columns.items():
        if len(names) > most.get(role, len(names)):
            raise BertkitError(
                f"{source}: {len(names)} columns are named for the {role} ({_quoted(names)}), of which {reader} reads "
                f"{most[role]} at most: name no more with {option(role, command)}"
            )
        for name in names:
            if name in taken:
                twice = f"twice for the {role}" if taken[name] == role else f"for the {taken[name]} and for the {role}"
                raise BertkitError(
                    f"{source}: the column '{name}' is named {twice}: name another with {option(role, command)}"
                )
            taken[name] = role


def told_unread(read: set[str], rows: Sequence[Row]) -> str:
    """What is said of the columns that are not read; empty if all are."""
    rest = [_shown(name) for name in _names(rows) if name not in read]
    more = f" and {len(rest) - _SHOWN_COLUMNS:,} more" if len(rest) > _SHOWN_COLUMNS else ""
    return f"not read: {', '.join(rest[:_SHOWN_COLUMNS])}{more}" if rest else ""


def is_header(line: str, roles: Roles) -> bool:
    """Whether a line reads like the names of a table's columns: one that is usual for a role, or several short ones, separated
    without a blank, and one of them usual or with a usual one in it.

    Example:
        >>> roles = {"text": [("text",), ("review",)]}
        >>> [is_header(line, roles) for line in ("id;Review", "review_text,toxic", "text", "a text, and another")]
        [True, True, True, False]
    """
    usual = {_plain(name) for alternatives in roles.values() for some in alternatives for name in some}
    if line.strip() in usual:
        return True
    rows = ([field.strip('"') for field in line.rstrip("\r\n").split(separator)] for separator in SEPARATORS)
    return any(
        len(names) > 1
        and all(name == name.strip() and len(name.split()) <= _HEADER_WORDS for name in names)
        and any(_plain(part) in usual for name in names for part in (name, *re.split(r"[\W_]+", name)))
        for names in rows
    )


def _names(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for _, row in rows[:LOOKED_AT] for name in row))


def _named(wanted: Sequence[str], names: Sequence[str], role: str, source: str, command: Command) -> tuple[str, ...]:
    """Columns that were asked for, as ``_alike`` finds them; a message says which one is not there."""
    columns: tuple[str, ...] = ()
    for one in wanted:
        found = _alike([one], names)
        if found is None:
            raise BertkitError(f"{source} has no column '{one}': {_to_do(role, names, command)}")
        columns += found
    return columns


def _alike(wanted: Sequence[str], names: Sequence[str]) -> tuple[str, ...] | None:
    """Columns by their exact names, or else by names that differ only in case, blanks and the normal form of Unicode; None if one
    is not there."""
    columns = []
    for one in wanted:
        alike = [one] if one in names else [name for name in names if _plain(name) == _plain(one) != ""]
        if len(alike) != 1:
            return None
        columns.append(alike[0])
    return tuple(columns)


def _usual(alternatives: Sequence[Sequence[str]], names: Sequence[str]) -> tuple[str, ...] | None:
    """The first alternative whose columns all exist; exact names come before those that differ in case and blanks."""
    plain: dict[str, str] = {}
    for name in names:
        plain.setdefault(_plain(name), name)
    for known in ({name: name for name in names}, plain):
        for some in alternatives:
            if some and all(name in known for name in some):
                return tuple(known[name] for name in some)
    return () if any(not some for some in alternatives) else None


def _plain(name: str) -> str:
    return re.sub(r"[^\w]|_", "", unicodedata.normalize("NFC", name)).casefold()


def _by_content(role: str, names: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...] | None:
    values = {name: _values(name, rows) for name in names}
    if role == "text":
        return _longest(values)
    if role != "label":
        return None
    few = [name for name, held in values.items() if _is_of_few_values(held)]
    return (few[0],) if len(few) == 1 else None


def _values(name: str, rows: Sequence[Row]) -> list[Any]:
    """The cells of a column that are not empty."""
    return [row[name] for _, row in rows if not cells.is_missing(row.get(name))]


def _longest(values: Mapping[str, Sequence[Any]]) -> tuple[str, ...] | None:
    """The column with sentences, if there is one whose texts are several times as long as those of any other."""
    words = {
        name: statistics.fmean(len(value.split()) if isinstance(value, str) else 0 for value in held)
        for name, held in values.items()
        if held
    }
    ranked = sorted(words, key=lambda name: -words[name])
    if not ranked or words[ranked[0]] < _LONG_TEXT_WORDS:
        return None
    alone = len(ranked) == 1 or words[ranked[0]] >= _TIMES_LONGER * words[ranked[1]]
    return (ranked[0],) if alone else None


def _is_of_few_values(held: Sequence[Any]) -> bool:
    """Whether a column has at least two values, each of them in five rows on average; a list of classes is one value."""
    known = [value for value in held if isinstance(value, (str, int, float, list))]
    distinct = len({str(value).strip() for value in known})
    return len(known) == len(held) and 2 <= distinct <= min(_FEW_VALUES, len(held) // 5)


def _refuse_without_header(names: Sequence[str], rows: Sequence[Row], source: str, command: Command) -> None:
    """Refuses a table without a header: a name of a column is a number, or occurs again as a value in the column.

    A column of few values may be called like one of them, as that of spam and ham, if the others have names of one word.

    Args:
        names: the columns that nobody named.
        rows: the rows.
        source: the table, for the message.
        command: the command at hand; likewise.
    """
    again = [name for name in names if name and any(row.get(name) == name for _, row in rows[:LOOKED_AT])]
    if len(again) == 1 and _is_of_few_values(_values(again[0], rows[:LOOKED_AT])):
        again = again if any(len(name.split()) > 1 for name in names if name not in again) else []
    if again or any(map(cells.is_plain_number, names)):
        read = ("text",) if command == "predict" else ("text", "label")
        ways = " and ".join(option(role, command) for role in read)
        raise BertkitError(
            f"{source} has no header: its first line looks like a row ({_quoted(names)}); put the names of the columns, "
            f"such as text,label, above it; or, if these are names, say with {ways} which are read"
        )


def _refuse_text_as_name(names: Sequence[str], source: str, command: Command) -> None:
    """Refuses a table of one column that nobody named, if its name has several words: it may be the first of the texts."""
    if len(names) == 1 and len(names[0].split()) > 1:
        raise BertkitError(
            f"{source} has one column, whose first line, '{names[0][:60]}', is its name or its first text: put a name, such as "
            f"text, above it; or, if this is the name, give it with {option('text', command)}"
        )


def option(role: str, command: Command, columns: int = 1) -> str:
    """What a person gives to a command to name the columns of a role; in `bertkit predict` only those of texts have one."""
    if role == "text" and command != "evaluate":
        return "--text and --text-pair" if columns == 2 else "--text"
    if role not in ("text", "label"):
        return f"--set 'task.columns={{{role}=\"NAME\"}}'"
    named = ", ".join(['"NAME"'] * columns)
    return "--label" if command == "finetune" else f"--set 'task.{role}=[{named}]'"


def _to_do(role: str, names: Sequence[str], command: Command) -> str:
    if command == "predict" and role != "text":
        return f"call one of {_quoted(names)} '{role}'"
    return f"use {option(role, command)} with one of {_quoted(names)}"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(_shown, names))


def _shown(name: str) -> str:
    """A name for messages, in quotes if its end would not be visible."""
    return name if re.fullmatch(r"[\w-]+", name) else f"'{name}'"
