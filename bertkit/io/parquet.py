"""Rows of parquet files, a few at a time."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from bertkit.errors import BertkitError
from bertkit.io.cells import decoded
from bertkit.io.compression import check_expansion, is_compressed, open_binary
from bertkit.io.delimited import LONGEST_VALUE_CHARS, Row
from bertkit.io.remote import AnyFile, RemoteFile

_BUFFER_BYTES = 2**20
_ROWS_BYTES = 2**24
"""Rows that are read together, unpacked: their texts are held several times over."""
_MOST_PAGE_BYTES = 850_000_000


@contextmanager
def _parquet(path: AnyFile) -> Iterator[Any]:
    """A parquet file, open; one that is compressed as a whole is unpacked into a temporary file first."""
    import pyarrow
    import pyarrow.parquet

    with ExitStack() as closing:
        file_or_path: Any = path
        if is_compressed(path):
            file_or_path = closing.enter_context(tempfile.TemporaryFile())
            with open_binary(path) as packed:
                shutil.copyfileobj(packed, file_or_path)
        elif isinstance(path, RemoteFile):
            file_or_path = closing.enter_context(path.open())
        try:
            file = pyarrow.parquet.ParquetFile(file_or_path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise BertkitError(f"{path} cannot be read as parquet: {_first_line(error)}") from error
        with file:
            yield file


def parquet_rows(path: AnyFile) -> Iterator[Row]:
    """The rows with their places, FILE:ROW from 1. Bytes are text in UTF-8, or an ``Unreadable``.

    Raises:
        BertkitError: the file is damaged or takes too much memory, or two columns have one name.
    """
    import pyarrow

    number = 0
    with _parquet(path) as file:
        names = list(file.schema_arrow.names)
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise BertkitError(f"{path} has two columns '{twice}': rename one, or take it out")
        try:
            for batch in _batches(file, _rows_at_once(file.metadata, path)):
                for row in _plain_rows(batch):
                    number += 1
                    place = f"{path}:{number}"
                    yield place, decoded(place, row)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise BertkitError(f"{path} is damaged after row {number}: {_first_line(error)}") from error


def _plain_rows(batch: Any) -> list[dict[str, Any]]:
    """The rows of a batch; in the place of a cell that Python cannot hold, as a date after the year 9999, is the error."""
    try:
        rows: list[dict[str, Any]] = batch.to_pylist()
    except OverflowError:
        columns = [[_plain(cell) for cell in column] for column in batch.columns]
        rows = [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]
    return rows


def _plain(cell: Any) -> Any:
    try:
        return cell.as_py()
    except OverflowError as error:
        return error


def _batches(file: Any, rows: int) -> Iterator[Any]:
    """Group by group, for a reader of them all keeps the dictionary of each until the end."""
    for group in range(file.metadata.num_row_groups):
        yield from file.iter_batches(batch_size=rows, row_groups=[group], use_threads=False)


def _rows_at_once(about: Any, path: AnyFile) -> int:
    """How many rows of a parquet file are read together, by their mean size.

    Raises:
        BertkitError: too few rows for their bytes, or more in them than text packs to.
    """
    most = 1024
    for number in range(about.num_row_groups):
        group = about.row_group(number)
        packed = sum(group.column(column).total_compressed_size for column in range(group.num_columns))
        check_expansion(path, packed, group.total_byte_size)
        held = max(_page_bytes(group.column(column), about.created_by) for column in range(group.num_columns))
        if held > _MOST_PAGE_BYTES:
            raise BertkitError(
                f"{path} would take {held / 2**20:,.0f} MiB of memory, for its writer puts 1,024 values into a page: write "
                "it with groups of fewer rows, as pyarrow.parquet.write_table(table, name, row_group_size=100) does"
            )
        bytes_a_row = group.total_byte_size // max(1, group.num_rows)
        if bytes_a_row > LONGEST_VALUE_CHARS:
            raise BertkitError(
                f"{path} has rows of {bytes_a_row:,} bytes, and {LONGEST_VALUE_CHARS:,} are the most that is held: "
                "cut them into several rows"
            )
        most = min(most, max(1, _ROWS_BYTES // max(1, bytes_a_row)))
    return most


def _page_bytes(chunk: Any, writer: str) -> int:
    """What the largest page of a column takes while it is read: packed, unpacked, and of a dictionary a copy.

    Arrow's writer looks at the size of a page every 1,024 values; others look at each.
    """
    if not writer.startswith("parquet-cpp"):
        return 0
    share = min(1.0, 1024 / max(1, chunk.num_values))
    unpacked = 2 if chunk.has_dictionary_page else 1
    return int(share * (chunk.total_compressed_size + unpacked * chunk.total_uncompressed_size))


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
