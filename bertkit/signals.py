"""Ctrl-C, SIGTERM, SIGHUP and a batch system's SIGUSR1: training saves and ends, other commands leave nothing half-written."""

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
_NAMES = ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGINT")  # Windows has only the first and the last
_SAME_REQUEST_S = 2.0
"""A signal within so many seconds of the first is the same request: launchers pass on signals that a terminal or a batch
system has sent to all processes already."""
_TAKEN_OVER = (signal.SIG_DFL, signal.default_int_handler)


class BrokenOff(Exception):  # noqa: N818 (an ending, not an error)
    """A signal has interrupted an evaluation, between two batches."""


class StopRequest:
    """The handler of signals during training. ``signal_number`` is the signal that asked the run to stop; 0 for none.

    Args:
        answer: returns the line to print as soon as a signal arrives.
    """

    def __init__(self, answer: Callable[[], str]) -> None:
        self.signal_number = 0
        self._answer, self._came_at_s, self._process = answer, 0.0, os.getpid()

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if os.getpid() != self._process:  # this is a data worker, which ends when the run does
            return
        if not self.signal_number:
            self.signal_number, self._came_at_s = number, now_s
            with suppress(RuntimeError):  # raised if the signal arrived while something else was being printed
                console.note(self._answer())
        elif now_s - self._came_at_s > _SAME_REQUEST_S:
            signal.signal(number, signal.SIG_DFL)
            raise KeyboardInterrupt


@contextmanager
def stop_on_signals(answer: Callable[[], str]) -> Iterator[StopRequest]:
    """Notes signals in a ``StopRequest`` while the block runs, instead of ending the process.

    A signal that is ignored stays so: SIGHUP (``nohup``), or SIGINT (a script's ``bertkit … &``, for which Ctrl-C is not
    meant). A signal that the block did not react to before its end is raised again for the handler that was there before.
    In a thread, which gets no signals, nothing is noted.
    """
    request = StopRequest(answer)
    now = {number: signal.getsignal(number) for number in _numbers()} if _is_main_thread() else {}
    before = {number: handler for number, handler in now.items() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, request)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if request.signal_number:
        signal.raise_signal(request.signal_number)


class _Stop:
    """A signal handler that raises the exception which ends a command, and remembers it."""

    def __init__(self, then: str) -> None:
        self.raised: BaseException | None = None
        self._then, self._process = then, os.getpid()

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            os._exit(128 + number)  # a process that a library has forked, and which must not run bertkit's cleanup
        then = f"; {self._then}" if self._then else ""
        said = f"stopped by {signal.Signals(number).name}: nothing half-made was kept{then}"
        self.raised = KeyboardInterrupt() if number == signal.SIGINT else Interrupted(said, 128 + number)
        raise self.raised


@contextmanager
def stopped_cleanly(then: str = "") -> Iterator[None]:
    """Turns a signal that would end the process at once into an exception in the block.

    A library that is interrupted may raise another exception on its way out; it is replaced by the one of the signal.
    Signals that are ignored (``nohup``) or have a handler already keep it. In a thread, which gets no signals, nothing is
    done.

    Args:
        then: how to continue, for the message; the innermost such block decides.

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
def held_back(answer: str) -> Iterator[None]:
    """Delays a signal that would end the command until the end of the block, and says so at once.

    It is for compiled code that calls Python without checking for exceptions: it would crash, or go on without a result.

    Args:
        answer: The line that is printed when the first signal comes.
    """
    came, before = list[int](), _taken_over()

    def keep(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if len(came) == 1:
            with suppress(Exception):  # an exception here is what the block cannot take
                console.note(answer)

    for number in before:
        signal.signal(number, keep)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def answered_meanwhile(work: Callable[[], T], timeout_s: float | None = None) -> T:
    """Calls ``work`` in a thread and returns its result, as Python handles no signals during a long call of compiled code.

    If a signal or the timeout ends the waiting, the call goes on in the background until it or the process ends.

    Raises:
        TimeoutError: The call has not returned within ``timeout_s``.
    """
    result: Future[T] = Future()

    def do() -> None:
        try:
            result.set_result(work())
        except BaseException as error:
            result.set_exception(error)

    threading.Thread(target=do, daemon=True).start()
    return result.result(timeout_s)


def _taken_over() -> dict[signal.Signals, Any]:
    """The signals that would end this command, with their handlers, if these are Python's or bertkit's; none in a thread."""
    if not _is_main_thread():
        return {}
    now = {number: signal.getsignal(number) for number in _numbers()}
    return {number: had for number, had in now.items() if had in _TAKEN_OVER or isinstance(had, _Stop)}


def _is_main_thread() -> bool:
    """Python handles signals there alone."""
    return threading.current_thread() is threading.main_thread()


def _numbers() -> list[signal.Signals]:
    return [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
