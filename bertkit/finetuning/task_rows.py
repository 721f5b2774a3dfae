"""The splits of a named task, from the hub or from GLUE's own TSVs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.alignment import in_order_of_ids, named_rows
from bertkit.finetuning.chosen_columns import columns_for
from bertkit.finetuning.features import Columns, Row, Split
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.registry import head_for
from bertkit.finetuning.labelled import DataRequest, LabelledData, split_of, telling, told_empty_texts
from bertkit.finetuning.row_sources import hub_rows
from bertkit.finetuning.rows.glue_tsv import read_split
from bertkit.settings.schema import TaskSettings


def load_task(request: DataRequest) -> LabelledData:
    """Loads the splits of a named task that are trained and validated on.

    Raises:
        BertkitError: there is no such split, it has no rows, or one to validate on has no labels.
    """
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
    notes += [told for split in splits for told in told_empty_texts(split)]
    return LabelledData(train, splits, head, notes, columns=chosen)


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
    kind = type(head) if head else head_for(task, telling(rows))
    labelled = not _unlabelled(first.get(task.label[0]))
    columns, _ = columns_for(kind, task, rows, f"the split '{split}'", labelled=labelled, trained_on=like)
    if not task.labels:  # which name the numbers of the data set
        task = in_order_of_ids(rows, kind, columns, task) if head is None else task
        rows = named_rows(rows, kind, columns, task, head.label_names if head else task.labels)
    head = head or kind.fit(rows, columns, task)
    loaded = split_of(split, rows, head, columns)
    return head, columns, loaded, head.left_out(rows, columns, loaded)


def _task_rows(task: TaskSettings, data: Path | None, split: str) -> Iterator[Row]:
    if data is not None:
        return read_split(task, data, split)
    return hub_rows(task.dataset or "", task.subset, split)


def _unlabelled(value: Any) -> bool:
    return value is None or value == "" or value == -1
