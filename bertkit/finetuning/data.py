"""Labelled text: a task's splits from the hub or from GLUE's own TSVs, or rows of one's own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.kinds import as_text, refuse_other_tasks
from bertkit.finetuning.labels import Labelling, find_labelling
from bertkit.io.hub import ensure_hub, hub_errors
from bertkit.io.tables import TABLE_SUFFIXES, columns, form, read_rows
from bertkit.io.text import ReadReport, open_binary, read_lines
from bertkit.settings.schema import TaskSettings

_TEXT_NAMES = ("text", "sentence", "review", "content", "document", "comment", "body")
_PAIR_NAMES = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("text_a", "text_b"),
)
_LABEL_NAMES = ("label", "labels", "class", "target", "category", "score", "rating", "sentiment")

_MOST_SHORT_ROWS = 0.001
"""Share of a TSV's rows that may lack fields."""

Row = tuple[str, dict[str, Any]]
"""(where it stands, column → value)."""


@dataclass(frozen=True)
class Split:
    """Rows in order.

    Attributes:
        texts: one or two texts a row.
        labels: int64 ``[rows]`` of class ids, float32 ``[rows]`` of numbers, float32 ``[rows, classes]`` of 0 and 1
            for several labels a row; None where there are none.
    """

    name: str
    texts: list[tuple[str, ...]]
    labels: np.ndarray | None


@dataclass(frozen=True)
class LabelledData:
    """What a classifier is trained and judged on. The first validation split chooses the best weights."""

    train: Split | None
    validation: list[Split]
    label_names: list[str]
    """By id; empty for regression."""
    problem_type: str
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
    known_labels: list[str] | None = None
    """Of a model that is only evaluated."""


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
    if form(Path(source)) == "txt":
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


def load_split(task: TaskSettings, data: Path | None, split: str) -> Split:
    """One split of a task by its name, from the hub or from GLUE's TSVs; without labels where it has none."""
    if not task.label or (task.dataset is None and data is None):
        raise BertkitError("these rows are not those of a task: give --validation FILE, or --task NAME")
    rows = list(_task_rows(task, data, split))
    texts = _texts(rows, task.text)
    if not rows or _unlabelled(rows[0][1].get(task.label[0])):
        return Split(split, texts, None)
    labelling = Labelling(list(task.labels), task.problem_type or "single_label_classification")
    return Split(split, texts, labelling.encode(rows, task.label))


