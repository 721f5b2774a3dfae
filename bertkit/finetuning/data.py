"""Labelled text: a task's splits from the hub or from GLUE's own TSVs, or rows of one's own."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import numpy as np

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.heads.base import Columns, Head, Row, Split
from bertkit.finetuning.heads.registry import head_for, rows_of
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.io.hub import ensure_hub, hub_errors
from bertkit.io.tables import TABLE_SUFFIXES, columns, form, read_rows
from bertkit.io.text import ReadReport, open_binary, read_lines
from bertkit.settings.schema import TaskSettings

_MOST_SHORT_ROWS = 0.001
"""Share of a TSV's rows that may lack fields."""


@dataclass(frozen=True)
class LabelledData:
    """What a model is trained and judged on. The first validation split chooses the best weights."""

    train: Split | None
    validation: list[Split]
    head: Head
    """What they are read and learned by."""
    notes: list[str] = field(default_factory=list)
    """What was guessed or met on the way, to be told."""


@dataclass(frozen=True)
class DataRequest:
    """Which labelled data is wanted."""

    task: TaskSettings
    data: Path | None
    """Folder with GLUE's own TSVs."""
    train: str | None
    """File or hub dataset with rows of one's own."""
    validation: str | None
    validation_split: float | None
    seed: int
    head: Head | None = None
    """Of a model that is only evaluated; None is found from the rows."""


def check_inputs(request: DataRequest) -> None:
    """What can be known to be wrong without reading a row.

    Raises:
        BertkitError: a file or folder that is not there, or is of no known form.
    """
    for source in (request.train, request.validation):
        if source is not None and not _is_hub_name(source):
            _check_table(source)
    if request.data is not None and not request.data.is_dir():
        raise BertkitError(f"no folder {request.data}: give the folder of GLUE's TSVs with --data")


def _check_table(source: str) -> None:
    if not Path(source).is_file():
        raise BertkitError(f"no file {source}: give a .csv, .tsv, .jsonl or .parquet file, or a hub dataset org/name")
    if rows_of(Path(source)) is None and form(Path(source)) == "txt":
        raise BertkitError(f"{source} has no columns: give a table ({', '.join(TABLE_SUFFIXES)})")


def _is_hub_name(source: str) -> bool:
    name = source.split(":")[0]
    return not Path(source).exists() and name.count("/") == 1 and Path(name).suffix not in TABLE_SUFFIXES


def load_labelled(request: DataRequest) -> LabelledData:
    """Training and validation rows with their labels as the loss takes them.

    Raises:
        BertkitError: rows that cannot be had or used, named by file and line.
    """
    if request.train is None and request.validation is None:
        return _load_task(request)
    return _load_own(request)


def load_split(task: TaskSettings, data: Path | None, split: str, head: Head | None = None) -> Split:
    """One split of a task by its name, from the hub or from GLUE's TSVs; without labels where it has none.

    Args:
        head: reads the rows; None is what the recipe asks for.
    """
    return _task_split(task, data, split, head)[1]


def _task_split(task: TaskSettings, data: Path | None, split: str, head: Head | None) -> tuple[Head, Split]:
    if not task.label or (task.dataset is None and data is None):
        raise BertkitError("these rows are not those of a task: give --validation FILE, or --task NAME")
    rows = list(_task_rows(task, data, split))
    if not rows:
        raise BertkitError(f"the split '{split}' of {task.subset or task.dataset} has no rows")
    first = rows[0][1]
    kind = type(head) if head else head_for(task, rows[0])
    columns = _columns(kind, task, list(first), f"the split '{split}'", not _unlabelled(first.get(task.label[0])))
    head = head or kind.fit(rows, columns, task)
    return head, _split(split, rows, head, columns)


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
    """What a head reads of a table's rows or of a plain file's lines, or of the lines of standard input ("-"), as a
    stream.

    Raises:
        BertkitError: no such columns, or an unreadable file.
    """
    path, kind = Path(source), type(head)
    if source != "-" and (rows := kind.rows_of(path)) is not None:
        for row in rows:
            yield head.input(row, _columns(kind, task, list(row[1]), source, learned=False))
        return
    if source == "-" or form(path) == "txt":
        for number, line in enumerate(_lines(source), 1):
            yield text_input(line, head, f"{source}:{number}")
        return
    chosen = _columns(kind, task, list(columns(path)), source, learned=False)
    for row in read_rows(path):
        yield head.input(row, chosen)


