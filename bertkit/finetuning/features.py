"""The data that passes from readers to heads and on to batches: rows, splits, features."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

Row = tuple[str, dict[str, Any]]
"""A row of a table: its place, such as "file.csv:12", and its values by column."""
Columns = dict[str, tuple[str, ...]]
"""The columns of a table by role; without "label" if there is none."""
Batch = dict[str, "torch.Tensor"]


@dataclass(frozen=True)
class Split:
    """Rows in order.

    Attributes:
        name: the name of the split.
        texts: what the head reads of each row, as its ``input`` returns it.
        labels: what it should answer, as its ``labels`` returns it; None if that is unknown.
    """

    name: str
    texts: list[Any]
    labels: Any

    def taken(self, name: str, rows: Sequence[int]) -> "Split":
        """A split of some of the rows, under another name."""
        array = isinstance(self.labels, np.ndarray)
        labels = self.labels[list(rows)] if array else [self.labels[row] for row in rows]
        return Split(name, [self.texts[row] for row in rows], labels)


@dataclass(frozen=True)
class Features:
    """Rows as the model reads them: one feature per window; a row has several if it is longer than the model reads.

    Attributes:
        ids: the ids of each feature with special tokens, without padding.
        types: the segment ids of each feature; None if the model has no segments.
        rows: int64 ``[features]``, ascending: the row of each feature.
        texts: for each token the number of its text, None for special tokens; only if it was asked for.
        words: for each token the number of its word within the text; likewise.
        offsets: for each token where it begins and ends, in characters of its text (of its word, if the texts are lists of
            words); likewise.
        targets: what the loss compares with, in the head's own form; in the simple case an array with an entry per unit.
        together: whether all features of a row go into the same batch, as the choices of a question do.
        characters: how often each character stands in the rows, before the tokenizer reads them.
        cut: rows that are not read whole, each with the ``data.max_seq_length`` that would read it whole.
        windows: whether rows are read in windows, so that only the text that stands in every window can be cut; None if they
            cannot be read so.
        states: for each feature the states of a frozen encoder at the tokens that the head reads, float32 ``[read, S]``, if
            they are kept; see ``models.features``.
    """

    ids: list[list[int]]
    types: list[list[int]] | None
    rows: np.ndarray
    texts: list[list[int | None]] | None = None
    words: list[list[int | None]] | None = None
    offsets: list[list[tuple[int, int]]] | None = None
    targets: Any = None
    together: bool = False
    characters: Counter[str] = field(default_factory=Counter)
    cut: dict[int, int] = field(default_factory=dict)
    windows: bool | None = False
    states: "list[torch.Tensor] | None" = None

    @cached_property
    def units(self) -> list[range]:
        """The features of each unit. A unit is what a batch takes as a whole: a feature, or all features of a row."""
        if not self.together:
            return [range(number, number + 1) for number in range(len(self.ids))]
        begins = [*np.flatnonzero(np.diff(self.rows, prepend=-1)).tolist(), len(self.rows)]
        return [range(begin, end) for begin, end in zip(begins, begins[1:], strict=False)]

    @cached_property
    def tokens(self) -> np.ndarray:
        """int64 ``[units]``: the tokens of a unit in a padded batch, which are its longest feature times their number."""
        lengths = [[len(self.ids[number]) for number in unit] for unit in self.units]
        return np.array([max(unit) * len(unit) for unit in lengths], dtype=np.int64)

    @cached_property
    def longest(self) -> int:
        """The number of tokens of the longest feature."""
        return max(map(len, self.ids), default=0)

    def of_rows(self, rows: Sequence[int]) -> "Features":
        """The features of some rows of a larger whole: the n-th row gets the n-th of these numbers, which ascend."""
        cut = {rows[row]: length for row, length in self.cut.items()}
        return replace(self, rows=np.array(rows, dtype=np.int64)[self.rows], cut=cut)

    def of(self, units: Sequence[int]) -> list[int]:
        """The numbers of the features of some units."""
        return [number for unit in units for number in self.units[unit]]


def joined(parts: Sequence[Features]) -> Features:
    """The features of several readings, each of other rows, in the order of the rows; without targets."""
    order = np.argsort(np.concatenate([one.rows for one in parts]), kind="stable")

    def every(name: str) -> Any:
        given = [getattr(part, name) for part in parts]
        if any(one is None for one in given):
            return None
        flat = [one for some in given for one in some]
        return [flat[number] for number in order]

    return replace(
        parts[0],
        **{name: every(name) for name in ("ids", "types", "texts", "words", "offsets")},
        rows=np.array(every("rows"), dtype=np.int64),
        characters=sum((part.characters for part in parts), Counter()),
        cut={row: length for part in parts for row, length in part.cut.items()},
    )
