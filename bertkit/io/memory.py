"""Rows in memory: lists of dictionaries, dictionaries of columns, ``datasets.Dataset``, ``pandas.DataFrame``."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from bertkit.errors import BertkitError
from bertkit.io.cells import class_names, decoded, with_class_ids


@runtime_checkable
class DataFrame(Protocol):
    """The part of pandas' data frames that bertkit uses."""

    @property
    def columns(self) -> Any: ...
    def itertuples(self, index: bool = ..., name: str | None = ...) -> Any: ...


class Dataset(Protocol):
    """The part of the datasets of the library ``datasets`` that bertkit uses."""

    @property
    def column_names(self) -> Any: ...
    def __iter__(self) -> Any: ...


Table = Iterable[Mapping[str, Any]] | Mapping[str, Iterable[Any]] | DataFrame | Dataset
"""The forms in which rows may be passed."""
_FORMS = "a list of dictionaries, a dictionary of columns, a datasets.Dataset or a pandas.DataFrame"


@dataclass(frozen=True)
class MemoryRows:
    """Rows in memory, with a name for messages."""

    name: str
    rows: list[dict[str, Any]]

    def __str__(self) -> str:
        return self.name

    def placed(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The rows, each with its place for messages, as ``io.tables.read_rows`` gives them for a file."""
        for number, row in enumerate(self.rows):
            place = f"{self.name}, row {number}"
            yield place, decoded(place, row)


def memory_rows(name: str, table: Table) -> MemoryRows:
    """The rows of a table in memory; missing values of pandas (NaN, NaT, NA) become None, and numpy's values Python's.

    An iterable is read to its end before the first row is used.

    Raises:
        BertkitError: the object is not such a table, or two columns have the same name or are of different lengths.
    """
    if isinstance(table, DataFrame):
        names = [str(column) for column in table.columns]
        twice = next((column for column in names if names.count(column) > 1), None)
        if twice is not None:
            raise BertkitError(f"{name} has two columns '{twice}': rename one, or take it out")
        return MemoryRows(
            name,
            [dict(zip(names, map(_given, row), strict=True)) for row in table.itertuples(index=False, name=None)],
        )
    rows, classes = list[dict[str, Any]](), class_names(getattr(table, "features", None))
    for number, row in enumerate(_rows(name, table)):
        if not isinstance(row, Mapping):
            raise BertkitError(
                f"{name}, row {number} is of type {type(row).__name__}: a row is a dictionary by its columns, or, where a "
                "model predicts, a text"
            )
        rows.append(with_class_ids({str(column): _given(value) for column, value in row.items()}, classes))
    return MemoryRows(name, rows)


def _rows(name: str, table: Any) -> Iterable[Any]:
    """The rows of a table that is no data frame."""
    if not isinstance(table, Iterable) or isinstance(table, str | bytes):
        raise BertkitError(f"{name} cannot be of type {type(table).__name__}: give {_FORMS}")
    if not isinstance(table, Mapping):
        return table
    if any(hasattr(one, "column_names") or isinstance(one, DataFrame) for one in table.values()):
        raise BertkitError(f"{name} has several splits: give one of them, by its name ({', '.join(map(str, table))})")
    lone = next(
        (
            column
            for column, cells in table.items()
            if isinstance(cells, str | bytes | set | frozenset | Mapping) or not hasattr(cells, "__len__")
        ),
        None,
    )
    if lone is not None:
        raise BertkitError(
            f"{name} is a dictionary whose '{lone}' is no list: give {_FORMS}; of a single row [row], and of pandas "
            'to_dict("list")'
        )
    lengths = {str(column): len(cells) for column, cells in table.items()}
    if len({*lengths.values()}) > 1:
        told = ", ".join(f"'{column}' {length:,}" for column, length in lengths.items())
        raise BertkitError(f"{name} has columns of different lengths, {told}: give each a cell for every row")
    _check_same_order(name, table)
    return [dict(zip(table, cells, strict=True)) for cells in zip(*table.values(), strict=True)]


def _check_same_order(name: str, table: Mapping[str, Any]) -> None:
    """Refuses columns of pandas with different indexes, by which pandas would put other rows together."""
    indexed = [(column, cells.index) for column, cells in table.items() if hasattr(cells, "iloc")]
    for column, index in indexed[1:]:
        if not index.equals(indexed[0][1]):
            raise BertkitError(
                f"{name} has columns of pandas with different indexes, '{indexed[0][0]}' and '{column}': give a pandas.DataFrame "
                "of them, which puts equal indexes into one row; if they are in one order, reset_index(drop=True)"
            )


def _given(value: Any) -> Any:
    """A cell as plain values, within lists and objects too; None if it is missing. (NaN and NaT do not equal themselves;
    comparing NA raises.)"""
    value = _listed(value)
    if isinstance(value, dict):
        return {name: _given(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        plain = map(_given, value)
        return tuple(plain) if isinstance(value, tuple) else list(plain)
    try:
        is_missing = type(value).__name__ in ("NAType", "NaTType") or bool(value != value)
    except (TypeError, ValueError):  # they cannot be compared
        return value
    if is_missing:
        return None
    if type(value).__name__ in ("datetime64", "timedelta64"):  # of which nanoseconds would become whole numbers
        value = value.astype(f"{type(value).__name__}[us]")
    return unboxed(value)


def unboxed(value: Any) -> Any:
    """A scalar of numpy as Python's; other values as they are."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value


def _listed(value: Any) -> Any:
    """An array in a cell as a list (pandas reads the lists of parquet as arrays); other cells as they are."""
    return value.tolist() if hasattr(value, "tolist") and getattr(value, "ndim", 0) > 0 else value
