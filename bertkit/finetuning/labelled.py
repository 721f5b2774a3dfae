"""Labelled rows as they are asked for, and as training and evaluation see them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from bertkit.console import counted
from bertkit.finetuning.features import Columns, Row, Split
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.rows.columns import LOOKED_AT
from bertkit.finetuning.rows.kinds import refuse_missing_texts
from bertkit.finetuning.rows.table_check import empty_texts
from bertkit.finetuning.rows.tagged_rows import is_unmarked
from bertkit.io.memory import MemoryRows
from bertkit.settings.schema import TaskSettings


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


def split_of(name: str, rows: Sequence[Row], head: Head, columns: Columns) -> Split:
    """Reads rows with a head."""
    refuse_missing_texts(rows, columns.get("text", ()))
    texts = [head.input(row, columns) for row in rows]
    return Split(name, texts, head.labels(rows, columns) if "label" in columns else None)


def told_empty_texts(split: Split) -> list[str]:
    """A line that counts the empty texts of a split; an empty list where there are none."""
    empty = empty_texts(split.texts)
    return [f"{counted(empty, 'empty text', 'empty texts')} in {split.name}"] if empty else []


def telling(rows: Sequence[Row]) -> list[Row]:
    """The first rows that tell what they are; if none does, the first row."""
    return list(islice((row for row in rows if not is_unmarked(row[1])), LOOKED_AT)) or [rows[0]]
