"""What goes from readers to heads and from heads to batches: rows, splits of them, and their features."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

Row = tuple[str, dict[str, Any]]
"""(where it stands, as "file.csv:12"; column → value)."""
Columns = dict[str, tuple[str, ...]]
"""Role → the columns of a table that play it; without "label" where there is nothing to learn from."""
Batch = dict[str, "torch.Tensor"]


@dataclass(frozen=True)
class Split:
    """Rows in order.

    Attributes:
        texts: what the head reads of each row, as its ``input`` gives it.
        labels: what it is to say of each row, as its ``labels`` gives it; None where that is not known.
    """

    name: str
    texts: list[Any]
    labels: Any

    def taken(self, name: str, rows: Sequence[int]) -> "Split":
        """Some of the rows, under another name."""
        array = isinstance(self.labels, np.ndarray)
        labels = self.labels[list(rows)] if array else [self.labels[row] for row in rows]
        return Split(name, [self.texts[row] for row in rows], labels)


@dataclass(frozen=True)
class Features:
    """What the model reads of some rows: one feature a window, several where a row is longer than the model reads.

    Attributes:
        ids: each feature's ids with special tokens, without padding.
        types: each feature's segment ids; None where the model has none.
        rows: int64 ``[features]``, ascending: the row that each is of.
        texts: of each token the number of the text it is of, None for special tokens; only where asked for.
        words: of each token the number of the word it is of, within its text; likewise.
        offsets: of each token where it begins and ends, in characters of its text (of its word, where the texts were
            words); likewise.
        targets: what the loss compares with, in the head's own form; an array with an entry a unit in the plain case.
        together: whether all features of a row go into one batch, as the choices of a question do.
        cut_rows: how many rows lost their end.
        states: of each feature what a frozen encoder says at its tokens that are read, float32 ``[read, S]``, where that is
            kept; see ``models.features``.
    """

    ids: list[list[int]]
    types: list[list[int]] | None
    rows: np.ndarray
    texts: list[list[int | None]] | None = None
    words: list[list[int | None]] | None = None
    offsets: list[list[tuple[int, int]]] | None = None
    targets: Any = None
    together: bool = False
    cut_rows: int = 0
    states: "list[torch.Tensor] | None" = None

    @cached_property
    def units(self) -> list[range]:
        """The features of each unit: what a batch takes or leaves as a whole, and what one answer is given to."""
        if not self.together:
            return [range(number, number + 1) for number in range(len(self.ids))]
        begins = [*np.flatnonzero(np.diff(self.rows, prepend=-1)).tolist(), len(self.rows)]
        return [range(begin, end) for begin, end in zip(begins, begins[1:], strict=False)]

    @cached_property
    def tokens(self) -> np.ndarray:
        """int64 ``[units]``: what a unit takes in a padded batch, its longest feature times their number."""
        lengths = [[len(self.ids[number]) for number in unit] for unit in self.units]
        return np.array([max(unit) * len(unit) for unit in lengths], dtype=np.int64)

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest feature."""
        return max(map(len, self.ids), default=0)

    def of(self, units: Sequence[int]) -> list[int]:
        """The numbers of the features of some units."""
        return [number for unit in units for number in self.units[unit]]