def text_input(text: str, head: Head, place: str) -> Any:
    """What a head reads of a text alone.

    Raises:
        BertkitError: it needs more, such as a question.
    """
    columns = _columns(type(head), TaskSettings(text=("text",)), ["text"], place, learned=False)
    return head.input((place, {"text": text}), columns)


def _lines(source: str) -> Iterator[str]:
    """Each line, blank ones too, so that the n-th answer is that of the n-th line; of very long ones the beginning."""
    stream = nullcontext(sys.stdin.buffer) if source == "-" else open_binary(Path(source))
    with stream as lines:
        read = read_lines(lines, "stdin" if source == "-" else source, ReadReport())
        for _, parts in groupby(read, key=lambda numbered: numbered[0]):
            yield next(parts)[1]


def _load_task(request: DataRequest) -> LabelledData:
    task, head, splits = request.task, request.head, []
    for name in [*([task.train_split] if task.train_split else []), *task.validation_splits]:
        head, split = _task_split(task, request.data, name, head)
        splits.append(split)
    assert head is not None
    train = splits.pop(0) if task.train_split else None
    for split in splits:
        if split.labels is None:
            raise BertkitError(
                f"the split '{split.name}' of {task.subset or task.dataset} has no labels to validate on"
            )
    return LabelledData(train, splits, head, [told for split in splits for told in _empty_texts(split)])


def _task_rows(task: TaskSettings, data: Path | None, split: str) -> Iterator[Row]:
    if data is not None:
        return _tsv_rows(task, data, split)
    return _hub_rows(task.dataset or "", task.subset, split)


def _hub_rows(name: str, subset: str | None, *splits: str) -> Iterator[Row]:
    ensure_hub()
    import datasets

    ways_on = "give --data with GLUE's TSVs, or --train and --validation with files of your own"
    datasets.disable_progress_bars()
    with hub_errors(what=f"dataset '{name}'", ways_on=ways_on):
        there = datasets.get_dataset_split_names(name, subset) if len(splits) > 1 else splits
        split = next((one for one in splits if one in there), splits[0])
        rows = datasets.load_dataset(name, subset, split=split)
    if len(splits) > 1:
        console.note(console.plain(f"{name}: validating on its split '{split}'"))
    for number, row in enumerate(rows):
        yield f"{name}, {split}, row {number}", row


def _tsv_rows(task: TaskSettings, data: Path, split: str) -> Iterator[Row]:
    """GLUE's own files: no quoting, columns by position, the class as a word or a number."""
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
        for number, line in read_lines(stream, str(path), ReadReport()):
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
        raise BertkitError(f"{path}:{short[0]} has too few fields for {task.subset}, as {len(short):,} rows have")
    if short:  # as a handful in QQP's own file
        console.warn(
            f"{console.plain(str(path))}: left out {len(short)} rows with too few fields, the first in line {short[0]}"
        )


def _load_own(request: DataRequest) -> LabelledData:
    """Rows of one's own; head, columns and classes are found from the training rows (or are a model's)."""
    source = request.train or request.validation
    assert source is not None
    rows = list(_own_rows(source))
    if not rows:
        raise BertkitError(f"{source} has no rows")
    if request.head is not None:
        head, columns = request.head, _columns(type(request.head), request.task, list(rows[0][1]), source)
        head.check(rows[0], columns)
    else:
        head, columns = _fitted(request.task, rows, source)
    chosen = "; ".join(f"{role}: {', '.join(names)}" for role, names in columns.items())
    notes = [] if request.task.text and request.task.label else [chosen]
    first = _split("train" if request.train else "validation", rows, head, columns)
    if request.train is None:
        return LabelledData(None, [first], head, notes)
    if request.validation is not None:
        if _is_hub_name(request.validation) and request.validation == request.train:
            raise BertkitError(f"--validation {request.validation} is --train: use --validation-split 0.1 instead")
        held_out = list(_own_rows(request.validation, ("validation", "test", "train")))
        second = _split("validation", held_out, head, columns)
    elif request.validation_split is not None:
        first, second = _held_out(first, request.validation_split, request.seed)
    else:
        raise BertkitError("nothing to validate on: give --validation FILE, or --validation-split 0.1")
    if not second.texts:
        raise BertkitError(f"{request.validation or source} has no rows to validate on")
    notes += [head.described(first)] + _empty_texts(first) + _empty_texts(second)
    return LabelledData(first, [second], head, [told for told in notes if told])


