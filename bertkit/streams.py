"""stdin, stdout and stderr that are closed, full, or read by a program that has ended."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def open_streams() -> None:
    """Makes stdin, stdout and stderr usable, however this process was started.

    A stream that was closed is None in Python, and its file descriptor would be given to the next file that is opened:
    whatever is printed would end in that file. Such a stdin or stdout is replaced by one that refuses to be read or
    written, and stderr by one that drops everything. An open stderr drops everything from its first failure on.
    Characters that the encoding of stdout lacks are written as escapes.
    """
    closed = {"stdin": (0, os.O_WRONLY, "r"), "stdout": (1, os.O_RDONLY, "w"), "stderr": (2, os.O_WRONLY, "w")}
    for name, (number, access, mode) in closed.items():
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, access)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        heard = io.BufferedWriter(_Unfailing(sys.stderr.fileno(), "wb", closefd=False))
        sys.stderr = io.TextIOWrapper(heard, sys.stderr.encoding, "backslashreplace", line_buffering=True)


class _Unfailing(io.FileIO):
    """A file for messages that drops everything from its first failure on, so that the work goes on.

    Writing fails if the terminal was closed, if Ctrl-C has ended a ``| tee`` as well, or if the disk of a log is full.
    """

    def write(self, said: Any) -> int:
        try:
            return super().write(said)
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return len(said)


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Ends the block without an error when the reader of stdout, such as `head`, has closed it."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_stdout()
        sys.exit(0)


def abandon_stdout() -> None:
    """Drops what was not written to stdout yet: Python's flush at exit would only raise the same error again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
