"""What arrives together is answered together: one thread computes, and takes at a time all that has come meanwhile."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from bertkit.errors import BertkitError

T = TypeVar("T")
_AT_ONCE = 64
"""Items. More would make the first wait for the last, and a CPU no faster."""
MOST_WAITING = 100_000
"""Items; beyond it a request is refused, as it would hardly be answered in time."""


class BusyError(BertkitError):
    """More waits than can be answered in time."""

    status = 503


class Batcher:
    """Answers items in batches. Its methods are of one event loop.

    Args:
        answered: of the kind of item and the items, an answer or an exception each; called in a thread of its own.
    """

    def __init__(self, answered: Callable[[str, Sequence[Any]], list[Any]]) -> None:
        self._answered = answered
        self._waiting: deque[tuple[str, Any, asyncio.Future[Any]]] = deque()
        self._thread = ThreadPoolExecutor(1, "bertkit-serve")
        self._works = False
        self.batches = 0
        """Computed so far."""

    async def ask(self, kind: str, items: Sequence[Any]) -> list[Any]:
        """The answers of some items.

        Raises:
            BusyError: too many wait.
            Exception: what one of the items raised.
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
        return list(await asyncio.gather(*futures))

    def begin(self, function: Callable[[], T]) -> T:
        """What it returns: the first work of the thread that computes, before there is a loop.

        torch is to compute in that thread alone. The OpenMP of a thread has helpers of its own, and where those of another
        are there beside them, more than there are cores, each waits for its work asleep: a text of 32 tokens takes 8 ms on two
        cores in place of 4.
        """
        return self._thread.submit(function).result()

    async def run(self, function: Callable[[], Any]) -> Any:
        """Something else, in the thread that computes."""
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
                self.batches += 1
                for (_, _, future), answer in zip(batch, answers, strict=True):
                    if future.done():  # who asked has gone
                        continue
                    future.set_exception(answer) if isinstance(answer, Exception) else future.set_result(answer)
        finally:
            self._works = False

    def _next_batch(self) -> list[tuple[str, Any, asyncio.Future[Any]]]:
        """What has waited longest, of one kind, without what nobody waits for any more."""
        batch: list[tuple[str, Any, asyncio.Future[Any]]] = []
        while self._waiting and len(batch) < _AT_ONCE and (not batch or self._waiting[0][0] == batch[0][0]):
            one = self._waiting.popleft()
            if not one[2].done():
                batch.append(one)
        return batch
