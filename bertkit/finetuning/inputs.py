"""Reads rows to predict: from tables, from plain files with a text per line, from standard input, or single texts."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.chosen_columns import columns_for
from bertkit.finetuning.features import Columns, Row
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.rows.columns import LOOKED_AT, is_header
from bertkit.finetuning.rows.kinds import refuse_missing_texts
from bertkit.io.compression import open_binary
from bertkit.io.tables import TABLE_SUFFIXES, form, read_rows
from bertkit.io.text import read_lines
from bertkit.settings.schema import TaskSettings

LONGEST_LINE_CHARS = 10_000_000
"""The longest text in a plain file; of a longer line, as in a file without line ends, the rest is dropped and counted."""


def read_texts(source: str, wanted: tuple[str, ...], pairs: bool = False) -> Iterator[tuple[str, ...]]:
    """The texts of the rows of a table, of the lines of a plain file, or of those of standard input ("-"), as a stream.

    ``pairs`` is whether a tab in a line stands between the texts of a pair, rather than between columns that are not read.

    Raises:
        BertkitError: the columns do not exist, or the file cannot be read.
    """
    if source == "-" or form(Path(source)) == "txt":
        for line in _lines(source, pairs):
            yield (line,)
    else:
        yield from read_inputs(source, TaskSettings(text=wanted), SequenceHead())


def has_columns(source: str, head: Head) -> bool:
    """Whether a source of texts is a file with columns, rather than lines, standard input ("-") or a text.

    Raises:
        BertkitError: it is a file of a form that is not read.
    """
    # Path.is_file would raise for a text that is too long for a file name.
    if source == "-" or not os.path.isfile(source):
        return False
    return type(head).rows_of(Path(source)) is not None or form(Path(source)) != "txt"


def read_inputs(source: str, task: TaskSettings, head: Head, trained_on: Columns | None = None) -> Iterator[Any]:
    """What a head reads of the rows of a table, of the lines of a plain file, or of standard input ("-"), as a stream.

    ``trained_on`` are the columns that the model was trained on.

    Raises:
        BertkitError: the columns do not exist, or the file cannot be read.
    """
    path, kind = Path(source), type(head)
    own = None if source == "-" else kind.rows_of(path)
    if source == "-" or (own is None and form(path) == "txt"):
        for number, line in enumerate(_lines(source), 1):
            yield text_input(line, head, f"{source}:{number}")
        return
    yield from row_inputs(own or read_rows(path), source, task, head, trained_on)


def row_inputs(
    rows: Iterator[Row], source: str, task: TaskSettings, head: Head, trained_on: Columns | None = None
) -> Iterator[Any]:
    """What a head reads of rows, as a stream; messages call the rows ``source``. A note says which columns were guessed.

    ``trained_on`` are the columns that the model was trained on.

    Raises:
        BertkitError: the columns do not exist, or a row's text is null or NaN.
    """
    kind = type(head)
    first = list(islice(rows, LOOKED_AT))
    if not first:
        return
    columns, notes = columns_for(kind, task, first, source, labelled=False, trained_on=trained_on, command="predict")
    for told in notes:
        console.note_once(told)
    head.check_texts(columns, source, "predict")
    for row in chain(first, rows):
        refuse_missing_texts([row], columns.get("text", ()))
        yield head.input(row, columns)


def text_input(text: str, head: Head, place: str) -> Any:
    """What a head reads of a text without other columns.

    Raises:
        BertkitError: the head needs more, such as a question.
    """
    if head.needs:
        raise BertkitError(
            f"{place} is a text alone, and the model takes {head.needs}: give a table ({', '.join(TABLE_SUFFIXES)}) with them"
        )
    row = place, {"text": text}
    columns, _ = columns_for(type(head), TaskSettings(text=("text",)), [row], place, labelled=False)
    return head.input(row, columns)


def _lines(source: str, pairs: bool = False) -> Iterator[str]:
    """The lines, including blank ones, so that the n-th answer belongs to the n-th line; very long lines are cut."""
    stream = nullcontext(sys.stdin.buffer) if source == "-" else open_binary(Path(source))
    name, cut = "stdin" if source == "-" else source, 0
    with stream as lines:
        for number, parts in groupby(read_lines(lines, name), key=itemgetter(0)):
            kept, characters = [], 0
            for _, part in parts:
                kept += [part] if characters < LONGEST_LINE_CHARS else []
                characters += len(part)
            cut += characters > LONGEST_LINE_CHARS
            line = "".join(kept)[:LONGEST_LINE_CHARS]
            if number == 1 and (told := _of_a_table(line, pairs)):
                console.warn(console.plain(f"{name}:1 {told}"))
            yield line
    if cut:
        console.warn(f"lines of over {LONGEST_LINE_CHARS:,} characters, of which the beginning is read: {cut:,}")


def _of_a_table(line: str, pairs: bool) -> str:
    """What is said of a first line that seems to be one of a table, which is read by its columns only under its suffix."""
    read = "is read as a text, as are all lines: give the table as a file with the suffix"
    if _is_object(line):
        return f"is a JSON object, and {read} .jsonl"
    if is_header(line, SequenceHead.roles):
        return f"looks like the names of columns, and {read} .csv or .tsv"
    return f"has a tab, and {read} .tsv" if "\t" in line.strip() and not pairs else ""


def _is_object(line: str) -> bool:
    """Whether a line is a JSON object, as in JSON lines."""
    try:
        return line.lstrip().startswith("{") and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
