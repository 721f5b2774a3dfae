"""SIGTERM and SIGHUP while something is made: nothing half-made is left, as after Ctrl-C."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bertkit.errors import Interrupted

_NAMES = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


@contextmanager
def stopped_cleanly() -> Iterator[None]:
    """While the block runs, a signal that would end the process at once is raised in it instead.

    A signal that is ignored (``nohup``) or has a handler already keeps it, and so do threads, which get none.

    Raises:
        Interrupted: with 128 and the signal's number as the exit code.
    """
    ours = []
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
        ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _raise)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _raise(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(f"stopped by {signal.Signals(number).name}: nothing half-made was kept", 128 + number)
