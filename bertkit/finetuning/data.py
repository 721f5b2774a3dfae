"""Loads labelled rows: the splits of a task, from the hub or from GLUE's own TSVs, or a person's own rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.alignment import head_of_rows, named_rows, taken_by_number
from bertkit.finetuning.chosen_columns import columns_for
from bertkit.finetuning.features import Columns, Row, Split
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.registry import head_for, rows_of
from bertkit.finetuning.rows.cells import EmptyCellsError
from bertkit.finetuning.rows.columns import LOOKED_AT, Command, columns_like
from bertkit.finetuning.rows.glue_tsv import read_split
from bertkit.finetuning.rows.held_out import held_out, not_trained
from bertkit.finetuning.rows.kinds import refuse_missing_texts
from bertkit.finetuning.rows.labels import ClassIds, is_class
from bertkit.finetuning.rows.table_check import Lengths, TableCheck, check_table, empty_texts
from bertkit.finetuning.rows.tagged_columns import of_single_words
from bertkit.finetuning.rows.tagged_rows import is_unmarked
from bertkit.finetuning.rows.usable import passing, refuse_all
from bertkit.io.cells import class_names, decoded, with_class_ids
from bertkit.io.connection import ensure_hub
from bertkit.io.hub import dataset_part, hub_errors, may_be_hub_name
from bertkit.io.memory import MemoryRows
from bertkit.io.tables import FILE_SUFFIXES, TABLE_SUFFIXES, form, read_rows
from bertkit.settings.schema import TaskSettings

_VALIDATION = ("validation", "test", "train")
"""The splits of a hub dataset to validate on: the first one that it has."""


@dataclass(frozen=True)
class LabelledData:
    """The rows that a model is trained and evaluated on. The first validation split chooses the best weights."""

    train: Split | None
    validation: list[Split]
    head: Head
    """Reads the rows, and knows their classes."""
    notes: list[str] = field(default_factory=list)
    """Lines about what was guessed or noticed."""
    left_out: list[str] = field(default_factory=list)
    """For each row that could not be used, its place and the reason."""
    columns: Columns = field(default_factory=dict)
    """Those that were chosen for the rows to train on, by role."""


@dataclass(frozen=True)
class DataRequest:
    """Which labelled rows to load."""

    task: TaskSettings
    data: Path | None
    """A folder with GLUE's own TSVs."""
    train: str | MemoryRows | None
    """A person's own rows: a file, a hub dataset, or rows in memory."""
    validation: str | MemoryRows | None
    validation_split: float | None
    seed: int
    head: Head | None = None
    """The head of a model that is evaluated; None recognises it from the rows."""
    trained_on: Columns = field(default_factory=dict)
    """The columns that this model was trained on."""
    skip_bad_rows: bool = False
    """Whether rows that cannot be used are left out and counted; else they are refused."""
    weighed: bool = False
    """Whether the classes are weighted by the inverse of their shares."""


def check_inputs(request: DataRequest) -> None:
    """Checks what can be checked without reading a row.

    Raises:
        BertkitError: a file or folder does not exist, or a file has an unknown format.
    """
    for source in (request.train, request.validation):
        if isinstance(source, str) and not _is_hub_name(source):
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
    is_file_name = Path(name).suffix.lower() in FILE_SUFFIXES
    return not Path(source).exists() and "/" in name and may_be_hub_name(name) and not is_file_name


def load_labelled(request: DataRequest) -> LabelledData:
    """Loads training and validation rows with their labels.

    Raises:
        BertkitError: rows cannot be read or used; the message names file and line.
    """
    if request.train is None and request.validation is None:
        return _load_task(request)
    return _load_own(request)


def load_split(task: TaskSettings, data: Path | None, split: str, head: Head | None = None) -> Split:
    """Loads a split of a task, from the hub or from GLUE's TSVs; without labels if it has none.

    Args:
        task: the settings of the task.
        data: the folder with the TSVs; None is the hub.
        split: the name of the split.
        head: reads the rows; None takes the one that the recipe names.
    """
    _, _, loaded, notes = _task_split(task, data, split, head, {})
    for told in notes:
        console.note(console.plain(told))
    return loaded


def _task_split(
    task: TaskSettings, data: Path | None, split: str, head: Head | None, like: Columns
) -> tuple[Head, Columns, Split, list[str]]:
    """The head, the columns, the split, and lines about what was left out; columns that nobody names are those of ``like``."""
    if not task.label or (task.dataset is None and (data is None or task.tsv is None)):
        raise BertkitError("these rows are not those of a task: give --validation FILE, or --task NAME")
    rows = list(_task_rows(task, data, split))
    if not rows:
        raise BertkitError(f"the split '{split}' of {task.subset or task.dataset} has no rows")
    first = rows[0][1]
    kind = type(head) if head else head_for(task, _telling(rows))
    labelled = not _unlabelled(first.get(task.label[0]))
    columns, _ = columns_for(kind, task, rows, f"the split '{split}'", labelled=labelled, trained_on=like)
    if not task.labels:  # which name the numbers of the data set
        rows = named_rows(rows, kind, columns, task, head.label_names if head else ())
    head = head or kind.fit(rows, columns, task)
    loaded = _split(split, rows, head, columns)
    return head, columns, loaded, head.left_out(rows, columns, loaded)


