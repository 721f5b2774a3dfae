"""From what a person names (files, folders, globs, stdin, a hub dataset) to paragraphs and documents."""

import atexit
import glob
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertkit.errors import BertkitError
from bertkit.io.hub import ensure_hub, hub_errors
from bertkit.io.tables import columns, form, read_rows
from bertkit.io.text import ReadReport, open_binary, read_lines

_HUB_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(:(?P<config>[\w.-]+))?")
_SAVED_DATASET = ("dataset_info.json", "dataset_dict.json", "state.json")
_HASH_BLOCK = 2**20


@dataclass(frozen=True)
class Source:
    """One input that can be read as often as needed."""

    name: str
    """As a person calls it."""
    path: Path | None = None
    """A file, or a folder of ``datasets.save_to_disk``."""
    hub: tuple[str, str | None] | None = None
    """A hub dataset and its config."""

    @property
    def is_saved_dataset(self) -> bool:
        return self.path is not None and self.path.is_dir()


def find_sources(inputs: Sequence[str]) -> list[Source]:
    """What the inputs name, in order, each file once. Looks at names only, not into files.

    Raises:
        BertkitError: nothing is there, or a file is of no known form.
    """
    found: dict[str, Source] = {}
    for one in inputs:
        for source in _sources(one):
            key = str(source.path.resolve()) if source.path else source.name
            found.setdefault(key, source)
    return list(found.values())


def _sources(one: str) -> list[Source]:
    if one == "-":
        return [Source("stdin", _spooled_stdin())]
    path = Path(one).expanduser()
    if path.is_file():
        form(path)
        return [Source(one, path)]
    if path.is_dir():
        return _in_folder(path)
    if any(character in one for character in "*?["):
        matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
        files = [Source(str(match), match) for match in matches if match.is_file() and _is_readable_form(match)]
        if not files:
            raise BertkitError(f"no files of text match {one}")
        return files
    match = _HUB_NAME.fullmatch(one)
    if match and not path.suffix:
        return [Source(one, hub=(match["name"], match["config"]))]
    raise BertkitError(
        f"no corpus at {one}: give a text file (a blank line between documents), a folder, a glob, - for stdin, "
        "or a hub dataset org/name"
    )


def _in_folder(folder: Path) -> list[Source]:
    if any((folder / name).is_file() for name in _SAVED_DATASET):
        return [Source(str(folder), folder)]
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and _is_readable_form(path)
    ]
    if not files:
        raise BertkitError(f"no text in the folder {folder}: it holds no .txt, .jsonl, .csv, .tsv or .parquet files")
    return [Source(str(path), path) for path in files]


def _is_readable_form(path: Path) -> bool:
    try:
        return bool(path.suffix) and form(path) != ""
    except BertkitError:
        return False


def _spooled_stdin() -> Path:
    """Standard input in a temporary file, as it is read more than once."""
    folder = Path(tempfile.mkdtemp(prefix="bertkit-stdin-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "stdin.txt"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def fingerprint(sources: Sequence[Source], column: str) -> str:
    """Hash (32 hex digits) of the contents in order; of a hub dataset, of its revision.

    Raises:
        BertkitError: a file cannot be read; the hub cannot be asked.
    """
    total = hashlib.blake2b(digest_size=16)
    for source in sources:
        if source.hub is not None:
            total.update(repr((source.hub, _hub_revision(source), column)).encode())
            continue
        assert source.path is not None
        files = sorted(source.path.rglob("*")) if source.is_saved_dataset else [source.path]
        kind = "dataset" if source.is_saved_dataset else form(source.path)
        total.update(repr((kind, "" if kind == "txt" else column, source.path.suffix)).encode())
        for path in files:
            if path.is_file():
                total.update(_file_hash(path))
    return total.hexdigest()


def _file_hash(path: Path) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while block := file.read(_HASH_BLOCK):
                digest.update(block)
    except OSError as error:
        raise BertkitError(f"cannot read {path}: {error.strerror}") from error
    return digest.digest()


def _hub_revision(source: Source) -> str:
    ensure_hub()
    if os.environ.get("HF_HUB_OFFLINE", "") == "1":
        return "cached"
    from huggingface_hub import HfApi

    assert source.hub is not None
    with _hub(source):
        return str(HfApi().dataset_info(source.hub[0]).sha)


def _hub(source: Source) -> Any:
    return hub_errors(what=f"dataset '{source.name}'", ways_on="give a file or a folder of text")


def read_paragraphs(source: Source, column: str, report: ReadReport) -> Iterator[str | None]:
    """The text of a source, paragraph by paragraph; None ends a document.

    Plain text: a line is a paragraph, a blank line ends a document, and so does the end of the file. Tables and
    datasets: a row is a document, its lines are its paragraphs.

    Raises:
        BertkitError: unreadable text (see ``io.text``), a missing column, a value that is not text.
    """
    report.files += 1
    if source.hub is not None or source.is_saved_dataset:
        yield from _documents(_dataset_rows(source, column), column)
        return
    assert source.path is not None
    if form(source.path) == "txt":
        yield from _plain_text(source, report)
        return
    names = columns(source.path)
    if names and column not in names:
        raise BertkitError(f"{source.name} has no column '{column}': use --column with one of {', '.join(names)}")
    yield from _documents(read_rows(source.path), column)


def _plain_text(source: Source, report: ReadReport) -> Iterator[str | None]:
    assert source.path is not None
    in_document = any_text = False
    with open_binary(source.path) as stream:
        for _, line in read_lines(stream, source.name, report):
            text = line.strip()
            if text:
                yield text
                in_document = any_text = True
            elif in_document:
                yield None
                in_document = False
    if in_document:
        yield None
    if not any_text:
        report.empty_files.append(source.name)


def _documents(rows: Iterator[tuple[str, dict[str, Any]]], column: str) -> Iterator[str | None]:
    for place, row in rows:
        text = row.get(column)
        if text is None:
            continue
        if not isinstance(text, str):
            raise BertkitError(f"{place}: '{column}' is not text but {type(text).__name__}")
        paragraphs = [line.strip() for line in text.split("\n")]
        if any(paragraphs):
            yield from filter(None, paragraphs)
            yield None


def _dataset_rows(source: Source, column: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of a hub dataset, streamed, or of one saved by ``datasets.save_to_disk``."""
    if source.hub is not None:
        ensure_hub()
    import datasets

    with _hub(source):
        if source.hub is not None:
            loaded = datasets.load_dataset(source.hub[0], source.hub[1], split="train", streaming=True)
        else:
            loaded = datasets.load_from_disk(str(source.path))
            loaded = loaded["train"] if isinstance(loaded, dict) else loaded
        names = loaded.column_names
        if names and column not in names:
            raise BertkitError(f"{source.name} has no column '{column}': use --column with one of {', '.join(names)}")
        for number, row in enumerate(loaded, 1):
            yield f"{source.name}, row {number}", row
