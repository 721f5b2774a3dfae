"""Rows of .jsonl, .csv, .tsv and .parquet files, also compressed, as a stream."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertkit.errors import BertkitError
from bertkit.io.text import open_binary

COMPRESSED_SUFFIXES = (".gz", ".xz", ".zst")
TABLE_FORMS = ("jsonl", "csv", "tsv", "parquet")
_FORMS = {".txt": "txt", ".text": "txt", ".md": "txt", "": "txt"}
_FORMS |= {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}

Row = tuple[str, dict[str, Any]]
"""(FILE:LINE, column → value)."""


def form(path: Path) -> str:
    """What a file holds, by its name under any compression: "txt", "jsonl", "csv", "tsv" or "parquet".

    Raises:
        BertkitError: another suffix.
    """
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSED_SUFFIXES else path
    found = _FORMS.get(plain.suffix.lower())
    if found is None:
        allowed = ".txt, .jsonl, .csv, .tsv, .parquet, each but the last also .gz, .xz or .zst"
        raise BertkitError(f"{path}: cannot read '{plain.suffix}' files; give one of {allowed}")
    return found


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a table in order, with the place of each for messages.

    csv has RFC 4180's quoting, tsv none (as GLUE's files); both have their column names in the first line.

    Raises:
        BertkitError: naming file and line, where a row cannot be read.
    """
    kind = form(path)
    if kind == "parquet":
        yield from _parquet_rows(path)
        return
    with open_binary(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="" if kind == "csv" else None)
        try:
            yield from _json_rows(text, path) if kind == "jsonl" else _csv_rows(text, path, kind)
        except UnicodeDecodeError as error:
            raise BertkitError(
                f"{path} is not UTF-8 ({error.reason}): convert it (iconv -f latin1 -t utf-8)"
            ) from error


def columns(path: Path) -> list[str]:
    """The column names of a table; of .jsonl those of its first row."""
    if form(path) == "parquet":
        with _parquet(path) as file:
            return list(file.schema_arrow.names)
    if form(path) == "jsonl":
        return next((list(row) for _, row in read_rows(path)), [])
    with open_binary(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="", errors="replace")
        return next(_csv_reader(text, form(path)), [])


def _json_rows(text: io.TextIOWrapper, path: Path) -> Iterator[Row]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BertkitError(f"{place} is not JSON: {str(error)[:100]}") from error
        if not isinstance(row, dict):
            raise BertkitError(f'{place} is no JSON object: each line must be one, like {{"text": "…"}}')
        yield place, row


def _csv_reader(text: io.TextIOWrapper, kind: str) -> Iterator[list[str]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    if kind == "tsv":
        return csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
    return csv.reader(text)


def _csv_rows(text: io.TextIOWrapper, path: Path, kind: str) -> Iterator[Row]:
    reader: Any = _csv_reader(text, kind)
    try:
        names: list[str] = next(reader, [])
        for values in reader:
            if not values:
                continue
            place = f"{path}:{reader.line_num}"
            if len(values) != len(names):
                raise BertkitError(f"{place} has {len(values)} fields, the first line has {len(names)}")
            yield place, dict(zip(names, values, strict=True))
    except csv.Error as error:
        raise BertkitError(f"{path}:{reader.line_num} cannot be read: {error}") from error


def _parquet(path: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise BertkitError(f"{path} cannot be read as parquet: {str(error).splitlines()[0]}") from error


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow

    number = 0
    with _parquet(path) as file:
        try:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}:{number}", row
        except (pyarrow.ArrowException, OSError) as error:
            raise BertkitError(f"{path} is damaged after row {number}: {str(error).splitlines()[0]}") from error
