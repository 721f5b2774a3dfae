"""Which examples belong to which optimizer step, rank and micro-batch."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from bertkit.errors import BertkitError

Batch = dict[str, torch.Tensor]


class StepPlan(Protocol):
    """The data of a run as a pure function of the step: there is no sampler whose state could be lost."""

    total_steps: int

    def examples(self, step: int) -> Sequence[Any]:
        """References to the examples of optimizer step ``step``, of all ranks together, in order."""

    def fetch(self, references: Sequence[Any]) -> Batch:
        """The collated batch of some examples; runs in the data workers."""

    def epoch(self, step: int) -> float:
        """Passes over the data that are done before this step."""

    def micro_batch_size(self, step: int) -> int:
        """Sequences a device computes at a time in this step."""


def shares(references: Sequence[Any], rank: int, ranks: int, micro_batch_size: int) -> list[Sequence[Any]]:
    """One rank's part of a step, cut into micro-batches.

    Ranks take every ``ranks``-th example, so that their parts differ by one at most and sequences sorted by
    length are shared evenly. All ranks get as many micro-batches, of which one may be empty: where the weights
    are sharded, every forward pass is one that all take part in.
    """
    mine = references[rank::ranks]
    longest = -(-len(references) // ranks)
    return [mine[i : i + micro_batch_size] for i in range(0, longest, micro_batch_size)]


class _Fetcher(Dataset):
    """Lets a DataLoader's workers call ``fetch``: its "index" is a list of references."""

    def __init__(self, fetch: Callable[[Sequence[Any]], Batch]) -> None:
        self._fetch = fetch

    def __getitem__(self, references: Sequence[Any]) -> Batch | BertkitError:
        try:
            return self._fetch(references)
        except (
            BertkitError
        ) as error:  # raised here, it would come to the other process with its traceback in its message
            return error


def _whole(batch: Batch | BertkitError) -> Batch:
    if isinstance(batch, BertkitError):
        raise batch
    return batch


def step_batches(
    plan: StepPlan, first_step: int, rank: int, ranks: int, num_workers: int, pin_memory: bool
) -> Iterator[list[tuple[Batch, bool]]]:
    """For each step from ``first_step`` on, this rank's micro-batches as (batch, whether it counts).

    An empty share is stood in for by the step's first example, which then does not count.
    """

    def micro_batches(step: int) -> list[Sequence[Any]]:
        return shares(plan.examples(step), rank, ranks, plan.micro_batch_size(step))

    def order() -> Iterator[Sequence[Any]]:
        for step in range(first_step, plan.total_steps):
            for references in micro_batches(step):
                yield references or plan.examples(step)[:1]

    loader = DataLoader(
        _Fetcher(plan.fetch),
        sampler=order(),
        batch_size=None,
        num_workers=num_workers,
        pin_memory=pin_memory,
        prefetch_factor=4 if num_workers else None,
    )
    fetched = iter(loader)
    for step in range(first_step, plan.total_steps):
        yield [(_whole(next(fetched)), bool(references)) for references in micro_batches(step)]
