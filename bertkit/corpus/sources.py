"""From what a person names (files, folders, globs, URLs, stdin, a hub dataset) to paragraphs and documents."""

import functools
import glob
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from bertkit.console import counted, one_line
from bertkit.corpus.cache import new_spool
from bertkit.corpus.checksums import damaged
from bertkit.corpus.folders import Found, is_readable_form, listed_kinds, suffix
from bertkit.corpus.store import IDS_FILE, INFO_FILE, is_store
from bertkit.errors import BertkitError
from bertkit.io.atomic import disk_errors
from bertkit.io.cells import text_of
from bertkit.io.compression import open_binary
from bertkit.io.connection import ensure_hub, is_offline
from bertkit.io.delimited import LONGEST_VALUE_CHARS
from bertkit.io.hub import dataset_part, hub_errors
from bertkit.io.remote import AnyFile, files_at, is_url
from bertkit.io.structured import read_json
from bertkit.io.tables import FILE_SUFFIXES, form, read_rows
from bertkit.io.text import ReadReport, lines_of, read_lines
from bertkit.launcher import process_count

_HUB_NAME = re.compile(r"(?P<name>(?![.-])[\w.-]+/(?![.-])[\w.-]+)(:(?P<config>[^/]+))?", re.ASCII)
_SPLITS_FILE = "dataset_dict.json"
UNKNOWN_REVISION = "cached"
_INVISIBLE = " \u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
"""A line of these alone is blank, to people and to BERT's cleaning."""


@dataclass(frozen=True)
class Source:
    """One input that can be read as often as needed."""

    name: str
    """As a person calls it."""
    path: AnyFile | None = None
    """A file, here or at a URL, or a folder of ``datasets.save_to_disk``."""
    hub: tuple[str, str | None] | None = None
    """A hub dataset and its config."""

    @property
    def key(self) -> str:
        """What two names of the same input have in common."""
        return str(self.path.resolve() if isinstance(self.path, Path) else self.path or self.name)

    @property
    def is_saved_dataset(self) -> bool:
        return self.path is not None and self.path.is_dir()

    @property
    def is_plain_text(self) -> bool:
        return self.path is not None and not self.is_saved_dataset and form(self.path) == "txt"


def find_sources(inputs: Sequence[str], notes: list[str] | None = None) -> list[Source]:
    """What the inputs name, in order, each file once. Looks at names only, not into files.

    Args:
        notes: where given, it takes what is to be said of what is left out.

    Raises:
        BertkitError: nothing is there, or a file is of no known form.
    """
    found: dict[str, Source] = {}
    told: list[str] = []
    again = len(inputs) - len(set(inputs))
    for one in dict.fromkeys(inputs):  # stdin, too, is there only once
        for source in _sources(one, told):
            again += source.key in found
            found.setdefault(source.key, source)
    if again:
        told.append(f"named more than once and read once: {again:,} of the inputs")
    if notes is not None:
        notes += told
    return list(found.values())


def _sources(one: str, notes: list[str]) -> list[Source]:
    if one == "-":
        return [Source("stdin", _spooled_stdin())]
    if is_url(one):
        there, hidden = files_at(one)
        readable = _readable([Source(str(file), file) for file in there])
        read = {source.path for source in readable}  # a folder may hold a million
        left_out = [suffix(path) for path in there if path not in read] + hidden * ["hidden file"]
        _say_left_out(one, len(read), left_out, notes)
        return readable
    # os.path takes whatever a person types; pathlib raises at over-long names and unknown ~users.
    path = os.path.expanduser(one)
    if os.path.isfile(path):
        form(Path(path))
        return [Source(one, Path(path))]
    if os.path.isdir(path):
        return _in_folder(Path(path), notes)
    matches = [Path(match) for match in sorted(glob.glob(path, recursive=True))]
    if any(os.path.isfile(match) or os.path.isdir(match) for match in matches):
        return _matching(path, matches, notes)
    hub = _HUB_NAME.fullmatch(one)
    if hub and not hub["name"].lower().endswith(FILE_SUFFIXES):
        notes.append(f"{one}: the split train is read")
        return [Source(one, hub=(hub["name"], hub["config"]))]
    raise BertkitError(
        f"no corpus at {one}: give a text file (a blank line between documents), a folder, a glob, a URL, - for stdin, "
        "or a hub dataset org/name"
    )


