"""Labels as people write them (words, numbers, lists) and as losses take them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertkit.errors import BertkitError
from bertkit.finetuning.heads.base import Row
from bertkit.finetuning.kinds import a_kind, shown
from bertkit.settings.schema import TaskSettings

_MOST_NUMBERED_CLASSES = 50

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Labelling:
    """The classes by id (none for regression) and what kind of problem they make."""

    names: list[str]
    kind: str
    """As ``transformers.PretrainedConfig`` calls it."""

    def encode(self, rows: Sequence[Row], columns: Sequence[str]) -> np.ndarray:
        """int64 ``[rows]``, float32 ``[rows]``, or float32 ``[rows, classes]`` of 0 and 1.

        Raises:
            BertkitError: naming file and line of a label that is missing, unknown or no number.
        """
        if self.kind == "multi_label_classification":
            return self._several(rows, columns)
        values = [self._one(place, row, columns[0]) for place, row in rows]
        return np.array(values, dtype=np.float32 if self.kind == "regression" else np.int64)

    def _one(self, place: str, row: dict[str, Any], column: str) -> float:
        value = _value(place, row, column)
        if self.kind == "regression":
            number = as_number(value)
            if number is None or not np.isfinite(number):
                raise BertkitError(f"{place}: the label '{value}' is no number")
            return number
        number = self._id(value)
        if number is None:
            raise BertkitError(f"{place}: unknown label '{value}'; training has {', '.join(self.names[:20])}")
        return number

    def _id(self, value: Any) -> int | None:
        """The id of a class that is given by its name, or by its number where the classes have other names."""
        name = class_name(value)
        if name in self.names:
            return self.names.index(name)
        number = as_number(value)
        if number is not None and not _are_numbers(self.names) and number in range(len(self.names)):
            return int(number)
        return None

    def _several(self, rows: Sequence[Row], columns: Sequence[str]) -> np.ndarray:
        encoded = np.zeros((len(rows), len(self.names)), dtype=np.float32)
        for number, (place, row) in enumerate(rows):
            for name in _chosen(place, row, columns):
                if name not in self.names:
                    raise BertkitError(f"{place}: unknown label '{name}'; training has {', '.join(self.names[:20])}")
                encoded[number, self.names.index(name)] = 1
        return encoded


def find_labelling(rows: Sequence[Row], columns: Sequence[str], task: TaskSettings) -> Labelling:
    """The classes and the kind of problem, from the settings, or from the labels of the training rows.

    Several 0/1 columns or lists make a multi-label problem; words make classes, in alphabetical order; whole
    numbers make classes, in numerical order, where they are few; other numbers make a regression.

    Raises:
        BertkitError: no labels, a single class.
    """
    kind = task.problem_type or _kind(rows, columns)
    if kind == "regression":
        return Labelling([], kind)
    names = list(task.labels) or _names(rows, columns, kind)
    if len(names) < 2 and kind == "single_label_classification":
        raise BertkitError(f"a single class, '{names[0]}', in column {columns[0]}: there is nothing to tell apart")
    return Labelling(names, kind)


def _kind(rows: Sequence[Row], columns: Sequence[str]) -> str:
    if len(columns) > 1 or _as_list(rows[0][1].get(columns[0])) is not None:
        return "multi_label_classification"
    values = [_value(place, row, columns[0]) for place, row in rows]
    numbers = [as_number(value) for value in values]
    if any(number is None for number in numbers):
        return "single_label_classification"
    distinct = set(numbers)
    whole = all(float(number).is_integer() for number in distinct if number is not None)
    few = len(distinct) <= min(_MOST_NUMBERED_CLASSES, max(2, len(rows) // 2))
    return "single_label_classification" if whole and few else "regression"


def _names(rows: Sequence[Row], columns: Sequence[str], kind: str) -> list[str]:
    if kind == "multi_label_classification":
        if len(columns) > 1:
            return list(columns)
        return _ordered({name for place, row in rows for name in _chosen(place, row, columns)})
    return _ordered({class_name(_value(place, row, columns[0])) for place, row in rows})


def _ordered(names: set[str]) -> list[str]:
    return sorted(names, key=float) if _are_numbers(names) else sorted(names)


def _are_numbers(names: Any) -> bool:
    return all(as_number(name) is not None for name in names)


def _chosen(place: str, row: dict[str, Any], columns: Sequence[str]) -> list[str]:
    """The names of a row's labels, from several 0/1 columns or from one list."""
    if len(columns) > 1:
        flags = {column: as_number(_value(place, row, column)) for column in columns}
        wrong = next((column for column, flag in flags.items() if flag not in (0, 1)), None)
        if wrong is not None:
            raise BertkitError(f"{place}: column '{wrong}' must be 0 or 1, got '{row[wrong]}'")
        return [column for column, flag in flags.items() if flag == 1]
    listed = _as_list(row.get(columns[0]))
    if listed is None:
        raise BertkitError(f"{place}: the label '{row.get(columns[0])}' is no list, as the first row's is")
    nested = next((one for one in listed if isinstance(one, (list, dict))), None)
    if nested is not None:
        raise BertkitError(f"{place}: a label in '{columns[0]}' is {a_kind(nested)}, not a name: {shown(nested)}")
    return [class_name(one) for one in listed]


def _as_list(value: Any) -> list[Any] | None:
    if isinstance(value, list):
        return value
    if isinstance(value, str) and value.startswith("["):
        try:
            loaded = json.loads(value)
        except ValueError:
            return None
        return loaded if isinstance(loaded, list) else None
    return None


def _value(place: str, row: dict[str, Any], column: str) -> Any:
    value = row.get(column)
    if value is None or value == "":
        raise BertkitError(f"{place} has no label in column '{column}'")
    if isinstance(value, (list, tuple, dict)):
        raise BertkitError(f"{place}: the label '{column}' is {a_kind(value)}, not a class: {shown(value)}")
    return value


def class_name(value: Any) -> str:
    """A class as text: 1, 1.0 and "1" are one class."""
    if isinstance(value, bool):
        return str(value).lower()
    number = as_number(value)
    return str(int(number)) if number is not None and float(number).is_integer() else str(value).strip()


def as_number(value: Any) -> float | None:
    """The finite fp32 number that a value is, or is written as."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if abs(number) <= _LARGEST else None