def _fitted(task: TaskSettings, rows: Sequence[Row], source: str) -> tuple[Head, Columns]:
    """The head that the rows are for, and their columns."""
    if not rows:
        raise BertkitError(f"{source} has no rows")
    kind = head_for(task, rows[0])
    columns = _columns(kind, task, list(rows[0][1]), source)
    kind.check(rows[0], columns)
    return kind.fit(rows, columns, task), columns


def _columns(kind: type[Head], task: TaskSettings, names: list[str], source: str, learned: bool = True) -> Columns:
    """The columns of each role of a head: as they were asked for, or by their usual names."""
    asked: Columns = {role: (column,) for role, column in (task.columns or {}).items()}
    asked |= {role: names for role, names in (("text", task.text), ("label", task.label)) if names}
    unknown = next((role for role in asked if role not in kind.roles), None)
    if unknown is not None:
        raise BertkitError(f"the head {kind.name} has no '{unknown}': a row of it has {', '.join(kind.roles)}")
    chosen: Columns = {}
    for role, usual in kind.roles.items():
        if role == "label" and not learned:
            continue
        flag = f"--{role}" if role in ("text", "label") else f"--set 'task.columns={{{role}=\"NAME\"}}'"
        missing = next((name for name in asked.get(role, ()) if name not in names), None)
        if missing is not None:
            raise _no_column(source, missing, names, flag)
        found = asked.get(role) or next((some for some in usual if all(name in names for name in some)), None)
        if found is None:
            raise BertkitError(f"which column of {source} is the {role}? use {flag} with one of {', '.join(names)}")
        if found:
            chosen[role] = tuple(found)
    return chosen


def _split(name: str, rows: Sequence[Row], head: Head, columns: Columns) -> Split:
    """Rows as a head reads them."""
    texts = [head.input(row, columns) for row in rows]
    return Split(name, texts, head.labels(rows, columns) if "label" in columns else None)


def _own_rows(source: str, splits: tuple[str, ...] = ("train",)) -> Iterator[Row]:
    """Rows of a file, or of the first of these splits that a dataset of the hub has."""
    if not _is_hub_name(source):
        _check_table(source)
        return rows_of(Path(source)) or read_rows(Path(source))
    name, _, subset = source.partition(":")
    return _hub_rows(name, subset or None, *splits)


def _held_out(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Training and validation rows by a seeded draw, stratified for classes where each has two rows or more."""
    from sklearn.model_selection import train_test_split

    labels, rows = split.labels, np.arange(len(split.texts))
    are_classes = isinstance(labels, np.ndarray) and labels.dtype == np.int64
    stratify = labels if are_classes and np.bincount(labels).min() > 1 else None
    try:
        kept, held = train_test_split(rows, test_size=share, random_state=seed % 2**32, stratify=stratify)
    except ValueError as error:
        raise BertkitError(f"cannot hold out {share:g} of {len(rows)} rows: {error}") from error
    kept.sort()
    held.sort()
    return split.taken("train", kept.tolist()), split.taken("validation", held.tolist())


def _no_column(source: str, name: str, names: Sequence[str], flag: str) -> BertkitError:
    return BertkitError(f"{source} has no column '{name}': use {flag} with one of {', '.join(names)}")


def _unlabelled(value: Any) -> bool:
    return value is None or value == "" or value == -1


def _empty_texts(split: Split) -> list[str]:
    empty = sum(1 for text in chain.from_iterable(split.texts) if text == "")
    return [f"{empty:,} empty texts in {split.name}"] if empty else []
