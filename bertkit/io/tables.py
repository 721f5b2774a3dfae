"""Rows of .jsonl, .csv, .tsv and .parquet files, also compressed, as a stream."""

import codecs
import csv
import io
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bertkit.errors import BertkitError
from bertkit.io.text import open_binary

TEXT_SUFFIXES = (".txt", ".text", ".md")
TABLE_SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
COMPRESSED_SUFFIXES = (".gz", ".xz", ".zst")
_FORMS = dict.fromkeys([*TEXT_SUFFIXES, ""], "txt")
_FORMS |= {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")

Row = tuple[str, dict[str, Any]]
"""(FILE:LINE, column → value)."""


def form(path: Path) -> str:
    """What a file holds, by its name under any compression: "txt", "jsonl", "csv", "tsv" or "parquet".

    Raises:
        BertkitError: another suffix.
    """
    is_compressed = path.suffix.lower() in COMPRESSED_SUFFIXES
    plain = path.with_suffix("") if is_compressed else path
    found = _FORMS.get(plain.suffix.lower())
    if found is None:
        allowed = ".txt, .jsonl, .csv, .tsv, .parquet, each also .gz, .xz or .zst"
        raise BertkitError(f"{path}: cannot read '{plain.suffix}' files; give one of {allowed}")
    return found


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a table in order, with the place of each (its first line; in parquet its row) for messages.

    csv has RFC 4180's quoting, tsv none (as GLUE's files); both have their column names in the first line, and
    their values are all text. Blank lines are no rows.

    Raises:
        BertkitError: naming file and line, where a row cannot be read.
    """
    kind = form(path)
    if kind == "parquet":
        yield from _parquet_rows(path)
        return
    with _open_text(path) as text:
        yield from _json_rows(text, path) if kind == "jsonl" else _csv_rows(text, path, kind)


def columns(path: Path) -> list[str]:
    """The column names of a table; of .jsonl those of its first row."""
    if form(path) == "parquet":
        with _parquet(path) as file:
            return list(file.schema_arrow.names)
    if form(path) == "jsonl":
        return next((list(row) for _, row in read_rows(path)), [])
    with _open_text(path) as text:
        return next(_csv_reader(text, form(path)), [])


@contextmanager
def _open_text(path: Path) -> Iterator[io.TextIOWrapper]:
    try:
        with open_binary(path) as stream:
            # Line ends within csv's quotes belong to the value.
            yield io.TextIOWrapper(stream, encoding="utf-8-sig", newline="" if form(path) == "csv" else None)
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error


def _not_utf8(path: Path) -> BertkitError:
    """The error for a file that could not be decoded. Reads it again, for decoders do not say in which line."""
    with open_binary(path) as stream:
        for number, line in enumerate(stream, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                encoding = "utf-16" if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "latin1"
                return BertkitError(f"{path}:{number} is not UTF-8: convert the file (iconv -f {encoding} -t utf-8)")
    raise AssertionError(f"{path} has changed while it was read")


def _json_rows(text: io.TextIOWrapper, path: Path) -> Iterator[Row]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            reason = (
                f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)[:100]
            )
            raise BertkitError(f"{place} is not JSON: {reason}; each line must be one object") from error
        if not isinstance(row, dict):
            raise BertkitError(f'{place} is no JSON object: each line must be one, like {{"text": "…"}}')
        # JSON may escape half a character, which no tokenizer takes.
        yield place, {name: _whole(value) for name, value in row.items()} if "\\u" in line else row


def _whole(value: Any) -> Any:
    return _LONE_SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value


def _csv_reader(text: io.TextIOWrapper, kind: str) -> Any:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    if kind == "tsv":
        return csv.reader(text, delimiter="\t", quoting=csv.QUOTE_NONE)
    # Strict, as a quote that is never closed would swallow the rest of the file in silence.
    return csv.reader(text, strict=True)


def _csv_rows(text: io.TextIOWrapper, path: Path, kind: str) -> Iterator[Row]:
    reader = _csv_reader(text, kind)
    first_line = 1
    try:
        names: list[str] = next(reader, [])
        first_line = reader.line_num + 1
        for values in reader:
            place = f"{path}:{first_line}"
            first_line = reader.line_num + 1
            if not values:
                continue
            if len(values) != len(names):
                raise BertkitError(f"{place} has {len(values)} fields, the first line has {len(names)}")
            yield place, dict(zip(names, values, strict=True))
    except csv.Error as error:
        raise BertkitError(f"{path}:{first_line} has quotes that do not match ({error})") from error


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """A parquet file, open; one that is compressed as a whole is unpacked into a temporary file first."""
    import pyarrow
    import pyarrow.parquet

    with tempfile.TemporaryFile() as unpacked:
        if path.suffix.lower() in COMPRESSED_SUFFIXES:
            with open_binary(path) as packed:
                shutil.copyfileobj(packed, unpacked)
        try:
            file = pyarrow.parquet.ParquetFile(unpacked if unpacked.tell() else path)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise BertkitError(f"{path} cannot be read as parquet: {_first_line(error)}") from error
        with file:
            yield file


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow

    number = 0
    with _parquet(path) as file:
        try:
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}:{number}", row
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise BertkitError(f"{path} is damaged after row {number}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