def _readable(several: list[Source]) -> list[Source]:
    """Those of a form that can be read; of a single one, or where there is none, ``form`` says what it lacks."""
    files = [(one, one.path) for one in several if one.path is not None]
    return [one for one, path in files if is_readable_form(path)] or [one for one, path in files if form(path)]


def _in_folder(folder: Path, notes: list[str]) -> list[Source]:
    if is_store(folder):
        raise BertkitError(f"{folder} is a corpus that is prepared already: it cannot be read as text, nor beside text")
    if os.path.isfile(folder / IDS_FILE):
        raise damaged(folder / INFO_FILE, "it is missing")
    if _is_saved_dataset(folder):
        return [_saved_dataset(folder, notes)]
    found = Found(folder)
    found.enter(folder)
    if not found.texts:
        raise _no_text_in(f"the folder {folder}", list(found.left_out.values()))
    _say_left_out(str(folder), len(found.texts), list(found.left_out.values()), notes)
    return [Source(str(path), path) for path in sorted(found.texts)]


def _matching(pattern: str, matches: Sequence[Path], notes: list[str]) -> list[Source]:
    """What is read of what a glob matches: each file once, and of its folders what is read of those in a folder."""
    found = Found(Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)))
    datasets: list[Source] = []
    for match in matches:
        if any(one.path in match.parents for one in datasets):
            continue  # a split of it
        if _is_saved_dataset(match):
            datasets.append(_saved_dataset(match, notes))
        else:
            found.take(match)
    texts = [Source(str(path), path) for path in found.texts]
    read = datasets + texts or _readable([Source(str(match), match) for match in matches if match.is_file()])
    paths = {source.path for source in read}
    kinds = [kind for path, kind in found.left_out.items() if path not in paths]
    if not read:
        raise _no_text_in(f"the folders {pattern}", kinds)
    _say_left_out(pattern, len(read), kinds, notes)
    return sorted(read, key=lambda source: source.name)


def _no_text_in(where: str, left_out: Sequence[str]) -> BertkitError:
    but = f" (left out: {listed_kinds(left_out)})" if left_out else ""
    return BertkitError(f"no text in {where}: no .txt, .jsonl, .csv, .tsv or .parquet file is there{but}")


def _say_left_out(name: str, read: int, left_out: Sequence[str], notes: list[str]) -> None:
    if read and left_out:
        notes.append(
            f"{name}: {counted(read, 'file of text is', 'files of text are')} read, "
            f"{counted(len(left_out), 'other is', 'others are')} left out ({listed_kinds(left_out)})"
        )


def _saved_dataset(folder: Path, notes: list[str]) -> Source:
    if (splits := folder / _SPLITS_FILE).is_file():
        named = read_json(splits).get("splits") or ["train"]
        others = f" of {', '.join(map(str, named))}" if len(named) > 1 else ""
        notes.append(f"{folder}: the split train is read{others}")
    return Source(str(folder), folder)


def _is_saved_dataset(folder: Path) -> bool:
    """Whether it was written by ``save_to_disk``, told as ``datasets.load_from_disk`` tells it."""
    # os.path says no where the folder is closed; pathlib raises.
    one = all(os.path.isfile(folder / name) for name in ("dataset_info.json", "state.json"))
    return one or os.path.isfile(folder / _SPLITS_FILE)


@functools.cache
def _spooled_stdin() -> Path:
    """Standard input in a temporary file, as it is read more than once (but comes only once)."""
    if process_count() > 1:
        raise BertkitError("several ranks cannot share standard input: `bertkit prepare - --out FOLDER` first")
    path = new_spool() / "stdin.txt"
    with disk_errors(path), path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def hub_revision(source: Source) -> str:
    """The commit that a hub dataset is at; without a network, the one that was fetched last, or "cached" where it is not known.

    Raises:
        BertkitError: the hub cannot be asked.
    """
    ensure_hub()
    from huggingface_hub import HfApi, constants
    from huggingface_hub.file_download import repo_folder_name

    assert source.hub is not None
    name = source.hub[0]
    if is_offline():
        newest = Path(constants.HF_HUB_CACHE, repo_folder_name(repo_id=name, repo_type="dataset"), "refs", "main")
        return newest.read_text(encoding="ascii").strip() if newest.is_file() else UNKNOWN_REVISION
    with _hub(source):
        return str(HfApi().dataset_info(name).sha)


