"""Rows of .jsonl, .json, .csv, .tsv and .parquet files, also compressed, as a stream."""

import io
from collections.abc import Iterator
from contextlib import contextmanager

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.compression import COMPRESSED_SUFFIXES, open_binary, plain_name
from bertkit.io.delimited import Delimited, Row, bounded, open_delimited
from bertkit.io.json_rows import json_rows
from bertkit.io.parquet import parquet_rows
from bertkit.io.remote import AnyFile
from bertkit.io.text import conversion

_FORMS = dict.fromkeys([".txt", ".text", ".md", ""], "txt") | dict.fromkeys([".jsonl", ".ndjson", ".json"], "jsonl")
_FORMS |= {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "parquet"}
TABLE_SUFFIXES = tuple(suffix for suffix, kind in _FORMS.items() if kind != "txt")
FILE_SUFFIXES = (*filter(None, _FORMS), *COMPRESSED_SUFFIXES)
"""By which a name is known for that of a file."""
_SHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
_DOCUMENTS = (".docx", ".doc", ".odt", ".rtf", ".pdf", ".epub", ".html", ".htm", ".xml", ".zip")
_PATH_BEGINS = ("./", "../", "~/")
_LONGEST_NAME_WORDS = 3


def form(path: AnyFile) -> str:
    """What a file holds, by its name under any compression: "txt", "jsonl", "csv", "tsv" or "parquet".

    Raises:
        BertkitError: another suffix.
    """
    suffix = plain_name(path).suffix
    found = _FORMS.get(suffix.lower())
    if found is None:
        allowed = f"{', '.join(filter(None, _FORMS))}, each also {', '.join(COMPRESSED_SUFFIXES)}"
        way = "save the sheet as .csv in UTF-8" if suffix.lower() in _SHEETS else f"give one of {allowed}"
        raise BertkitError(f"{path}: cannot read '{suffix}' files; {way}")
    return found


def names_a_file(text: str) -> bool:
    """Whether a text reads like the name of a file: one of a few words that ends as those of tables and sheets do, or one without
    blanks that ends as any files do, or is a path. URLs are none.

    Example:
        >>> names_a_file("my table.csv"), names_a_file("./reviews"), names_a_file("open index.html")
        (True, True, False)
    """
    end, words = text.lower(), len(text.split())
    if "://" in text or words > _LONGEST_NAME_WORDS:
        return False
    if end.endswith((*TABLE_SUFFIXES, *_SHEETS)):
        return True
    return words == 1 and (end.endswith((*FILE_SUFFIXES, *_DOCUMENTS)) or text.startswith(_PATH_BEGINS))


def read_rows(path: AnyFile, unusable: list[str] | None = None) -> Iterator[Row]:
    """The rows of a table in order, with the place of each (its first line; in parquet its row) for messages.

    csv has RFC 4180's quoting; csv and tsv have their column names in the first line, and their values are all text.
    Blank lines are no rows. JSON is one object a line, or one array of objects. Bytes of parquet are text in UTF-8, or an
    ``Unreadable``.
    How a csv or tsv is read is said where its suffix does not tell.

    Args:
        unusable: where given, it takes what is said of a row that cannot be read, which is left out.

    Raises:
        BertkitError: naming file and line, where a row cannot be read.
    """

    def refuse(message: str) -> None:
        if unusable is None:
            raise BertkitError(message)
        unusable.append(message)

    kind = form(path)
    if kind == "parquet":
        yield from parquet_rows(path)
        return
    with _open_text(path) as text:
        if kind == "jsonl":
            yield from json_rows(text, path, refuse)
            return
        table = _delimited(text, path, kind)
        for remark in table.remarks:
            console.note_once(f"{path} is read {remark}")
        yield from table.rows(refuse)


def _delimited(text: io.TextIOWrapper, path: AnyFile, kind: str) -> Delimited:
    return open_delimited(bounded(text, path), path, "\t" if kind == "tsv" else ",")


@contextmanager
def _open_text(path: AnyFile) -> Iterator[io.TextIOWrapper]:
    try:
        with open_binary(path) as stream:
            # Line ends within csv's quotes belong to the value.
            newline = None if form(path) == "jsonl" else ""
            yield io.TextIOWrapper(stream, encoding="utf-8-sig", newline=newline)
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error


def _not_utf8(path: AnyFile) -> BertkitError:
    """The error for a file that could not be decoded. Reads it again, for decoders do not say in which line."""
    with open_binary(path) as stream:
        beginning = b""
        for number, line in enumerate(stream, 1):
            beginning = beginning or line
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return BertkitError(f"{path}:{number} is not UTF-8: convert the file ({conversion(line, beginning)})")
    raise AssertionError(f"{path} has changed while it was read")
