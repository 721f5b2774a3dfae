"""Writes predictions to files, a row each: as JSON lines, csv, tsv or parquet, by the file's suffix."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from bertkit.errors import BertkitError
from bertkit.io.outputs import PARQUET_MARK, check_output, is_our_parquet, new_output

Row = dict[str, Any]
SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")
_JSON_LINES = (".jsonl", ".ndjson", ".json", ".txt", "")
_ROWS_AT_ONCE = 4_096
_ESCAPED = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_BEGINS: dict[str, str] = {
    "jsonl": r'\{"index": \d+, ("id": ("(\\.|[^"\\])*"|[\w.+-]+), )?"(prediction|tags)": ',
    "csv": r"index,(id,)?(prediction|tags)[,\n]",
}
"""How the files begin, as patterns, where they show who wrote them: a .tsv file has no names of columns."""
_TEXTS, _NUMBERS = ("prediction", "tags"), ("start", "end")
"""Columns that have lists of texts, if they have lists, or whole numbers; their first values may all be empty."""


def check_place(path: Path, overwrite: bool) -> None:
    """Checks, before the work, that ``write_rows`` may write to a path.

    Raises:
        BertkitError: the suffix is unknown, or see ``check_output``.
    """
    form = _form(path)

    def is_ours(sample: bytes) -> bool:
        if form == "parquet":  # the names of the columns stand at the end of the file
            return is_our_parquet(sample, "index")
        return re.match(_BEGINS[form].encode(), sample) is not None

    known = None if form == "tsv" else is_ours
    check_output(path, known, what="predictions", overwrite=overwrite, needs_file=form == "parquet")


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Writes rows as they are computed; the file appears only once it is complete.

    ``.jsonl`` (also ``.txt``, or no suffix) stores the objects as they are. In the other formats the fields of a nested
    object become columns with a dot in their names (``probabilities.good``), and lists are JSON. ``.csv`` has a header.
    ``.tsv`` has none, and escapes tabs, line ends and backslashes by a backslash. Missing values are empty, in
    ``.parquet`` null.

    Raises:
        BertkitError: the suffix is unknown, or the file cannot be written.
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
    names, _, every = _in_columns(rows)
    if names:
        writer.writerow(names)
    writer.writerows(map(_cell, values) for values in every)
    text.detach()


def _write_tsv(file: BinaryIO, rows: Iterable[Row]) -> None:
    _, _, every = _in_columns(rows)
    for values in every:
        file.write("\t".join(escaped(_cell(value)) for value in values).encode("utf-8", "backslashreplace") + b"\n")


def escaped(text: str) -> str:
    """A text as one cell of a .tsv file: tabs, line ends and backslashes are escaped by a backslash."""
    return re.sub(r"[\\\t\n\r]", lambda match: _ESCAPED[match[0]], text)


def _write_parquet(file: BinaryIO, rows: Iterable[Row]) -> None:
    import pyarrow
    import pyarrow.parquet

    names, first, every = _in_columns(rows)
    kinds = [_kind(name, values) for name, values in zip(names, zip(*first, strict=True), strict=True)]
    schema = pyarrow.schema(list(zip(names, kinds, strict=True)), metadata=PARQUET_MARK)
    with pyarrow.parquet.ParquetWriter(file, schema) as writer:
        while some := list(islice(every, _ROWS_AT_ONCE)):
            columns = zip(zip(*some, strict=True), kinds, strict=True)
            arrays = [pyarrow.array([_typed(value, kind) for value in values], kind) for values, kind in columns]
            writer.write_batch(pyarrow.record_batch(arrays, schema=schema))


def _in_columns(rows: Iterable[Row]) -> tuple[list[str], list[list[Any]], Iterator[list[Any]]]:
    """Rows in columns, which are those of the first ``_ROWS_AT_ONCE`` rows.

    Returns:
        The names of the columns; the values of the first rows; and those of all rows, as a stream. A missing value is None.

    Raises:
        BertkitError: a later row has another column; raised while the stream is read.
    """
    flat = map(_flat, rows)
    first = list(islice(flat, _ROWS_AT_ONCE))
    names = list(dict.fromkeys(chain.from_iterable(first)))

    def later() -> Iterator[list[Any]]:
        for number, row in enumerate(flat, len(first)):
            if beyond := row.keys() - {*names}:
                raise BertkitError(
                    f"row {number} has '{min(beyond)}', which the first {len(first):,} rows have not: give --output a name "
                    "that ends in .jsonl"
                )
            yield list(map(row.get, names))

    held = [list(map(row.get, names)) for row in first]
    return names, held, chain(held, later())


def _kind(name: str, values: Sequence[Any]) -> Any:
    """The type of a parquet column by its first values, or by its name: a number, a list of texts, or else text."""
    import pyarrow

    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} or (not kinds and name in _NUMBERS):
        return pyarrow.int64()
    if kinds and kinds <= {int, float}:
        return pyarrow.float64()
    inner = {type(one) for value in values if isinstance(value, list) for one in value}
    of_texts = kinds == {list} and (inner == {str} or (not inner and name in _TEXTS))
    return pyarrow.list_(pyarrow.string()) if of_texts else pyarrow.string()


def _typed(value: Any, kind: Any) -> Any:
    """A value for a parquet column; None stays None."""
    import pyarrow

    return _cell(value) if value is not None and kind == pyarrow.string() else value


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
    """A value as text; None is empty."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
