"""Which rows of a padded batch are computed, and how rows are taken out of it and put back.

Shapes: B texts, T rows that are computed, W of them wanted by a head. An example: a text of three tokens and one of one (B =
2, longest = 3).

    mask   1 1 1     places of the      0 1 2     ``Layout.places`` is [0, 1, 2, 3], so T = 4: the tokens, text after text.
           1 . .     flattened batch    3 4 5     (With ``ROWS_AT_ONCE`` of 5 it is [0, 1, 2, 3, 4]: padding fills up.)

The last layer is wanted at few tokens only: here at the second and third of the first text, and the first of the other.

    mask   . 1 1     ``Wanted.rows`` is [1, 2, 3], so W = 3: which of the T rows these are.
           1 . .     ``Wanted.places`` is [0, 1, 2]: their places in the flattened grid ``[B, most]`` of queries, most = 2.
"""

from typing import Any, NamedTuple

import torch

ROWS_AT_ONCE = {"cpu": 64}
"""By device, a number of which the rows are a multiple, filled up with padding. oneDNN, which multiplies bf16 matrices on a
CPU, compiles a kernel for each number of rows that is new to it, in 0.7 ms, and a step would need some ten of them."""


class Layout(NamedTuple):
    """Which places of a padded batch ``[B, longest]`` are computed, and in which order."""

    mask: torch.Tensor
    """bool ``[B, longest]``: the places with a token."""
    places: torch.Tensor
    """int64 ``[T]``: the place of each row in the flattened batch. The tokens come first, text after text, and then some
    padding; or, where that would be nearly all, every place in order."""
    is_padded: bool
    """Whether there is padding in the batch."""

    @classmethod
    def of(cls, mask: torch.Tensor) -> "Layout":
        """The layout for a mask ``[B, longest]``."""
        places, size = _where(mask.flatten()), mask.numel()
        rows = len(places) + missing_rows(len(places), mask.device)
        if rows >= size:
            return cls(mask, torch.arange(size, device=mask.device), len(places) < size)
        padding = _where(~mask.flatten())[: rows - len(places)]
        return cls(mask, torch.cat([places, padding]), is_padded=True)

    @property
    def is_whole(self) -> bool:
        """Whether every place of the batch is computed."""
        return len(self.places) == self.mask.numel()

    @property
    def ends(self) -> torch.Tensor:
        """int32 ``[B + 1]``: 0, and then the row at which each text has ended."""
        return torch.nn.functional.pad(self.mask.sum(dim=1).cumsum(0, dtype=torch.int32), (1, 0))


class Wanted(NamedTuple):
    """Tokens whose last hidden state is wanted. As queries of the last layer they lie in a grid ``[B, most]``."""

    rows: torch.Tensor
    """int64 ``[W]``: which of the T rows they are."""
    places: torch.Tensor
    """int64 ``[W]``: their places in the flattened grid."""
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: torch.Tensor, tokens: Layout) -> "Wanted":
        """The wanted tokens of a bool mask ``[B, longest]``, which lies within the mask of ``tokens``."""
        counts = mask.sum(dim=1, keepdim=True)
        most = int(counts.max())
        grid = torch.arange(most, device=mask.device) < counts
        return cls(_where(mask.flatten()[tokens.places]), _where(grid.flatten()), (len(mask), most))


def missing_rows(rows: int, device: torch.device) -> int:
    """How many rows are missing to a multiple of ``ROWS_AT_ONCE``."""
    return -rows % ROWS_AT_ONCE.get(device.type, 1)


def _where(mask: torch.Tensor) -> torch.Tensor:
    return mask.nonzero().squeeze(1)


def gathered(rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """``rows[places]``, for places that differ: its gradient is one copy, where torch's own adds row by row."""
    taken: torch.Tensor = _Gathered.apply(rows, places)
    return taken


def scattered(rows: torch.Tensor, places: torch.Tensor, num_rows: int) -> torch.Tensor:
    """The inverse of ``gathered``: puts rows at their places in a tensor of ``num_rows`` rows, the others being zero."""
    spread: torch.Tensor = _Scattered.apply(rows, places, num_rows)
    return spread


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
