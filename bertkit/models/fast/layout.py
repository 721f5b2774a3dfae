"""Which rows are computed of a padded batch, and rows on their way out of it and back.

Shapes: B texts, T rows, W of them wanted. A text of three tokens and one of one (B = 2, longest = 3):

    mask   1 1 1     places of the      0 1 2     ``Layout.places`` is [0, 1, 2, 3], so T = 4: the tokens, text after text.
           1 . .     flattened batch    3 4 5     (With ``ROWS_AT_ONCE`` of 5 it is [0, 1, 2, 3, 4]: padding fills up.)

The last layer asks for few tokens only: here for the second and third of the first text, and the first of the other.

    mask   . 1 1     ``Wanted.rows`` is [1, 2, 3], so W = 3: which of the T rows these are.
           1 . .     ``Wanted.places`` is [0, 1, 2]: where they stand in the flattened grid ``[B, most]`` of queries, most = 2.
"""

from typing import Any, NamedTuple

import torch

ROWS_AT_ONCE = {"cpu": 64}
"""Rows are a multiple of so many where there is padding to fill them up: oneDNN, which multiplies bf16 matrices on a CPU,
compiles a kernel for each number of rows that it has not seen, in 0.7 ms; a step asks for some ten of them."""


class Layout(NamedTuple):
    """Where rows lie that were a padded batch ``[B, longest]``."""

    mask: torch.Tensor
    """bool ``[B, longest]``: where there is a token."""
    places: torch.Tensor
    """int64 ``[T]``: the place of each row in the flattened batch: of the tokens, text after text, and then of some
    padding; or of everything, in order."""
    is_padded: bool
    """Whether there is padding in the batch."""

    @classmethod
    def of(cls, mask: torch.Tensor) -> "Layout":
        """That of a mask."""
        places, size = _where(mask.flatten()), mask.numel()
        rows = len(places) + missing_rows(len(places), mask.device)
        if rows >= size:
            return cls(mask, torch.arange(size, device=mask.device), len(places) < size)
        padding = _where(~mask.flatten())[: rows - len(places)]
        return cls(mask, torch.cat([places, padding]), is_padded=True)

    @property
    def is_whole(self) -> bool:
        """Whether every place of the batch is a row."""
        return len(self.places) == self.mask.numel()

    @property
    def ends(self) -> torch.Tensor:
        """int32 ``[B + 1]``: 0, and the end of each text among the tokens."""
        return torch.nn.functional.pad(self.mask.sum(dim=1).cumsum(0, dtype=torch.int32), (1, 0))


class Wanted(NamedTuple):
    """Tokens whose last state is wanted, at places of a grid ``[B, most]`` of the last layer's queries."""

    rows: torch.Tensor
    """int64 ``[W]``: which of the T."""
    places: torch.Tensor
    """int64 ``[W]``: in the flattened grid."""
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: torch.Tensor, tokens: Layout) -> "Wanted":
        """Those of a bool mask ``[B, longest]`` within the tokens'."""
        counts = mask.sum(dim=1, keepdim=True)
        most = int(counts.max())
        grid = torch.arange(most, device=mask.device) < counts
        return cls(_where(mask.flatten()[tokens.places]), _where(grid.flatten()), (len(mask), most))


def missing_rows(rows: int, device: torch.device) -> int:
    """How many rows fill so many up to a multiple of ``ROWS_AT_ONCE``."""
    return -rows % ROWS_AT_ONCE.get(device.type, 1)


def _where(mask: torch.Tensor) -> torch.Tensor:
    return mask.nonzero().squeeze(1)


def gathered(rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """``rows[places]`` for places that occur once: its gradient is copied, where torch's own adds row by row."""
    found: torch.Tensor = _Gathered.apply(rows, places)
    return found


def scattered(rows: torch.Tensor, places: torch.Tensor, num_rows: int) -> torch.Tensor:
    """The other way round: rows at their places among zeros."""
    found: torch.Tensor = _Scattered.apply(rows, places, num_rows)
    return found


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(places)
        ctx.num_rows = len(rows)
        return rows[places]

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (places,) = ctx.saved_tensors
        return _among_zeros(grad, places, ctx.num_rows), None


class _Scattered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, places: torch.Tensor, num_rows: int) -> torch.Tensor:
        ctx.save_for_backward(places)
        return _among_zeros(rows, places, num_rows)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return grad[places], None, None


def _among_zeros(rows: torch.Tensor, places: torch.Tensor, num_rows: int) -> torch.Tensor:
    return rows.new_zeros(num_rows, *rows.shape[1:]).index_copy_(0, places, rows)
