"""Loads labelled rows: the splits of a named task, or a person's own tables."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from bertkit.errors import BertkitError
from bertkit.finetuning.alignment import head_of_rows, in_order_of_ids, named_rows, taken_by_number
from bertkit.finetuning.chosen_columns import columns_for
from bertkit.finetuning.features import Columns, Row, Split
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.registry import head_for
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.labelled import DataRequest, LabelledData, split_of, telling, told_empty_texts
from bertkit.finetuning.row_sources import VALIDATION_SPLITS, is_hub_name, rows_of_source
from bertkit.finetuning.rows.cells import EmptyCellsError
from bertkit.finetuning.rows.columns import Command, columns_like
from bertkit.finetuning.rows.held_out import held_out, never_held_out
from bertkit.finetuning.rows.labels import ClassIds, is_class
from bertkit.finetuning.rows.table_check import Lengths, TableCheck, check_table
from bertkit.finetuning.rows.tagged_columns import of_single_words, refuse_single_words
from bertkit.finetuning.rows.usable import passing, refuse_all
from bertkit.finetuning.task_rows import load_task
from bertkit.io.memory import MemoryRows


def load_labelled(request: DataRequest) -> LabelledData:
    """Loads training and validation rows with their labels.

    Raises:
        BertkitError: rows cannot be read or used; the message names file and line.
    """
    if request.train is None and request.validation is None:
        return load_task(request)
    return _load_own(request)


def _load_own(request: DataRequest) -> LabelledData:
    """Loads a person's own rows, and holds some out if no validation rows are given."""
    try:
        data = load_table(request)
    except EmptyCellsError as error:
        raise BertkitError(f"{error}{'; --skip-bad-rows leaves them out' if request.train else ''}") from None
    if data.train is None:
        return replace(
            data, notes=[*data.notes, *(told for split in data.validation for told in told_empty_texts(split))]
        )
    described, not_held = data.head.described(data.train), ""
    if not data.validation:
        if request.validation_split is None:
            raise BertkitError("nothing to validate on: give --validation FILE, or --validation-split 0.1")
        kept, held = held_out(data.train.texts, data.train.labels, request.validation_split, request.seed)
        train, validation = data.train.taken("train", kept), data.train.taken("validation", held)
        data = replace(data, train=train, validation=[validation])
        not_held = never_held_out(train.labels, validation.labels, data.head.label_names)
    if not data.validation[0].texts:
        raise BertkitError(f"{request.validation} has no rows to validate on")
    notes = [*data.notes, described, *look_at(data).warnings(request.weighed), not_held]
    return replace(data, notes=[told for told in notes if told])


def load_table(request: DataRequest) -> LabelledData:
    """Loads a person's own rows, without holding any out. Head, columns and classes are recognised, or those of a model.

    Raises:
        BertkitError: rows cannot be read or used; the message names file and line.
    """
    source = request.train or request.validation
    assert source is not None
    unusable: list[str] | None = [] if request.skip_bad_rows else None
    wanted = ("train",) if request.train else VALIDATION_SPLITS
    rows = _own_rows(source, unusable, wanted)
    if not rows:
        raise BertkitError(f"{source} has no rows")
    first = telling(rows)
    kind = type(request.head) if request.head is not None else head_for(request.task, first)
    command: Command = "finetune" if request.head is None else "evaluate"
    with _told_of_other_kinds(first[0][1]):
        columns, notes = columns_for(
            kind, request.task, rows, str(source), trained_on=request.trained_on, command=command
        )
    if kind is SequenceHead and not (request.task.text or request.task.label):
        refuse_single_words(first[0], columns, str(source))
    task = in_order_of_ids(rows, kind, columns, request.task) if request.head is None else request.task
    rows = named_rows(rows, kind, columns, task, task.labels if request.head is None else request.head.label_names)
    kind.check(first[0], columns)
    rows = passing(rows, partial(kind.check_row, columns=columns, task=task), unusable)
    head = kind.fit(rows, columns, task) if request.head is None else head_of_rows(request.head, task)
    head.check_texts(columns, str(source), command)
    rows = _readable(rows, head, columns, unusable, str(source))
    split = split_of("train" if request.train else "validation", rows, head, columns)
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
    if source == request.train and is_hub_name(str(source)):
        raise BertkitError(f"--validation {source} is --train: use --validation-split 0.1 instead")
    rows = _own_rows(source, unusable, VALIDATION_SPLITS)
    columns, notes = columns_like(columns, head.roles, rows, str(source)) if rows else (columns, [])
    rows = named_rows(rows, type(head), columns, request.task, head.label_names)
    rows = _readable(rows, head, columns, unusable, str(source))
    split = split_of("validation", rows, head, columns)
    return split, notes + _told(rows, split, head, columns, is_known=True)


@contextmanager
def _told_of_other_kinds(row: dict[str, Any]) -> Iterator[None]:
    """Adds to an error about the columns of a table what its rows may be."""
    try:
        yield
    except BertkitError as error:
        names = {name.strip().lower() for name in row}
        is_answers = {"question", "context"} <= names and not names.isdisjoint({"answer", "answers"})
        if is_answers and "head span" not in str(error):
            raise BertkitError(f"{error}; answers in a text are read with --head span") from None
        raise BertkitError(f"{error}{of_single_words(row)}") from None


def look_at(data: LabelledData, lengths: Lengths | None = None, limit: int | None = None) -> TableCheck:
    """Checks labelled rows; see ``check_table``."""
    splits = [*([data.train] if data.train else []), *data.validation]
    kind = getattr(data.head, "problem_type", "")
    return check_table(splits, data.head.label_names, kind, data.left_out, lengths, limit)


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
        split_of("", [row], head, columns)
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
    """``rows_of_source``, unless none of them can be read."""
    before = len(unusable or ())
    rows = list(rows_of_source(source, unusable, splits))
    if not rows:
        refuse_all((unusable or [])[before:])
    return rows
