"""Reads CoNLL's columns: a word and its tag on each line, and a blank line after each row."""

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.console import counted
from bertkit.errors import BertkitError
from bertkit.finetuning.features import Columns, Row
from bertkit.finetuning.rows.tagged_rows import TaggedRow, of_tokens
from bertkit.io.compression import open_binary, plain_name
from bertkit.io.text import read_lines

COLUMN_SUFFIXES = (".conll", ".bio", ".iob", ".iob2")
"""Suffixes of files with a word and its tag on each line; .txt and .tsv files count too if their lines look like that."""
_DOCUMENT = "-DOCSTART-"
_TAG = re.compile(r"O|[BIESLU]-\S+")
_LOOKED_AT = 200
_WORD_COLUMNS = ("word", "token")


def column_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]] | None:
    """The rows of a file with words and tags, as {"tokens", "tags"}; None for other files."""
    plain = plain_name(path).name.lower()
    is_columns = plain.endswith(COLUMN_SUFFIXES) or (plain.endswith((".txt", ".tsv")) and looks_like_columns(path))
    if not is_columns:
        return None
    rows = read_columns(path)
    return ((row.place, {"tokens": row.tokens, "tags": row.tags}) for row in rows)


def looks_like_columns(path: Path) -> bool:
    """Whether the first lines of a text file have a word and a tag each, maybe with comments (``# …``) between them."""
    seen = 0
    with open_binary(path) as stream:
        for _, line in read_lines(stream, str(path)):
            parts = _parts(line)
            if len(parts) > 1 and not parts[0].startswith(_DOCUMENT):
                is_tagged = bool(_TAG.fullmatch(parts[-1]))
                if not is_tagged and not line.startswith("#"):
                    return False
                seen += is_tagged
            elif len(parts) == 1:
                return False
            if seen == _LOOKED_AT:
                break
    return seen > 0


def read_columns(path: Path) -> Iterator[TaggedRow]:
    """The rows of a CoNLL file: each line has a word first and its tag last, and a blank line follows each row.

    Columns are separated by tabs if the line has any, else by blanks. ``-DOCSTART-`` lines separate rows as blank lines do.
    Lines that begin with ``#`` are comments, and counted, if they do not have the columns of words, or if they have no tag
    of an entity where words have one.

    Raises:
        BertkitError: a line has a single column, another number of columns than the others, or no tag, or the first column
            numbers the words; the message names the line.
    """
    tokens: list[str] = []
    tags: list[str] = []
    first_line, comments, first = 1, 0, _first_word(path)
    with open_binary(path) as stream:
        for number, line in chain(read_lines(stream, str(path)), [(0, "")]):  # the last row ends as the others do
            parts = _parts(line)
            if line.strip() and not parts[0].startswith(_DOCUMENT):
                if line.startswith("#") and _is_unlike(parts, first):
                    comments += 1
                    continue
                if len(parts) != len(first) or len(first) == 1:
                    has = counted(len(parts), "column", "columns")
                    others = "" if len(first) == 1 else f", and the first word's {len(first)}"
                    raise BertkitError(f"{path}:{number} has {has}{others}: each line is a word and, last, its tag")
                if not parts[-1].strip():
                    raise BertkitError(
                        f"{path}:{number}: the word '{parts[0]}' has no tag: write O where there is none"
                    )
                first_line = first_line if tokens else number
                tokens.append(parts[0].strip())
                tags.append(parts[-1])
            elif tokens:
                _refuse_numbers(f"{path}:{first_line}", tokens, len(first))
                yield of_tokens(f"{path}:{first_line}", tokens, tags)
                tokens, tags = [], []
    if comments:
        console.note_once(f"{path}: lines that begin with # and are read as comments: {comments:,}")


def of_single_words(row: dict[str, Any]) -> str:
    """What is said of a table whose rows seem to be single words with their tags, as in spreadsheets; empty for others."""
    word = next((name for name in row if name.strip().lower() in _WORD_COLUMNS), None)
    tag = next((name for name, cell in row.items() if isinstance(cell, str) and _TAG.fullmatch(cell.strip())), None)
    if word is None or tag is None or word == tag or len(str(row[word]).split()) != 1:
        return ""
    return (
        f"; if each row has one word, '{word}', with its tag, '{tag}': tagging reads sentences, so write a word and its tag a "
        "line, and a blank line after each sentence, as .conll; or lists of tokens and tags, as .jsonl"
    )


def refuse_single_words(row: Row, columns: Columns, source: str) -> None:
    """Refuses a table whose rows seem to be single words with their tags, if another column was taken for the text.

    Raises:
        BertkitError: the message says how sentences are written.
    """
    told = of_single_words(row[1])
    are_tags = any(_TAG.fullmatch(str(row[1].get(name)).strip()) for name in columns.get("label", ()))
    if told and are_tags and not any(name.strip().lower() in _WORD_COLUMNS for name in columns.get("text", ())):
        raise BertkitError(
            f"{source}: which column has the texts?{told}; or, if it is another table, name its columns with --text and "
            "--label"
        )


def _refuse_numbers(place: str, tokens: Sequence[str], columns: int) -> None:
    """Refuses a row whose first column numbers its words, as in GermEval 2014 and CoNLL-U."""
    if columns > 2 and len(tokens) > 1 and tokens == [str(number + 1) for number in range(len(tokens))]:
        raise BertkitError(
            f"{place}: the first column numbers the words: leave it out (cut -f2-), as each line is a word and, last, its tag"
        )


def _parts(line: str) -> list[str]:
    """The columns of a line. A word may be empty or a blank if a tab separates it from its tag: in real files emoji were
    lost."""
    return line.rstrip("\r\n").split("\t") if line.rstrip().count("\t") else line.split()


def _first_word(path: Path) -> list[str]:
    """The columns of the first word of a file; empty if there are only comments, or nothing."""
    with open_binary(path) as stream:
        for _, line in read_lines(stream, str(path)):
            parts = _parts(line)
            if parts and parts[-1].strip() and not parts[0].startswith(_DOCUMENT) and not line.startswith("#"):
                return parts
    return []


def _is_unlike(parts: list[str], word: list[str]) -> bool:
    """Whether the columns of a line differ from those of a word, so that it may be a comment."""
    return len(parts) != len(word) or bool(_TAG.fullmatch(word[-1]) and not _TAG.fullmatch(parts[-1]))
