"""Ctrl-C, SIGTERM, SIGHUP and a batch system's SIGUSR1: finish the step, save, go; a second one ends at once."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from bertkit import console

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")  # Windows has the first two
_SAME_REQUEST_S = 2.0
"""A launcher passes on what the terminal or the batch system has sent to everyone: that is no second request."""


class StopRequest:
    """Which signal has asked the run to stop: 0 none, else its number.

    Args:
        answer: what to say at once, when a signal comes.
    """

    def __init__(self, answer: Callable[[], str]) -> None:
        self.signal_number = 0
        self._answer, self._came_at_s = answer, 0.0

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        now_s = time.monotonic()
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

    SIGHUP stays ignored where it is (``nohup``).
    """
    request = StopRequest(answer)
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    ignored = {number for number in numbers if signal.getsignal(number) is signal.SIG_IGN} - {signal.SIGINT}
    before = {number: signal.signal(number, request) for number in numbers if number not in ignored}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
