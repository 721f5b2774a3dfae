"""The texts for `score` and `embed`, typed, from stdin or from files, and the progress of reading them."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any

import typer

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.tables import TABLE_SUFFIXES, form, names_a_file
from bertkit.io.text import is_blank

Files = Annotated[
    list[str] | None,
    typer.Option(
        "--file", metavar="FILE", help="Lines of text, or a table; also .gz, .xz, .zst, .bz2. As often as needed."
    ),
]


def refuse_missing_file(text: str, ways: str) -> None:
    """Refuses a typed text that is a folder, or named like a file that does not exist; ``ways`` says what to give.

    Raises:
        BertkitError: it is.
    """
    # os.path is also False for a text that is too long for the name of a file.
    if os.path.isdir(text):
        raise BertkitError(f"{text} is a folder: {ways}")
    if names_a_file(text) and not os.path.isfile(text):
        raise BertkitError(f"no file {text}: {ways}")


def check_are_texts(texts: Sequence[str], ways: str) -> None:
    """Refuses typed texts that are files or folders, or named like files; ``ways`` says what to give. ``-`` is none of them.

    Raises:
        BertkitError: one of them is.
    """
    for text in texts:
        if text != "-":
            if os.path.isfile(text):
                raise BertkitError(f"{text} is a file, and is not read as a text: {ways}")
            refuse_missing_file(text, ways)


def warn_of_files(texts: Sequence[str]) -> None:
    """Warns of typed texts that are files or named like some, for a command that reads typed texts alone."""
    for text in texts:
        if os.path.isfile(text) or names_a_file(text):
            console.warn(console.plain(f"'{text}' is read as a text itself, and not as the name of a file"))


def given_rows(
    texts: Sequence[str] | None, files: Sequence[str] | None, columns: Sequence[str], pairs: bool = False
) -> Iterator[tuple[str, ...]]:
    """The texts of the command line, with the lines of stdin in the place of ``-``, and then those of files, in order.

    Args:
        texts: as they are typed.
        files: those of --file; ``()`` for a command that has no such option.
        columns: the columns of tables.
        pairs: whether a tab in a line stands between the texts of a pair.

    Raises:
        BertkitError: a file does not exist, or is given as a text; neither texts nor files are given; or a column is named
            where none is read.
    """
    if not texts and not files:
        raise BertkitError("no text: give sentences, - for lines of stdin, or --file FILE")
    if files != ():
        check_are_texts(texts or (), "give files with --file, and any texts as lines of stdin (-)")
    for file in files or ():
        if not Path(file).is_file():
            raise BertkitError(f"no file {file}: give lines of text, or a table")
    if columns and all(form(Path(file)) == "txt" for file in files or ()):
        tables = ", ".join(TABLE_SUFFIXES)
        raise BertkitError(f"--text does not go with texts and plain lines: it is for tables ({tables}) with --file")
    return _rows(texts or (), files or (), tuple(columns), pairs)


def _rows(
    texts: Sequence[str], files: Sequence[str], columns: tuple[str, ...], pairs: bool
) -> Iterator[tuple[str, ...]]:
    from bertkit.runtime.text import sound

    for text in texts:
        yield from _read("-", (), pairs) if text == "-" else [(sound(text),)]
    for file in files:
        yield from _read(file, columns, pairs)


def _read(source: str, columns: tuple[str, ...], pairs: bool) -> Iterator[tuple[str, ...]]:
    from bertkit.finetuning.inputs import (
        read_texts,
    )  # its import takes a tenth of a second, which typed texts do not need

    return read_texts(source, columns, pairs)


def not_blank(rows: Iterator[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """The rows but for texts of blanks and invisible marks alone, which are counted in a note at the end; pairs are all kept."""
    blank = 0
    for row in rows:
        if len(row) > 1 or not is_blank(row[0]):
            yield row
        else:
            blank += 1
    if blank:
        console.note(f"blank texts that are left out, with no answer of their own: {blank:,}")


def single(row: tuple[str, ...]) -> str:
    """The single text of a row."""
    if len(row) > 1:
        raise BertkitError("a table with the columns of pairs: name the one column to read with --text")
    return row[0]


def peeked(items: Iterator[Any]) -> tuple[Iterator[Any], int | None]:
    """The same items, and their number if they are few enough to be read without torch, else None."""
    from bertkit.runtime.load import FEW_TEXTS

    first = list(islice(items, FEW_TEXTS + 1))
    if not first:
        raise BertkitError("no text: nothing but blank lines, or nothing at all")
    return chain(first, items), len(first) if len(first) <= FEW_TEXTS else None


def watched(chunks: Iterator[list[Any]], label: str, always: bool) -> Iterator[list[Any]]:
    """The same chunks of texts, with a progress line, unless it would stand between results on the same terminal."""
    done = 0
    shown = always or not sys.stdout.isatty()
    with console.progress(label, None, "text") if shown else nullcontext() as line:
        for chunk in chunks:
            yield chunk
            done += len(chunk)
            if line:
                line.update(done)
