"""Answers as files, one row each: JSON lines, comma- or tab-separated, or parquet, by the file's suffix."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from bertkit.errors import BertkitError
from bertkit.io.outputs import check_output, new_output

Row = dict[str, Any]
SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
_JSON_LINES = (".jsonl", ".ndjson", ".json", ".txt", "")
_ROWS_AT_ONCE = 4_096
_ESCAPED = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_BEGINS: dict[str, str] = {"jsonl": r'\{"index": \d', "csv": "index,", "tsv": r"\d+\t[^\t]*(\t|$)"}


def check_place(path: Path, overwrite: bool) -> None:
    """Looks before the work whether ``write_rows`` may write there.

    Raises:
        BertkitError: another suffix, or see ``check_output``.
    """
    form = _form(path)

    def is_ours(sample: bytes) -> bool:
        if form == "parquet":  # the names of the columns stand at the end
            return sample.startswith(b"PAR1") and b"index" in sample and b"bertkit" in sample
        return re.match(_BEGINS[form].encode(), sample, re.MULTILINE) is not None

    check_output(path, is_ours, what="predictions", overwrite=overwrite, needs_file=form == "parquet")


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Writes rows as they come; the file is there whole or not at all.

    ``.jsonl`` (also ``.txt``, or no suffix) keeps the objects as they are. In the others a nested object becomes columns
    with a dot in their names (``probabilities.good``), and a list in a cell is JSON. ``.csv`` has a header, ``.tsv`` has
    none and escapes tabs, line ends and backslashes by a backslash.

    Raises:
        BertkitError: another suffix, or a file that cannot be written.
    """
    write = {"jsonl": _write_json_lines, "csv": _write_csv, "tsv": _write_tsv, "parquet": _write_parquet}[_form(path)]
    with new_output(path) as file:
        write(file, rows)


def _form(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in _JSON_LINES:
        return "jsonl"
    if suffix not in SUFFIXES:
        raise BertkitError(f"cannot write {path}: give --output a name that ends in {', '.join(SUFFIXES)}")
    return suffix[1:]


def _write_json_lines(file: BinaryIO, rows: Iterable[Row]) -> None:
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")


def _write_csv(file: BinaryIO, rows: Iterable[Row]) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
    writer = csv.writer(text, lineterminator="\n")
    for number, row in enumerate(map(_flat, rows)):
        if number == 0:
            writer.writerow(row)
        writer.writerow(map(_cell, row.values()))
    text.detach()


def _write_tsv(file: BinaryIO, rows: Iterable[Row]) -> None:
    for row in map(_flat, rows):
        cells = (re.sub(r"[\\\t\n\r]", lambda found: _ESCAPED[found[0]], _cell(value)) for value in row.values())
        file.write("\t".join(cells).encode("utf-8", "backslashreplace") + b"\n")


def _write_parquet(file: BinaryIO, rows: Iterable[Row]) -> None:
    import pyarrow
    import pyarrow.parquet

    flat: Iterator[Row] = map(_flat, rows)
    first = list(islice(flat, 1))
    flat = chain(first, flat)
    columns = {name: _column(value) for row in first for name, value in row.items()}
    fields = [pyarrow.field(name, kind) for name, (kind, _) in columns.items()]
    schema = pyarrow.schema(fields, metadata={"made_by": "bertkit"})
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        while some := list(islice(flat, _ROWS_AT_ONCE)):
            arrays = [pyarrow.array([of(row[name]) for row in some], kind) for name, (kind, of) in columns.items()]
            writer.write_batch(pyarrow.record_batch(arrays, schema=schema))


def _column(value: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The type of a column of parquet by its first value, and what makes its values."""
    import pyarrow

    if isinstance(value, int) and not isinstance(value, bool):
        return pyarrow.int64(), int
    if isinstance(value, float):
        return pyarrow.float64(), float
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return pyarrow.list_(pyarrow.string()), list
    return pyarrow.string(), _cell


def _flat(row: Row) -> Row:
    """Nested objects as columns: ``{"a": {"b": 1}}`` → ``{"a.b": 1}``."""
    return dict(_flattened(row))


def _flattened(row: Row, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _cell(value: Any) -> str:
    """As people read it; what is not there is empty."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