def _load_task(request: DataRequest) -> LabelledData:
    task, head = request.task, request.head
    splits, notes, chosen = list[Split](), list[str](), Columns()
    for name in [*([task.train_split] if task.train_split else []), *task.validation_splits]:
        head, columns, split, left_out = _task_split(task, request.data, name, head, chosen)
        chosen = chosen or columns
        splits.append(split)
        notes += left_out
    assert head is not None
    train = splits.pop(0) if task.train_split else None
    for split in splits:
        if split.labels is None:
            raise BertkitError(
                f"the split '{split.name}' of {task.subset or task.dataset} has no labels to validate on"
            )
    notes += [told for split in splits for told in _told_empty_texts(split)]
    return LabelledData(train, splits, head, notes, columns=chosen)


def _task_rows(task: TaskSettings, data: Path | None, split: str) -> Iterator[Row]:
    if data is not None:
        return read_split(task, data, split)
    return _hub_rows(task.dataset or "", task.subset, split)


def rows_without_a_hub(dataset: str) -> str:
    """What a person can do if a dataset cannot be fetched from the hub, as the end of a message."""
    glue = (
        "--data with the folder of GLUE's files, from https://gluebenchmark.com/tasks, or " if "glue" in dataset else ""
    )
    return (
        f"give {glue}--train and --validation with files of your own; for a first try, `bertkit finetune` alone takes "
        "bertkit's own labelled texts"
    )


def _hub_rows(name: str, subset: str | None, *splits: str) -> Iterator[Row]:
    ensure_hub()
    import datasets

    datasets.disable_progress_bars()
    with hub_errors(what=f"dataset '{name}'", ways_on=rows_without_a_hub(name)), dataset_part(name, subset):
        there = datasets.get_dataset_split_names(name, subset) if len(splits) > 1 else splits
        split = next((one for one in splits if one in there), splits[0])
        rows = datasets.load_dataset(name, subset, split=split)
    if len(splits) > 1:
        console.note(console.plain(f"{name}: validating on its split '{split}'"))
    names = class_names(rows.features)
    for number, row in enumerate(rows):
        place = f"{name}, {split}, row {number}"
        yield place, with_class_ids(decoded(place, row), names)


def _load_own(request: DataRequest) -> LabelledData:
    """Loads a person's own rows, and holds some out if no validation rows are given."""
    try:
        data = load_table(request)
    except EmptyCellsError as error:
        raise BertkitError(f"{error}{'; --skip-bad-rows leaves them out' if request.train else ''}") from None
    if data.train is None:
        return replace(
            data, notes=[*data.notes, *(told for split in data.validation for told in _told_empty_texts(split))]
        )
    described, not_learned = data.head.described(data.train), list[str]()
    if not data.validation:
        if request.validation_split is None:
            raise BertkitError("nothing to validate on: give --validation FILE, or --validation-split 0.1")
        kept, held = held_out(data.train.texts, data.train.labels, request.validation_split, request.seed)
        train, validation = data.train.taken("train", kept), data.train.taken("validation", held)
        data = replace(data, train=train, validation=[validation])
        not_learned = not_trained(train.labels, validation.labels, data.head.label_names)
    if not data.validation[0].texts:
        raise BertkitError(f"{request.validation} has no rows to validate on")
    notes = [*data.notes, described, *look_at(data).warnings(request.weighed), *not_learned]
    return replace(data, notes=[told for told in notes if told])


def load_table(request: DataRequest) -> LabelledData:
    """Loads a person's own rows, without holding any out. Head, columns and classes are recognised, or those of a model.

    Raises:
        BertkitError: rows cannot be read or used; the message names file and line.
    """
    source = request.train or request.validation
    assert source is not None
    unusable: list[str] | None = [] if request.skip_bad_rows else None
    wanted = ("train",) if request.train else _VALIDATION
    rows = _own_rows(source, unusable, wanted)
    if not rows:
        raise BertkitError(f"{source} has no rows")
    telling = _telling(rows)
    kind = type(request.head) if request.head is not None else head_for(request.task, telling)
    command: Command = "finetune" if request.head is None else "evaluate"
    with _told_of_other_kinds(telling[0][1]):
        columns, notes = columns_for(
            kind, request.task, rows, str(source), trained_on=request.trained_on, command=command
        )
    known = request.task.labels if request.head is None else request.head.label_names
    rows = named_rows(rows, kind, columns, request.task, known)
    kind.check(telling[0], columns)
    rows = passing(rows, partial(kind.check_row, columns=columns, task=request.task), unusable)
    head = kind.fit(rows, columns, request.task) if request.head is None else head_of_rows(request.head, request.task)
    head.check_texts(columns, str(source), command)
    rows = _readable(rows, head, columns, unusable, str(source))
    split = _split("train" if request.train else "validation", rows, head, columns)
    notes += _told(rows, split, head, columns, is_known=request.head is not None)
    train, validation = (split, list[Split]()) if request.train else (None, [split])
    if request.train is not None and request.validation is not None:
        split, told = _validation_table(request, head, columns, unusable)
        validation.append(split)
        notes += told
    return LabelledData(train, validation, head, [told for told in notes if told], unusable or [], columns)


