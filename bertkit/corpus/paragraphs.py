"""From a source (a file, a dataset on the hub or on disk) to its paragraphs and documents."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unicodedata import normalize

from bertkit.console import one_line
from bertkit.corpus.sources import Source
from bertkit.errors import BertkitError
from bertkit.io.cells import text_of
from bertkit.io.compression import open_binary
from bertkit.io.connection import ensure_hub, is_offline
from bertkit.io.delimited import LONGEST_VALUE_CHARS
from bertkit.io.hub import dataset_part, hub_errors
from bertkit.io.tables import form, read_rows
from bertkit.io.text import ReadReport, is_blank, lines_of, read_lines

UNKNOWN_REVISION = "cached"


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
            if not is_blank(line):
                if last and number > last + 1:
                    yield None
                yield line.strip()
                last = number
    if last:
        yield None


def _documents(rows: Iterator[tuple[str, dict[str, Any]]], column: str, report: ReadReport) -> Iterator[str | None]:
    for place, row in rows:
        name = column if column in row else _written_otherwise(column, row)
        if name is None:
            raise BertkitError(
                f"{place} has no column '{column}': use --column with one of {', '.join(row)} (in evaluate --set "
                "data.column=NAME)"
            )
        if row[name] is None:
            report.empty_rows += 1
            continue
        text = text_of(place, row, name, "name another with --column")
        if len(text) > LONGEST_VALUE_CHARS:
            raise BertkitError(
                f"{place}: '{name}' has over {LONGEST_VALUE_CHARS:,} characters: cut it into several rows"
            )
        # A NUL in a cell is dropped, as BERT's cleaning does; a text file with one is binary, and refused.
        report.dropped_nuls += text.count("\0")
        paragraphs = [line.strip() for line in lines_of(text.replace("\0", "")) if not is_blank(line)]
        report.empty_rows += not paragraphs
        if paragraphs:
            yield from paragraphs
            yield None


def _written_otherwise(column: str, names: Iterable[str]) -> str | None:
    """The column of the same name in another normal form of Unicode, which looks the same; None if there is none."""
    return next((name for name in names if normalize("NFC", name) == normalize("NFC", column)), None)


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
