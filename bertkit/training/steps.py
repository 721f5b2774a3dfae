"""Which examples belong to which optimizer step, rank and micro-batch, and their loading in worker processes."""

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
    """The data of a run as a pure function of the step, so that there is no sampler whose state must be saved."""

    total_steps: int
    course: Course
    """Where the steps stand in the learning-rate schedule."""

    def examples(self, step: int) -> Sequence[Any]:
        """References to the examples of an optimizer step, in order, for all ranks together."""

    def fetch(self, references: Sequence[Any]) -> Batch:
        """Makes a batch of the examples that these references name; called in the data workers."""

    def epoch(self, step: int) -> float:
        """How many passes over the data are done before a step."""

    def micro_batch_size(self, step: int) -> int:
        """How many sequences a device computes at a time in a step."""


def shares(references: Sequence[Any], rank: int, ranks: int, micro_batch_size: int) -> list[Sequence[Any]]:
    """The examples of one rank in a step, cut into micro-batches.

    Each rank takes every ``ranks``-th example: so the ranks differ by one example at most, and examples that are sorted
    by length are shared evenly. All ranks get the same number of micro-batches, of which the last may be empty: with
    sharded weights all ranks take part in every forward pass.
    """
    mine = references[rank::ranks]
    longest = -(-len(references) // ranks)
    return [mine[i : i + micro_batch_size] for i in range(0, longest, micro_batch_size)]


class _Fetcher(Dataset[dict[str, np.ndarray] | BertkitError]):
    """Lets a DataLoader's workers call ``fetch``: each "index" is a list of references.

    A batch comes back as plain arrays, some 100 kB through a pipe. Tensors would each take a file descriptor and shared
    memory, of which a container has little; where none is left, a batch would be lost without an error.
    """

    def __init__(self, fetch: Callable[[Sequence[Any]], Batch]) -> None:
        self._fetch = fetch

    def __getitem__(self, references: Sequence[Any]) -> dict[str, np.ndarray] | BertkitError:
        try:
            return {name: tensor.numpy() for name, tensor in self._fetch(references).items()}
        except BertkitError as error:
            return error  # if it were raised here, the main process would get it with a traceback in its message


def _as_it_is(fetched: Any) -> Any:
    return fetched


@contextmanager
def _worker_errors(num_workers: int) -> Iterator[None]:
    """Turns the failure of a data worker, at its start or later, into a BertkitError."""
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
    """For each step from ``first_step`` on, this rank's micro-batches, as pairs (batch, whether it counts).

    In the place of an empty micro-batch stands the step's first example, which then does not count.
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
