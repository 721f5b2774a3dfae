"""Answers requests in batches: one thread computes, and each time takes all requests that have arrived meanwhile."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from bertkit.errors import BertkitError

T = TypeVar("T")
_AT_ONCE = 64
"""The most items in a batch. With more the first would wait for the last, and a CPU would be no faster."""
MOST_WAITING = 100_000
"""The most items that wait; further requests are refused, as they would hardly be answered in time."""


class BusyError(BertkitError):
    """More items are waiting than can be answered in time."""

    status = 503


class Batcher:
    """Answers items in batches. Its methods have to be called from the same event loop.

    Args:
        answered: given the kind of the items and the items, returns an answer or an exception for each; called in a thread
            of its own.
    """

    def __init__(self, answered: Callable[[str, Sequence[Any]], list[Any]]) -> None:
        self._answered = answered
        self._waiting: deque[tuple[str, Any, asyncio.Future[Any]]] = deque()
        self._thread = ThreadPoolExecutor(1, "bertkit-serve")
        self._works = False

    async def ask(self, kind: str, items: Sequence[Any]) -> list[Any]:
        """The answers to some items.

        Raises:
            BusyError: too many items are waiting.
            Exception: the exception of one of the items.
        """
        if len(self._waiting) + len(items) > MOST_WAITING:
            raise BusyError(
                f"{len(items):,} texts beside {len(self._waiting):,} that wait are more than {MOST_WAITING:,}: ask again "
                "later, or for fewer"
            )
        loop = asyncio.get_running_loop()
        futures = [loop.create_future() for _ in items]
        self._waiting.extend((kind, item, future) for item, future in zip(items, futures, strict=True))
        if not self._works:
            self._works = True
            self._task = loop.create_task(self._work())
        try:
            return list(await asyncio.gather(*futures))
        finally:
            for future in futures:  # after an exception nobody waits for the others
                future.cancel()

    def begin(self, function: Callable[[], T]) -> T:
        """Calls a function in the thread that computes, before there is an event loop, and returns its result.

        torch should compute in that thread only. OpenMP has worker threads for each thread that uses it. If there are those of
        a second thread, more than there are cores, all of them sleep while they wait, and a text of 32 tokens takes 8 ms on
        two cores instead of 4.
        """
        return self._thread.submit(function).result()

    async def run(self, function: Callable[[], Any]) -> Any:
        """Calls a function in the thread that computes, and returns its result."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def _work(self) -> None:
        try:
            while batch := self._next_batch():
                kind = batch[0][0]
                items = [item for _, item, _ in batch]
                try:
                    answers = await self.run(partial(self._answered, kind, items))
                except Exception as error:
                    answers = [error] * len(items)
                for (_, _, future), answer in zip(batch, answers, strict=True):
                    if future.done():  # the client has gone
                        continue
                    future.set_exception(answer) if isinstance(answer, Exception) else future.set_result(answer)
        finally:
            self._works = False

    def _next_batch(self) -> list[tuple[str, Any, asyncio.Future[Any]]]:
        """The items of one kind that have waited longest, without those that nobody waits for any more."""
        batch: list[tuple[str, Any, asyncio.Future[Any]]] = []
        while self._waiting and len(batch) < _AT_ONCE and (not batch or self._waiting[0][0] == batch[0][0]):
            one = self._waiting.popleft()
            if not one[2].done():
                batch.append(one)
        return batch
