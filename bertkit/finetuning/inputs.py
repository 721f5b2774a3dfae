"""Rows to be predicted: of tables, of plain files with a text a line, of standard input, and texts alone."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain, groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.data import columns_for
from bertkit.finetuning.features import Row
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.rows.columns import LOOKED_AT
from bertkit.io.compression import open_binary
from bertkit.io.tables import TABLE_SUFFIXES, form, read_rows
from bertkit.io.text import read_lines
from bertkit.settings.schema import TaskSettings

LONGEST_LINE_CHARS = 10_000_000
"""A text in a plain file: of what is longer, such as a file without line ends, the rest is left out and counted."""


def read_texts(source: str, wanted: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The texts of a table's rows or of a plain file's lines, or of the lines of standard input ("-"), as a stream.

    Raises:
        BertkitError: no such columns, or an unreadable file.
    """
    if source == "-" or form(Path(source)) == "txt":
        for line in _lines(source):
            yield (line,)
    else:
        yield from read_inputs(source, TaskSettings(text=wanted), SequenceHead())


def read_inputs(source: str, task: TaskSettings, head: Head) -> Iterator[Any]:
    """What a head reads of a table's rows, of a plain file's lines, or of those of standard input ("-"), as a stream.

    Raises:
        BertkitError: no such columns, or an unreadable file.
    """
    path, kind = Path(source), type(head)
    own = None if source == "-" else kind.rows_of(path)
    if source == "-" or (own is None and form(path) == "txt"):
        for number, line in enumerate(_lines(source), 1):
            yield text_input(line, head, f"{source}:{number}")
        return
    yield from row_inputs(own or read_rows(path), source, task, head)


def row_inputs(rows: Iterator[Row], source: str, task: TaskSettings, head: Head) -> Iterator[Any]:
    """What a head reads of rows, which messages call by a name, as a stream.

    Raises:
        BertkitError: no such columns.
    """
    kind = type(head)
    first = list(islice(rows, LOOKED_AT))
    columns, _ = columns_for(kind, task, first, source, learned=False) if first else ({}, [])
    if columns:
        head.check_texts(columns, source)
    for row in chain(first, rows):
        yield head.input(row, columns)


def text_input(text: str, head: Head, place: str) -> Any:
    """What a head reads of a text alone.

    Raises:
        BertkitError: it needs more, such as a question.
    """
    if head.needs:
        raise BertkitError(
            f"{place} is a text alone, and the model takes {head.needs}: give a table ({', '.join(TABLE_SUFFIXES)}) with them"
        )
    row = place, {"text": text}
    columns, _ = columns_for(type(head), TaskSettings(text=("text",)), [row], place, learned=False)
    return head.input(row, columns)


def _lines(source: str) -> Iterator[str]:
    """Each line, blank ones too, so that the n-th answer is that of the n-th line; of endless ones the beginning."""
    stream = nullcontext(sys.stdin.buffer) if source == "-" else open_binary(Path(source))
    cut = 0
    with stream as lines:
        for _, parts in groupby(read_lines(lines, "stdin" if source == "-" else source), key=itemgetter(0)):
            kept, characters = [], 0
            for _, part in parts:
                kept += [part] if characters < LONGEST_LINE_CHARS else []
                characters += len(part)
            cut += characters > LONGEST_LINE_CHARS
            yield "".join(kept)[:LONGEST_LINE_CHARS]
    if cut:
        console.warn(f"lines of over {LONGEST_LINE_CHARS:,} characters, of which the beginning is read: {cut:,}")
