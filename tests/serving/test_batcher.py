"""Batches: who asks meanwhile is answered together, in order, and nobody gets another's answer."""

import asyncio
import threading

import pytest

from bertkit.serving import batcher as module
from bertkit.serving.batcher import Batcher, BusyError


def run(answered, ask):
    async def all_of_it():
        return await ask(Batcher(answered))

    return asyncio.run(all_of_it())


def test_what_comes_while_it_computes_is_one_batch_and_kinds_stay_apart():
    seen = []

    def answered(kind, items):
        seen.append((kind, len(items)))
        return [f"{kind} {item}" for item in items]

    async def ask(batcher):
        return await asyncio.gather(*(batcher.ask("a" if n < 90 else "b", [n, -n]) for n in range(100)))

    assert run(answered, ask) == [
        [f"{'a' if n < 90 else 'b'} {n}", f"{'a' if n < 90 else 'b'} {-n}"] for n in range(100)
    ]
    # All 200 items wait when the thread first looks.
    assert seen == [("a", 64), ("a", 64), ("a", 52), ("b", 20)]


def test_an_exception_is_of_who_asked_for_it():
    async def ask(batcher):
        return await asyncio.gather(*(batcher.ask("a", [n]) for n in range(3)), return_exceptions=True)

    error = ValueError("1")
    assert run(lambda _, items: [error if item == 1 else item for item in items], ask) == [[0], error, [2]]


def test_what_nobody_waits_for_is_not_computed():
    seen, asked, left = [], threading.Event(), threading.Event()

    def answered(_, items):
        asked.set()
        left.wait(60)
        seen.extend(items)
        return list(items)

    async def ask(batcher):
        first = asyncio.create_task(batcher.ask("a", [1]))
        await asyncio.to_thread(asked.wait, 60)
        gone = asyncio.create_task(batcher.ask("a", [2]))
        await asyncio.sleep(0)  # it waits now
        gone.cancel()
        left.set()
        return await first, await batcher.ask("a", [3])

    assert run(answered, ask) == ([1], [3])
    assert seen == [1, 3]


def test_of_a_request_that_failed_nothing_more_is_computed():
    seen = []

    def answered(_, items):
        seen.extend(items)
        return [ValueError("0") if item == 0 else item for item in items]

    async def ask(batcher):
        with pytest.raises(ValueError, match="0"):
            await batcher.ask("a", range(1_000))
        return await batcher.ask("a", [-1])

    assert run(answered, ask) == [-1]
    assert seen == [*range(128), -1]  # the first batch, in which it failed, and the second, which had begun by then


def test_a_thread_that_fails_answers_with_it_and_goes_on():
    calls = []

    def answered(_, items):
        calls.append(items)
        if len(calls) == 1:
            raise MemoryError
        return items

    async def ask(batcher):
        with pytest.raises(MemoryError):
            await batcher.ask("a", [1])
        return await batcher.ask("a", [2])

    assert run(answered, ask) == [2]


def test_more_than_can_wait_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MOST_WAITING", 3)

    async def ask(batcher):
        return await batcher.ask("a", [1, 2, 3, 4])

    with pytest.raises(BusyError, match="4 texts beside 0 that wait are more than 3"):
        run(lambda _, items: items, ask)


def test_a_model_is_opened_in_the_thread_that_will_ask_it():
    batcher = Batcher(lambda _, items: [threading.get_ident() for _ in items])
    opened_in = batcher.begin(threading.get_ident)
    assert opened_in != threading.get_ident()
    assert asyncio.run(batcher.ask("", [1])) == [opened_in]
