"""Ctrl-C, SIGTERM, SIGHUP and a batch system's SIGUSR1: a training saves and goes, all else leaves nothing half-made."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeVar

from bertkit import console
from bertkit.errors import Interrupted

T = TypeVar("T")
_NAMES = ("SIGTERM", "SIGHUP", "SIGUSR1")  # Windows has the first
_SAME_REQUEST_S = 2.0
"""A launcher passes on what the terminal or the batch system has sent to everyone: that is no second request."""
_TAKEN_OVER = (signal.SIG_DFL, signal.default_int_handler)


class BrokenOff(Exception):  # noqa: N818 (an ending, not an error)
    """An evaluation is left between two batches, as a signal came."""


class StopRequest:
    """Which signal has asked the run to stop: 0 none, else its number.

    Args:
        answer: what to say at once, when a signal comes.
    """

    def __init__(self, answer: Callable[[], str]) -> None:
        self.signal_number = 0
        self._answer, self._came_at_s, self._process = answer, 0.0, os.getpid()

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if os.getpid() != self._process:  # a data worker, which ends when the run does
            return
        if not self.signal_number:
            self.signal_number, self._came_at_s = number, now_s
            with suppress(RuntimeError):  # the signal came while something else was being printed
                console.note(self._answer())
        elif now_s - self._came_at_s > _SAME_REQUEST_S:
            signal.signal(number, signal.SIG_DFL)
            raise KeyboardInterrupt


@contextmanager
def stop_on_signals(answer: Callable[[], str]) -> Iterator[StopRequest]:
    """While the block runs, the signals are noted and answered instead of ending the process.

    SIGHUP stays ignored where it is (``nohup``). A signal to which the block has not come any more is passed on to the
    handler that was there before.
    """
    request = StopRequest(answer)
    numbers = _numbers()
    ours = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, request) for number in (*ours, signal.SIGINT)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if request.signal_number:
        signal.raise_signal(request.signal_number)


class _Stop:
    """Raises what ends a command, and keeps it."""

    def __init__(self, then: str) -> None:
        self.raised: BaseException | None = None
        self._then, self._process = then, os.getpid()

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            os._exit(128 + number)  # a process of a library's own, which is not to run our way out
        then = f"; {self._then}" if self._then else ""
        said = f"stopped by {signal.Signals(number).name}: nothing half-made was kept{then}"
        self.raised = KeyboardInterrupt() if number == signal.SIGINT else Interrupted(said, 128 + number)
        raise self.raised


@contextmanager
def stopped_cleanly(then: str = "") -> Iterator[None]:
    """While the block runs, a signal that would end the process at once is raised in it instead.

    A library that is left at any place may trip over its own way out: whatever it raises then is the same ending. A
    signal that is ignored (``nohup``) or has a handler already keeps it, and so do threads, which get none.

    Args:
        then: what to say of how to go on; within another such block this one's holds.

    Raises:
        Interrupted: with 128 and the signal's number as the exit code.
        KeyboardInterrupt: at Ctrl-C.
    """
    stop, before = _Stop(then), _taken_over()
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    except BaseException as error:
        well = isinstance(error, SystemExit) and not error.code
        if stop.raised is None or error is stop.raised or well:
            raise
        raise stop.raised from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """While the block runs, a signal that would end the command waits for the block's end.

    For compiled code that calls Python and does not look at what is raised there: it crashes, or goes on with what is none.
    """
    came, before = list[int](), _taken_over()
    for number in before:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def answered_meanwhile(work: Callable[[], T]) -> T:
    """What ``work`` returns. It is done in a thread, for Python hears no signal during a long call of compiled code.

    Where a signal ends the waiting, the call goes on unseen until it or the process ends.
    """
    result: Future[T] = Future()

    def do() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=do, daemon=True).start()
    return result.result()


def _taken_over() -> dict[signal.Signals, Any]:
    """The handlers of the signals that would end this command, where they are Python's or ours; none in a thread."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    now = {number: signal.getsignal(number) for number in (*_numbers(), signal.SIGINT)}
    return {number: had for number, had in now.items() if had in _TAKEN_OVER or isinstance(had, _Stop)}


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