def read_texts(source: str, wanted: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The texts of a table's rows or of a plain file's lines, or of the lines of standard input ("-"), as a stream.

    Raises:
        BertkitError: no such columns, or an unreadable file.
    """
    if source == "-":
        import sys

        yield from _lines(sys.stdin.buffer, "stdin")
        return
    path = Path(source)
    if form(path) == "txt":
        with open_binary(path) as stream:
            yield from _lines(stream, source)
        return
    names = columns(path)
    chosen = wanted if wanted and all(name in names for name in wanted) else ()
    if wanted and not chosen:
        missing = next(name for name in wanted if name not in names)
        raise _no_column(source, missing, names, "--text")
    chosen = chosen or _guessed_text(source, names)
    for row in read_rows(path):
        yield _row_texts(row, chosen)


def _lines(stream: BinaryIO, name: str) -> Iterator[tuple[str, ...]]:
    """Each line, blank ones too, so that the n-th answer is that of the n-th line; of very long ones the beginning."""
    for _, pieces in groupby(read_lines(stream, name, ReadReport()), key=lambda numbered: numbered[0]):
        yield (next(pieces)[1],)


def _load_task(request: DataRequest) -> LabelledData:
    task = request.task
    train = load_split(task, request.data, task.train_split) if task.train_split else None
    validation = [load_split(task, request.data, name) for name in task.validation_splits]
    for split in validation:
        if split.labels is None:
            raise BertkitError(
                f"the split '{split.name}' of {task.subset or task.dataset} has no labels to validate on"
            )
    notes = [told for split in validation for told in _empty_texts(split)]
    problem_type = task.problem_type or "single_label_classification"
    return LabelledData(train, validation, list(task.labels), problem_type, notes)


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
    """Rows of one's own; columns, problem type and classes are found from the training rows (or are a model's)."""
    source = request.train or request.validation
    assert source is not None
    rows = list(_own_rows(source))
    if not rows:
        raise BertkitError(f"{source} has no rows")
    names = list(rows[0][1])
    refuse_other_tasks(*rows[0])
    text = _columns_of(request.task.text, names, source, "--text") or _guessed_text(source, names)
    label = _columns_of(request.task.label, names, source, "--label") or _guessed_label(source, names)
    refuse_other_tasks(*rows[0], text, label)
    notes = [] if request.task.text and request.task.label else [f"text: {', '.join(text)}; label: {', '.join(label)}"]
    labelling = find_labelling(rows, label, request.task, request.known_labels)
    first = Split("train" if request.train else "validation", _texts(rows, text), labelling.encode(rows, label))
    if request.train is None:
        return LabelledData(None, [first], labelling.names, labelling.problem_type, notes)
    if request.validation is not None:
        if _is_hub_name(request.validation) and request.validation == request.train:
            raise BertkitError(f"--validation {request.validation} is --train: use --validation-split 0.1 instead")
        held_out = list(_own_rows(request.validation, ("validation", "test", "train")))
        second = Split("validation", _texts(held_out, text), labelling.encode(held_out, label))
    elif request.validation_split is not None:
        first, second = _held_out(first, request.validation_split, request.seed)
    else:
        raise BertkitError("nothing to validate on: give --validation FILE, or --validation-split 0.1")
    if not second.texts:
        raise BertkitError(f"{request.validation or source} has no rows to validate on")
    notes += [_described(labelling, first)] + _empty_texts(first) + _empty_texts(second)
    return LabelledData(first, [second], labelling.names, labelling.problem_type, notes)


def _described(labelling: Labelling, train: Split) -> str:
    """What the labels were taken for."""
    assert train.labels is not None
    if labelling.problem_type == "regression":
        return f"the labels are numbers, from {train.labels.min():g} to {train.labels.max():g}: a regression"
    kind = "several labels a row" if labelling.problem_type == "multi_label_classification" else "one label a row"
    more = ", …" if len(labelling.names) > 12 else ""
    return f"{len(labelling.names)} classes, {kind}: {', '.join(labelling.names[:12])}{more}"


def _own_rows(source: str, splits: tuple[str, ...] = ("train",)) -> Iterator[Row]:
    """Rows of a file, or of the first of these splits that a dataset of the hub has."""
    if not _is_hub_name(source):
        _check_table(source)
        return read_rows(Path(source))
    name, _, subset = source.partition(":")
    return _hub_rows(name, subset or None, *splits)


def _held_out(split: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Training and validation rows by a seeded draw, stratified for classes where each has two rows or more."""
    from sklearn.model_selection import train_test_split

    assert split.labels is not None
    labels = split.labels
    stratify = labels if labels.dtype == np.int64 and np.bincount(labels).min() > 1 else None
    rows = np.arange(len(labels))
    try:
        kept, held = train_test_split(rows, test_size=share, random_state=seed % 2**32, stratify=stratify)
    except ValueError as error:
        raise BertkitError(f"cannot hold out {share:g} of {len(rows)} rows: {error}") from error
    kept.sort()
    held.sort()
    return (
        Split("train", [split.texts[row] for row in kept], labels[kept]),
        Split("validation", [split.texts[row] for row in held], labels[held]),
    )


def _columns_of(wanted: Sequence[str], names: list[str], source: str, flag: str) -> tuple[str, ...]:
    for name in wanted:
        if name not in names:
            raise _no_column(source, name, names, flag)
    return tuple(wanted)


def _no_column(source: str, name: str, names: Sequence[str], flag: str) -> BertkitError:
    return BertkitError(f"{source} has no column '{name}': use {flag} with one of {', '.join(names)}")


def _guessed_text(source: str, names: Sequence[str]) -> tuple[str, ...]:
    pair = next((pair for pair in _PAIR_NAMES if all(name in names for name in pair)), None)
    single = next((name for name in _TEXT_NAMES if name in names), None)
    if pair is None and single is None:
        raise BertkitError(f"which column of {source} is the text? use --text with one of {', '.join(names)}")
    return pair or (str(single),)


def _guessed_label(source: str, names: Sequence[str]) -> tuple[str, ...]:
    found = next((name for name in _LABEL_NAMES if name in names), None)
    if found is None:
        raise BertkitError(f"which column of {source} is the label? use --label with one of {', '.join(names)}")
    return (found,)


def _texts(rows: Sequence[Row], names: Sequence[str]) -> list[tuple[str, ...]]:
    return [_row_texts(row, names) for row in rows]


def _row_texts(row: Row, names: Sequence[str]) -> tuple[str, ...]:
    place, values = row
    missing = next((name for name in names if name not in values), None)
    if missing is not None:
        raise BertkitError(f"{place} has no column '{missing}', only {', '.join(values)}")
    return tuple(as_text(values[name], place, name) for name in names)


def _unlabelled(value: Any) -> bool:
    return value is None or value == "" or value == -1


def _empty_texts(split: Split) -> list[str]:
    empty = sum(1 for text in chain.from_iterable(split.texts) if not text)
    return [f"{empty:,} empty texts in {split.name}"] if empty else []
