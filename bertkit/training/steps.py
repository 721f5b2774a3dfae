"""Which examples belong to which optimizer step, rank and micro-batch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from bertkit.errors import BertkitError
from bertkit.training.schedule import Course

Batch = dict[str, torch.Tensor]


class StepPlan(Protocol):
    """The data of a run as a pure function of the step: there is no sampler whose state could be lost."""

    total_steps: int
    course: Course
    """Where its steps stand in the schedule of the learning rate."""

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


class _Fetcher(Dataset[dict[str, np.ndarray] | BertkitError]):
    """Lets a DataLoader's workers call ``fetch``: its "index" is a list of references.

    A batch is sent as plain arrays, some 100 kB through a pipe: tensors would each take a file descriptor and shared
    memory, of which a container has little, and where there is none left a batch would be lost without an error.
    """

    def __init__(self, fetch: Callable[[Sequence[Any]], Batch]) -> None:
        self._fetch = fetch

    def __getitem__(self, references: Sequence[Any]) -> dict[str, np.ndarray] | BertkitError:
        try:
            return {name: tensor.numpy() for name, tensor in self._fetch(references).items()}
        except BertkitError as error:
            return error  # raised here, it would come to the other process with its traceback in its message


def _as_it_is(fetched: Any) -> Any:
    return fetched


@contextmanager
def _worker_errors(num_workers: int) -> Iterator[None]:
    """Turns the end of a data worker, and what keeps one from starting, into one line."""
    try:
        yield
    except (RuntimeError, OSError) as error:
        known = isinstance(error, OSError) or str(error).startswith(("DataLoader worker", "can't start new thread"))
        if not num_workers or not known:
            raise
        raise BertkitError(
            f"the {num_workers} data workers cannot go on ({' '.join(str(error).split())[:120]}): memory, processes or "
            "descriptors are short; --set train.num_workers=0 does their work in the run's own process, to the same bit"
        ) from error


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
        collate_fn=_as_it_is,
        prefetch_factor=4 if num_workers else None,
    )
    with _worker_errors(num_workers):
        fetched = iter(loader)

    def batch() -> Batch:
        with _worker_errors(num_workers):
            arrays = next(fetched)
        if isinstance(arrays, BertkitError):
            raise arrays
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        return {name: tensor.pin_memory() for name, tensor in tensors.items()} if pin_memory else tensors

    for step in range(first_step, plan.total_steps):
        yield [(batch(), bool(references)) for references in micro_batches(step)]
