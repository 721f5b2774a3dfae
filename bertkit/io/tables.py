"""Rows of .jsonl, .json, .csv, .tsv and .parquet files, also compressed, as a stream."""

import io
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.cells import decoded
from bertkit.io.compression import COMPRESSED_SUFFIXES, check_expansion, is_compressed, open_binary, plain_name
from bertkit.io.delimited import LONGEST_VALUE_CHARS, Delimited, Refuse, Row, bounded, open_delimited
from bertkit.io.remote import AnyFile, RemoteFile
from bertkit.io.text import LONE_SURROGATE, conversion

_FORMS = dict.fromkeys([".txt", ".text", ".md", ""], "txt") | dict.fromkeys([".jsonl", ".ndjson", ".json"], "jsonl")
_FORMS |= {".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".parquet": "parquet"}
TABLE_SUFFIXES = tuple(suffix for suffix, kind in _FORMS.items() if kind != "txt")
FILE_SUFFIXES = (*filter(None, _FORMS), *COMPRESSED_SUFFIXES)
"""By which a name is known for that of a file."""
_SHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
_DOCUMENTS = (".docx", ".doc", ".odt", ".rtf", ".pdf", ".epub", ".html", ".htm", ".xml", ".zip")
_PATH_BEGINS = ("./", "../", "~/")
_LONGEST_NAME_WORDS = 3
_PARQUET_BUFFER_BYTES = 2**20
_ROWS_BYTES = 2**24
"""Rows of a parquet file that are read together, unpacked: their texts are held several times over."""
_MOST_PAGE_BYTES = 850_000_000
_BLANKS = re.compile(r"[ \t\n\r]*")


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
        yield from _parquet_rows(path)
        return
    with _open_text(path) as text:
        if kind == "jsonl":
            yield from _json_rows(text, path, refuse)
            return
        table = _delimited(text, path, kind)
        for remark in table.remarks:
            console.note_once(f"{path} is read as {remark}")
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


def _json_rows(text: io.TextIOWrapper, path: AnyFile, refuse: Refuse) -> Iterator[Row]:
    begun, halves = False, Halves()
    for number, line in enumerate(bounded(text, path), 1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        if not begun and line.lstrip().startswith("["):
            for at, entry in _array_rows(line, text, path, number):
                yield at, halves.replaced(entry, at)
            break
        begun = True
        row = _object(line, place, refuse)
        if row is not None:
            yield place, halves.replaced(row, place) if "\\u" in line else row
    halves.say()


def _object(line: str, place: str, refuse: Refuse) -> dict[str, Any] | None:
    try:
        row = json.loads(line, object_pairs_hook=_without_twins)
    except (ValueError, RecursionError) as error:
        refuse(f"{place} is not JSON: {_reason(error)}; each line must be one object")
        return None
    if not isinstance(row, dict):
        refuse(f'{place} is no JSON object: each line must be one, like {{"text": "…"}}')
        return None
    if _is_by_columns(row):
        raise BertkitError(
            f"{place} is a table by columns, as pandas writes it: write its rows, with to_json(…, orient='records', lines=True)"
        )
    return row


def _is_by_columns(row: dict[str, Any]) -> bool:
    """Whether an object is a whole table, whose columns are objects by the numbers of the rows."""
    columns = list(row.values())
    if len(columns) < 2 or not all(isinstance(column, dict) and column for column in columns):
        return False
    return all(column.keys() == columns[0].keys() for column in columns) and all(map(str.isdecimal, columns[0]))


def _array_rows(first: str, text: io.TextIOWrapper, path: AnyFile, line: int) -> Iterator[Row]:
    """The objects of one array, of which ``first`` is the first line that is not blank."""
    content = first + text.read(LONGEST_VALUE_CHARS)
    if text.read(1):
        raise BertkitError(
            f"{path} is one array of over {LONGEST_VALUE_CHARS:,} characters: write one object a line, as .jsonl"
        )
    decoder = json.JSONDecoder(object_pairs_hook=_without_twins)
    place, separator = content.index("[") + 1, "["
    while separator != "]":
        begin = _behind_blanks(content, place)
        at = f"{path}:{line + content.count(chr(10), 0, begin)}"
        if separator == "[" and content.startswith("]", begin):
            place = begin + 1
            break
        try:
            row, end = decoder.raw_decode(content, begin)
        except (ValueError, RecursionError) as error:
            raise BertkitError(f"{at} is not JSON: {_reason(error)}; the array must hold objects") from error
        if not isinstance(row, dict):
            raise BertkitError(f'{at} is no JSON object: the array must hold objects, like {{"text": "…"}}')
        yield at, row
        place = _behind_blanks(content, end) + 1
        separator = content[place - 1 : place]
        if separator not in (",", "]"):
            raise BertkitError(f"{at} is not followed by ',' or ']': the array is cut or damaged")
    rest = _behind_blanks(content, place)
    if rest < len(content):
        raise BertkitError(
            f"{path}:{line + content.count(chr(10), 0, rest)} has something behind the array that begins in line {line}, where "
            "nothing may follow: put all objects into one array, or write one object a line"
        )


def _behind_blanks(content: str, place: int) -> int:
    blanks = _BLANKS.match(content, place)
    return blanks.end() if blanks else place


def _reason(error: Exception) -> str:
    return f"{error.msg}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else str(error)[:100]


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; JSON itself would keep the last of two values of one name."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(name for name in names if names.count(name) > 1)}' stands twice in one object")
    return found


class Halves:
    """Lone surrogates: JSON may escape half a character, which no tokenizer takes."""

    def __init__(self) -> None:
        self._count, self._first = 0, ""

    def replaced(self, value: Any, place: str) -> Any:
        """A value with U+FFFD in their place, in its texts and in those of what it holds."""
        if isinstance(value, dict):
            return {name: self.replaced(one, place) for name, one in value.items()}
        if isinstance(value, list):
            return [self.replaced(one, place) for one in value]
        if not isinstance(value, str) or value.isascii():
            return value
        whole, count = LONE_SURROGATE.subn("\ufffd", value)
        self._first = self._first or (place if count else "")
        self._count += count
        return whole

    def say(self) -> None:
        if self._count:
            console.note_once(
                f"half characters (lone surrogates) read as U+FFFD: {self._count:,}, first at {self._first}"
            )


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
            file = pyarrow.parquet.ParquetFile(file_or_path, buffer_size=_PARQUET_BUFFER_BYTES, pre_buffer=False)
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise BertkitError(f"{path} cannot be read as parquet: {_first_line(error)}") from error
        with file:
            yield file


def _parquet_rows(path: AnyFile) -> Iterator[Row]:
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
