"""Turns labels as people write them (words, numbers, lists) into those that losses take."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.features import Row
from bertkit.finetuning.rows import cells
from bertkit.finetuning.rows.kinds import OF_SEVERAL, a_kind, shown
from bertkit.settings.schema import TaskSettings

_MOST_NUMBERED_CLASSES = 50
_BETWEEN = re.compile(r"[|;]|, ")
SET_KIND = "--set task.problem_type="


class ClassIds:
    """Finds classes by their names. Whole numbers are also found by value, as 1 and 1.0, and true and false in any case."""

    def __init__(self, names: Sequence[str]) -> None:
        self._exact = {name: number for number, name in enumerate(names)}
        keys = [_value_of(name) for name in names]
        counts = Counter(keys)
        self._by_value = {key: number for number, key in enumerate(keys) if counts[key] == 1}

    def of(self, value: Any) -> int | None:
        """The number of the class in a cell; None if it is none."""
        found = self._exact.get(cells.class_name(value))
        key = _value_of(value)
        return found if found is not None or key is None else self._by_value.get(key)


def _value_of(value: Any) -> float | str | None:
    if cells.is_whole(value):
        return float(value)
    name = cells.class_name(value).lower()
    return name if name in ("true", "false") else None


@dataclass(frozen=True)
class Labelling:
    """The classes by id (none for a regression), and the kind of problem."""

    names: list[str]
    kind: str
    """The name of the kind in ``transformers.PretrainedConfig``."""

    def encode(self, rows: Sequence[Row], columns: Sequence[str]) -> np.ndarray:
        """The labels as ids int64 ``[rows]``, as numbers float32 ``[rows]``, or as 0 and 1, float32 ``[rows, classes]``.

        Raises:
            BertkitError: labels are missing, unknown or not numbers; the message names file and line.
        """
        several = self.kind == "multi_label_classification"
        _refuse_missing(rows, columns, several)
        if several:
            return self._several(rows, columns)
        ids = ClassIds(self.names)
        # Datasets on the hub store a class as its number, even if the classes have names; no row then has a name.
        is_named = any(map(cells.is_whole, self.names)) or any(is_class(row, columns[0], ids) for row in rows)
        values = [self._one(place, row, columns[0], ids, not is_named) for place, row in rows]
        return np.array(values, dtype=np.float32 if self.kind == "regression" else np.int64)

    def _one(self, place: str, row: dict[str, Any], column: str, ids: ClassIds, by_number: bool) -> float:
        value = _value(place, row, column)
        if self.kind == "regression":
            number = cells.as_number(value)
            if number is None:
                how = "" if str(value).isascii() else ": write it with the digits 0 to 9, a point and the sign -"
                raise BertkitError(f"{place}: the label '{shown(value)}' is no number{how}")
            return number
        class_id = ids.of(value)
        if class_id is None and by_number and cells.is_whole(value):
            class_id = int(float(value)) if float(value) in range(len(self.names)) else None
        if class_id is None:
            raise self._unknown(place, value)
        return class_id

    def _several(self, rows: Sequence[Row], columns: Sequence[str]) -> np.ndarray:
        lacking = [name for name in self.names if name not in columns] if len(columns) > 1 else []
        if lacking:
            quoted = ", ".join(f'"{name}"' for name in self.names)
            raise BertkitError(
                f"{rows[0][0]}: of the classes in columns of their own, {console.listed(lacking, 5)} has none that is read: "
                f"name all of them with --set 'task.label=[{quoted}]'"
            )
        encoded = np.zeros((len(rows), len(self.names)), dtype=np.float32)
        ids = {name: number for number, name in enumerate(self.names)}
        # [0, 1] are flags, or the classes 0 and 1: of classes with such names, only where all rows can be flags.
        by_name = all(map(cells.is_whole, self.names)) and not self._all_are_flags(rows, columns)
        for number, (place, row) in enumerate(rows):
            for name in self._chosen(place, row, columns, ids, by_name):
                if name not in ids:
                    raise self._unknown(place, name)
                encoded[number, ids[name]] = 1
        return encoded

    def _all_are_flags(self, rows: Sequence[Row], columns: Sequence[str]) -> bool:
        lists = [cells.as_list(row[columns[0]]) or [] for _, row in rows] if len(columns) == 1 else []
        return cells.are_flags(lists, len(self.names))

    def _chosen(
        self, place: str, row: dict[str, Any], columns: Sequence[str], ids: dict[str, int], by_name: bool
    ) -> list[str]:
        if len(columns) == 1:
            listed = cells.as_list(row[columns[0]])
            if listed is not None and not by_name and cells.are_flags([listed], len(self.names)):
                return [name for name, flag in zip(self.names, listed, strict=True) if flag]
            if listed is None and isinstance(row[columns[0]], str):
                ways = [cells.split(row[columns[0]], separator) for separator in cells.SEPARATORS]
                return next((names for names in ways if all(name in ids for name in names)), ways[0])
        return _names_of(place, row, columns)

    def _unknown(self, place: str, value: Any) -> BertkitError:
        more = f" and {len(self.names) - 20:,} more" if len(self.names) > 20 else ""
        written = cells.class_name(value)
        seen = cells.as_seen(written)
        alike = any(cells.as_seen(name) == seen for name in self.names)
        how = " (it looks like one of them, but consists of other characters, as in NFC and NFD)" if alike else ""
        return BertkitError(
            f"{place}: unknown label '{shown(written)}'; training has {', '.join(self.names[:20])}{more}{how}"
        )


def is_class(row: Row, column: str, ids: ClassIds) -> bool:
    """Whether the label of a row is one of these classes."""
    return ids.of(row[1].get(column)) is not None


def find_labelling(rows: Sequence[Row], columns: Sequence[str], task: TaskSettings) -> Labelling:
    """The classes and the kind of problem, from the settings, or from the labels of the training rows.

    Several 0/1 columns, or lists, are a multi-label problem. Words are classes, in alphabetical order. Plain whole numbers
    are classes, in numerical order, if there are few of them; other plain numbers are a regression. Cells without a label
    are handled by ``encode``.

    Raises:
        BertkitError: there are no labels, a single class, or labels that can be read in two ways.
    """
    kind: str = task.problem_type or ""
    names = list(task.labels)
    if not kind or not (names or kind == "regression"):
        labelled = [row for row in rows if not any(cells.is_missing(row[1].get(name)) for name in columns)]
        if not labelled:
            _refuse_missing(rows, columns, several=False)
        kind = kind or _kind(labelled, columns)
        if names and kind == "regression" and not task.problem_type:
            kind = "single_label_classification"  # numbers that have names are classes, however many
        names = names or ([] if kind == "regression" else _names(labelled, columns, kind))
    if kind == "regression":
        return Labelling([], kind)
    if len(names) < 2 and kind == "single_label_classification":
        raise BertkitError(f"a single class, '{names[0]}', in column {columns[0]}: there is nothing to tell apart")
    if not names:
        raise BertkitError(f"no row has a class in column {columns[0]}: there is nothing to learn")
    return Labelling(names, kind)


def _kind(rows: Sequence[Row], columns: Sequence[str]) -> str:
    lists = [cells.as_list(row[columns[0]]) for _, row in rows]
    if len(columns) > 1 or all(one is not None for one in lists):
        return "multi_label_classification"
    values = [row[columns[0]] for _, row in rows]
    _refuse_two_ways(rows, columns[0], lists)
    if not all(cells.is_plain_number(value) for value in values):
        return "single_label_classification"
    distinct = {cells.class_name(value) for value in values}
    few = len(distinct) <= min(_MOST_NUMBERED_CLASSES, max(2, len(rows) // 2))
    return "single_label_classification" if few and all(map(cells.is_whole, values)) else "regression"


def _refuse_two_ways(rows: Sequence[Row], column: str, lists: Sequence[list[Any] | None]) -> None:
    """Refuses labels that look like lists or numbers, but cannot be read as such."""
    for (place, row), listed in zip(rows, lists, strict=True):
        if isinstance(row[column], OF_SEVERAL):
            raise BertkitError(
                f"{place}: the label '{column}' is {a_kind(row[column])}, not a class: {shown(row[column])}"
            )
        if listed is not None:
            raise BertkitError(
                f"{place}: the label {shown(row[column])} looks like a list, which those of other rows are not: write all "
                f"of them as JSON lists, or use {SET_KIND}single_label_classification"
            )
    place, first = rows[0][0], str(rows[0][1][column])
    values = [row[column] for _, row in rows]
    if all(isinstance(value, str) and value.strip()[:1] == "[" and value.strip()[-1] == "]" for value in values):
        raise BertkitError(
            f'{place}: the label {shown(first)} looks like a list, but is none in JSON: write ["a", "b"] or [0, 1], or use '
            f"{SET_KIND}single_label_classification"
        )
    with_comma = [cells.has_comma(value) for value in values]
    if any(with_comma) and all(
        comma or cells.is_plain_number(one) for comma, one in zip(with_comma, values, strict=True)
    ):
        at = with_comma.index(True)
        raise BertkitError(
            f"{rows[at][0]}: the label '{shown(values[at])}' is a number with a comma, and all are numbers: write a "
            f"point for decimals and nothing for thousands, or use {SET_KIND}single_label_classification"
        )


def _names(rows: Sequence[Row], columns: Sequence[str], kind: str) -> list[str]:
    if kind == "single_label_classification":
        return _ordered({cells.class_name(_value(place, row, columns[0])) for place, row in rows})
    if len(columns) > 1:
        return list(columns)
    lists = [cells.as_list(row[columns[0]]) for _, row in rows]
    if all(one is not None for one in lists):
        if cells.are_flags([one for one in lists if one is not None]):
            return [str(position) for position in range(len(lists[0] or ()))]
        return _ordered({name for place, row in rows for name in _names_of(place, row, columns)})
    written = [str(_value(place, row, columns[0])) for place, row in rows]
    separator = next((one for one in cells.SEPARATORS if any(one in value for value in written)), cells.SEPARATORS[0])
    return _ordered({name for value in written for name in cells.split(value, separator)})


def _ordered(names: set[str]) -> list[str]:
    ordered = sorted(names)
    return sorted(ordered, key=float) if all(map(cells.is_whole, names)) else ordered


def _names_of(place: str, row: dict[str, Any], columns: Sequence[str]) -> list[str]:
    """The names of a row's labels, from several 0/1 columns or from a list."""
    if len(columns) > 1:
        flags = {column: cells.as_flag(_value(place, row, column)) for column in columns}
        wrong = next((column for column, flag in flags.items() if flag is None), None)
        if wrong is not None:
            raise BertkitError(f"{place}: column '{wrong}' must be 0 or 1, got '{shown(row[wrong])}'")
        return [column for column, flag in flags.items() if flag]
    listed = cells.as_list(row[columns[0]])
    if listed is None:
        raise BertkitError(
            f"{place}: the label '{shown(row[columns[0]])}' is neither a list of classes nor a text with several"
        )
    nested = next((one for one in listed if isinstance(one, OF_SEVERAL)), None)
    if nested is not None:
        raise BertkitError(
            f"{place}: a label in '{columns[0]}' is {a_kind(nested)}, not a name: {shown(nested)}; entities that are marked in "
            "texts are read with --head token"
        )
    if any(map(cells.is_missing, listed)):
        raise BertkitError(
            f"{place}: a label in the list '{columns[0]}' is empty: {shown(row[columns[0]])}; fill it in, or leave it out of the "
            "list"
        )
    if all(isinstance(one, float | int) for one in listed) and not all(map(cells.is_whole, listed)):
        raise BertkitError(
            f"{place}: the label '{columns[0]}' is a list of shares, of which bertkit learns none: {shown(row[columns[0]])}; "
            "write those that hold, as 1, and the others as 0"
        )
    return [cells.class_name(one) for one in listed]


def _refuse_missing(rows: Sequence[Row], columns: Sequence[str], several: bool) -> None:
    """Refuses rows without a label, all of them in one message. If there may be several labels, an empty cell has none."""
    for column in columns:
        empty = [
            place
            for place, row in rows
            if cells.is_missing(row.get(column)) and not (several and len(columns) == 1 and row.get(column) == "")
        ]
        written = [row[column] for _, row in rows if isinstance(row.get(column), str)] if empty else []
        not_a_number = next((value for value in written if value.strip().lower() == "nan"), None)
        listed = not several and any(_BETWEEN.search(value) for value in written)
        way = f"; where a cell holds several, use {SET_KIND}multi_label_classification" if listed else ""
        if not_a_number is not None:
            way += f"; '{not_a_number}' is taken for an empty cell, as programs write one: call a class otherwise"
        cells.refuse_empty(empty, len(rows), f"no label in column '{column}'", way)


def _value(place: str, row: dict[str, Any], column: str) -> Any:
    value = row[column]
    if isinstance(value, OF_SEVERAL):
        raise BertkitError(f"{place}: the label '{column}' is {a_kind(value)}, not a class: {shown(value)}")
    return value
