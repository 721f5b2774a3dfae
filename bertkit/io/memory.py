"""Rows that are in memory already: lists of dictionaries, ``datasets.Dataset``, ``pandas.DataFrame``."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from bertkit.errors import BertkitError
from bertkit.io.tables import decoded


@runtime_checkable
class DataFrame(Protocol):
    """As far as we use them, the frames of pandas."""

    @property
    def columns(self) -> Any: ...
    def itertuples(self, index: bool = ..., name: str | None = ...) -> Any: ...


class Dataset(Protocol):
    """As far as we use them, the datasets of the library ``datasets``."""

    @property
    def column_names(self) -> Any: ...
    def __iter__(self) -> Any: ...


Table = Iterable[Mapping[str, Any]] | DataFrame | Dataset
"""What holds rows in memory."""


@dataclass(frozen=True)
class MemoryRows:
    """Rows in memory, which messages call by a name."""

    name: str
    rows: list[dict[str, Any]]

    def __str__(self) -> str:
        return self.name

    def placed(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each row with its place for messages, as ``io.tables.read_rows`` gives those of a file."""
        for number, row in enumerate(self.rows):
            place = f"{self.name}, row {number}"
            yield place, decoded(place, row)


def memory_rows(name: str, table: Table) -> MemoryRows:
    """The rows of a table in memory; what is missing in a frame (NaN, NaT, NA) is None.

    Raises:
        BertkitError: it is no such table.
    """
    if isinstance(table, DataFrame):
        names = [str(column) for column in table.columns]
        return MemoryRows(
            name,
            [dict(zip(names, map(_given, row), strict=True)) for row in table.itertuples(index=False, name=None)],
        )
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(table if isinstance(table, Iterable) else [table]):
        if not isinstance(row, Mapping):
            raise BertkitError(
                f"{name}, row {number} is of type {type(row).__name__}: give a path, a list of dictionaries, a "
                "datasets.Dataset or a pandas.DataFrame"
            )
        rows.append({str(column): value for column, value in row.items()})
    return MemoryRows(name, rows)


def _given(value: Any) -> Any:
    """A cell of a frame, None where it is missing: what is missing does not equal itself, or (NA) will not say."""
    try:
        is_missing = type(value).__name__ in ("NAType", "NaTType") or bool(value != value)
    except (TypeError, ValueError):  # an array in a cell
        return value
    if is_missing:
        return None
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
