"""What people read: results on stdout, notes and progress on stderr, and only from the main process."""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class _Stdout(Console):
    def on_broken_pipe(self) -> None:
        """Leaves it to ``reader_may_leave``: rich would end with exit code 1."""
        raise BrokenPipeError


out = _Stdout(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
PLAIN_LINE_EVERY_S = 10.0


def is_main_process() -> bool:
    """Whether this process speaks for the run (rank 0, or no ranks at all)."""
    return int(os.environ.get("RANK", "0")) == 0


def is_local_main_process() -> bool:
    """Whether this process does the work that is needed once per machine."""
    return int(os.environ.get("LOCAL_RANK", os.environ.get("RANK", "0"))) == 0


def plain(text: str) -> str:
    """Text from outside made safe to show: no terminal control characters, no Rich markup."""
    return escape(_CONTROL.sub("\ufffd", text))


def note(message: str, markup: bool = True) -> None:
    """Prints a line of information on stderr (with Rich's markup, unless switched off)."""
    if is_main_process():
        err.print(message, markup=markup)


def warn(message: str) -> None:
    """Prints a warning on stderr, in plain words, after ``warning:``."""
    if is_main_process():
        err.print(f"[yellow]warning:[/] {message}")


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Ends quietly when the reader of stdout (`head`, say) has what it wanted."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # A flush at exit would only raise once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


class ProgressLine:
    """One piece of long work: a bar on a terminal, a plain line every ten seconds in a log file."""

    def __init__(self, label: str, total: float | None, unit: str, done: float = 0) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = self._done_at_start = done
        self._started_at_s = self._last_line_at_s = time.monotonic()
        self._detail = ""
        self._bar: Progress | None = None
        if is_main_process() and err.is_terminal:
            columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[detail]}")]
            self._bar = Progress(*columns, TimeRemainingColumn(), console=err, transient=True)
            self._task = self._bar.add_task(label, total=total, detail="")
            self._bar.update(self._task, completed=done)
            self._bar.start()

    def update(self, done: float, detail: str = "") -> None:
        """Sets how much is done, in ``unit``s, and what to say beside it (until something else is said)."""
        self.done, self._detail = done, detail or self._detail
        elapsed_s = time.monotonic() - self._started_at_s
        speed = (done - self._done_at_start) / elapsed_s if elapsed_s > 0 else 0.0
        text = f"{self._amount()} · {speed:,.1f} {self.unit}/s" + (f" · {self._detail}" if self._detail else "")
        if self._bar is not None:
            self._bar.update(self._task, completed=done, detail=text)
        elif is_main_process() and time.monotonic() - self._last_line_at_s >= PLAIN_LINE_EVERY_S:
            self._last_line_at_s = time.monotonic()
            left = (self.total - done) / speed if self.total and speed > 0 else None
            print(
                f"{self.label}: {text}" + (f" · {duration(left)} left" if left else ""),
                file=sys.stderr,
                flush=True,
            )

    def _amount(self) -> str:
        return f"{self.done:,.0f}" + (f"/{self.total:,.0f}" if self.total else "") + f" {self.unit}"

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextmanager
def progress(label: str, total: float | None, unit: str, done: float = 0) -> Iterator[ProgressLine]:
    """Shows progress while the block runs. ``total`` may be unknown; ``unit`` is what is counted."""
    line = ProgressLine(label, total, unit, done)
    try:
        yield line
    finally:
        line.close()


def duration(seconds: float) -> str:
    """Seconds as people say them: ``42 s``, ``3 min 10 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