def _validation_table(
    request: DataRequest, head: Head, columns: Columns, unusable: list[str] | None
) -> tuple[Split, list[str]]:
    """The rows of ``request.validation``, read like those to train on, and lines about them."""
    source = request.validation
    assert source is not None
    if source == request.train and _is_hub_name(str(source)):
        raise BertkitError(f"--validation {source} is --train: use --validation-split 0.1 instead")
    rows = _own_rows(source, unusable, _VALIDATION)
    columns = columns_like(columns, head.roles, rows, str(source)) if rows else columns
    rows = named_rows(rows, type(head), columns, request.task, head.label_names)
    rows = _readable(rows, head, columns, unusable, str(source))
    split = _split("validation", rows, head, columns)
    return split, _told(rows, split, head, columns, is_known=True)


def _telling(rows: Sequence[Row]) -> list[Row]:
    """The first rows that tell what they are; if none does, the first row."""
    return list(islice((row for row in rows if not is_unmarked(row[1])), LOOKED_AT)) or [rows[0]]


@contextmanager
def _told_of_other_kinds(row: dict[str, Any]) -> Iterator[None]:
    """Adds to an error about the columns of a table what its rows may be."""
    try:
        yield
    except BertkitError as error:
        names = {name.strip().lower() for name in row}
        if {"question", "context"} <= names and not names.isdisjoint({"answer", "answers"}):
            raise BertkitError(f"{error}; answers in a text are read with --head span") from None
        raise BertkitError(f"{error}{of_single_words(row)}") from None


def look_at(data: LabelledData, lengths: Lengths | None = None, limit: int | None = None) -> TableCheck:
    """Checks labelled rows; see ``check_table``."""
    splits = [*([data.train] if data.train else []), *data.validation]
    kind = getattr(data.head, "problem_type", "")
    return check_table(splits, data.head.label_names, kind, data.left_out, lengths, limit)


def _split(name: str, rows: Sequence[Row], head: Head, columns: Columns) -> Split:
    """Reads rows with a head."""
    refuse_missing_texts(rows, columns.get("text", ()))
    texts = [head.input(row, columns) for row in rows]
    return Split(name, texts, head.labels(rows, columns) if "label" in columns else None)


def _readable(rows: Sequence[Row], head: Head, columns: Columns, unusable: list[str] | None, source: str) -> list[Row]:
    """The rows that a head can read, as ``passing`` gives them."""
    if "label" in columns:
        head.check_labels(rows, columns, source)
    named: list[Row] = []
    if isinstance(head, OneClass) and "label" in columns:
        # Beside a row with the name of a class numbers are unknown; see ``Labelling.encode``.
        ids = ClassIds(head.label_names)
        named = [row for row in rows if is_class(row, columns["label"][0], ids)][:1]

    def check(row: Row) -> None:
        _split("", [row], head, columns)
        if named:
            head.labels([row, *named], columns)

    return passing(rows, check, unusable)


def _told(rows: Sequence[Row], split: Split, head: Head, columns: Columns, is_known: bool) -> list[str]:
    """Lines about what was taken for what in rows; ``is_known`` is whether the head was there before them."""
    told, labels = head.left_out(rows, columns, split), columns.get("label", ())
    if is_known and len(labels) == 1:
        told.append(taken_by_number(head, [row[labels[0]] for _, row in rows if labels[0] in row]))
    return told


def _own_rows(source: str | MemoryRows, unusable: list[str] | None, splits: tuple[str, ...]) -> list[Row]:
    """``_rows_of``, unless none of them can be read."""
    before = len(unusable or ())
    rows = list(_rows_of(source, unusable, splits))
    if not rows:
        refuse_all((unusable or [])[before:])
    return rows


def _rows_of(source: str | MemoryRows, unusable: list[str] | None, splits: tuple[str, ...]) -> Iterator[Row]:
    """The rows of a file, or of the first of these splits that a hub dataset has."""
    if isinstance(source, MemoryRows):
        return source.placed()
    if not _is_hub_name(source):
        _check_table(source)
        return rows_of(Path(source)) or read_rows(Path(source), unusable)
    name, _, subset = source.partition(":")
    return _hub_rows(name, subset or None, *splits)


def _unlabelled(value: Any) -> bool:
    return value is None or value == "" or value == -1


def _told_empty_texts(split: Split) -> list[str]:
    empty = empty_texts(split.texts)
    return [f"{console.counted(empty, 'empty text', 'empty texts')} in {split.name}"] if empty else []
