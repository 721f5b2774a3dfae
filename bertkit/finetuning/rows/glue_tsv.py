"""Reads GLUE's own TSVs, as gluebenchmark.com distributes them: without quoting, with columns by position."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.features import Row
from bertkit.io.compression import open_binary
from bertkit.io.text import read_lines
from bertkit.settings.schema import TaskSettings

_MOST_SHORT_ROWS = 0.001
"""The share of a TSV's rows that may lack fields."""


def read_split(task: TaskSettings, data: Path, split: str) -> Iterator[Row]:
    """The rows of a split, with the columns named as on the hub; those of a test split have no label.

    Raises:
        BertkitError: the split has no file, or more than a few of its rows lack fields.
    """
    tsv = task.tsv
    if tsv is None or split not in tsv.files:
        raise BertkitError(f"the split '{split}' has no file in GLUE's TSVs: leave --data out to read the hub")
    path = data / tsv.folder / tsv.files[split]
    path = path if path.is_file() else data / tsv.files[split]
    if not path.is_file():
        raise BertkitError(f"no file {data / tsv.folder / tsv.files[split]}: give GLUE's folder with --data")
    test = split.startswith("test")
    places = tsv.test_text if test else tsv.text
    read, short = 0, []
    with open_binary(path) as stream:
        for number, line in read_lines(stream, str(path)):
            if number == 1 and (tsv.test_header if test else tsv.header) or not line:
                continue
            fields = line.split("\t")
            try:
                row: dict[str, Any] = dict(zip(task.text, (fields[place] for place in places), strict=True))
                row[task.label[0]] = None if test else fields[tsv.label]
            except IndexError:
                short.append(number)
                continue
            read += 1
            yield f"{path}:{number}", row
    if len(short) > _MOST_SHORT_ROWS * read:
        raise BertkitError(
            f"{path}:{short[0]} has too few fields for {task.subset}, as {console.counted(len(short), 'row has', 'rows have')}"
        )
    if short:  # a few rows of QQP's own file are like this
        console.warn(
            f"{console.plain(str(path))}: rows with too few fields, left out: {len(short)}, the first in line {short[0]}"
        )