def _hub(source: Source) -> Any:
    return hub_errors(what=f"dataset '{source.name}'", ways_on="give a file or a folder of text")


def read_paragraphs(source: Source, column: str, report: ReadReport) -> Iterator[str | None]:
    """The text of a source, paragraph by paragraph; None ends a document.

    Plain text: a line is a paragraph, a blank line ends a document, and so does the end of the file. Tables and
    datasets: a row is a document, its lines are its paragraphs.

    Raises:
        BertkitError: unreadable text (see ``io.text``), a missing column, a value that is not text.
    """
    paragraphs = _paragraphs(source, column, report)
    first = next(paragraphs, None)
    if first is None:
        report.empty_files.append(source.name)
        return
    yield first
    yield from paragraphs


def _paragraphs(source: Source, column: str, report: ReadReport) -> Iterator[str | None]:
    if source.hub is not None:
        return _documents(_hub_rows(source, column), column, report)
    assert source.path is not None
    if source.is_saved_dataset:
        return _documents(_saved_rows(source, column), column, report)
    if form(source.path) == "txt":
        return _plain_text(source, report)
    return _documents(read_rows(source.path), column, report)


def _plain_text(source: Source, report: ReadReport) -> Iterator[str | None]:
    assert source.path is not None
    last = 0  # the number of the last line with text; after it, one number left out is a blank line
    with open_binary(source.path) as stream:
        for number, line in read_lines(stream, source.name, report):
            text = line.strip()
            if text and text.strip(_INVISIBLE):
                if last and number > last + 1:
                    yield None
                yield text
                last = number
    if last:
        yield None


def _documents(rows: Iterator[tuple[str, dict[str, Any]]], column: str, report: ReadReport) -> Iterator[str | None]:
    for place, row in rows:
        if column not in row:
            raise BertkitError(f"{place} has no column '{column}': use --column with one of {', '.join(row)}")
        if row[column] is None:
            report.empty_rows += 1
            continue
        text = text_of(place, row, column, "name another with --column")
        if len(text) > LONGEST_VALUE_CHARS:
            raise BertkitError(
                f"{place}: '{column}' has over {LONGEST_VALUE_CHARS:,} characters: cut it into several rows"
            )
        # A NUL in a cell is dropped, as BERT's cleaning does; a text file with one is binary, and refused.
        report.dropped_nuls += text.count("\0")
        paragraphs = [paragraph for line in lines_of(text.replace("\0", "")) if (paragraph := line.strip())]
        report.empty_rows += not paragraphs
        if paragraphs:
            yield from paragraphs
            yield None


def _hub_rows(source: Source, column: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a hub dataset, streamed."""
    ensure_hub()
    import datasets

    assert source.hub is not None
    with _hub(source):
        with dataset_part(*source.hub):
            loaded = datasets.load_dataset(source.hub[0], source.hub[1], split="train", streaming=True)
        yield from _rows_of(loaded, source, column)


def _saved_rows(source: Source, column: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of what ``datasets.save_to_disk`` has written; of several splits, of "train"."""
    import datasets

    try:
        loaded = datasets.load_from_disk(str(source.path))
    except (OSError, ValueError) as error:
        raise BertkitError(f"{source.name} cannot be read as a saved dataset: {one_line(error)}") from error
    if isinstance(loaded, dict):
        if "train" not in loaded:
            raise BertkitError(f"{source.name} has no split 'train': give one of its folders {', '.join(loaded)}")
        loaded = loaded["train"]
    yield from _rows_of(loaded, source, column)


def _rows_of(dataset: Any, source: Source, column: str) -> Iterator[tuple[str, dict[str, Any]]]:
    # Of a streamed dataset the columns may not be known beforehand. The others are not decoded: they may be images.
    if column in (dataset.column_names or ()):
        dataset = dataset.select_columns([column])
    for number, row in enumerate(dataset, 1):
        yield f"{source.name}, row {number}", row
