"""What people read: results on stdout, notes and progress on stderr, and only from the main process."""

import functools
import io
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.util import find_spec
from textwrap import wrap
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from bertkit.errors import BertkitError

# Of the Hugging Face hub, and what a request carries one as.
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}|(?<=Bearer )[^\s'\"]{8,}")
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def masked(text: str) -> str:
    """Text without tokens of the hub: a server may send them back, and a library put them into its message."""
    known = [os.environ.get(name, "") for name in _TOKEN_VARIABLES]
    hub = sys.modules.get("huggingface_hub")  # where it was not loaded no token was sent
    known.append((hub.get_token() or "") if hub else "")
    for token in known:
        if len(token) >= 8:  # a shorter one would black out words
            text = text.replace(token, "<token>")
    return _TOKEN.sub("<token>", text)


def one_line(error: BaseException) -> str:
    """What an error says, short, on one line, and without tokens."""
    return " ".join(masked(str(error)).split())[:200].rstrip(" .") or type(error).__name__


class _Clean(Console):
    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        # A terminal would break a long line within a word. In a file or a pipe a message stays one line.
        self.soft_wrap = not self.is_terminal

    def render_str(self, text: str, **how: Any) -> Text:
        """As rich does it (for the cells of tables too), without tokens and the control characters of a terminal."""
        return super().render_str(_CONTROL.sub("\ufffd", masked(text)), **how)


class _Stdout(_Clean):
    def on_broken_pipe(self) -> None:
        """Leaves it to ``reader_may_leave``: rich would end with exit code 1."""
        raise BrokenPipeError


# No emoji: ":cat:" in a text stays as it is.
out = _Stdout(highlight=False, emoji=False)
err = _Clean(stderr=True, highlight=False, emoji=False)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
PLAIN_LINE_EVERY_S = 10.0
_A_DAY_S = 86_400
_SHORTEST_BAR = 10
"""Columns."""


def is_main_process() -> bool:
    """Whether this process speaks for the run (rank 0, or no ranks at all)."""
    return _number("RANK") == 0


def is_local_main_process() -> bool:
    """Whether this process does the work that is needed once per machine."""
    return _number("LOCAL_RANK" if "LOCAL_RANK" in os.environ else "RANK") == 0


def check_ranks() -> None:
    """Raises a BertkitError where what a launcher says of this process's place among the ranks is no number."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        _number(name)


def _number(name: str) -> int:
    said = os.environ.get(name, "0")
    if not said.strip().isdecimal():
        raise BertkitError(
            f"the environment's {name} is '{said}', but must be a number: unset it, or start by torchrun or accelerate"
        )
    return int(said)


def plain(text: str) -> str:
    """Text from outside made safe to show: no terminal control characters, no Rich markup."""
    return escape(_CONTROL.sub("\ufffd", text))


def note(message: str, markup: bool = True) -> None:
    """Prints a line of information on stderr (with Rich's markup, unless switched off)."""
    if _kept is not None:
        _kept.append(message if markup else escape(message))
    elif is_main_process():
        err.print(message, markup=markup)


def hanging(text: str, indent: int) -> None:
    """Prints a text on stdout, of which what does not fit a line of the terminal goes on below, indented."""
    lines = wrap(text, out.width, subsequent_indent=" " * indent) if out.is_terminal else [text]
    for line in lines:
        out.print(plain(line))


def command(line: str) -> None:
    """Prints a command line on stderr, as one line however long: to be copied."""
    if is_main_process():
        err.print(f"  {line}", markup=False, soft_wrap=True)


def warn(message: str) -> None:
    """Prints a warning on stderr, in plain words, after ``warning:``."""
    note(f"[yellow]warning:[/] {message}")


@functools.cache
def note_once(message: str) -> None:
    """Prints a line of information, text from outside as it is, unless this process has said the very same."""
    note(plain(message))


_kept: list[str] | None = None


@contextmanager
def kept() -> Iterator[list[str]]:
    """While the block runs, notes and warnings are kept for another process to say, and no progress is shown."""
    global _kept
    before, _kept = _kept, []
    try:
        yield _kept
    finally:
        _kept = before


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Ends quietly when the reader of stdout (`head`, say) has what it wanted."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        abandon_stdout()
        sys.exit(0)


def print_json(value: object, indent: int | None = None) -> None:
    """A line of JSON on stdout (several with ``indent``): as UTF-8, and in ASCII where stdout is something else."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(value, ensure_ascii=not is_utf8, indent=indent)
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")


def open_streams() -> None:
    """Makes stdin, stdout and stderr what all code relies on, however this process was started.

    A stream that was closed would be None here, and its number that of the next file that is opened: what is printed
    would go into that. It becomes one that refuses to be read or written, and stderr one that swallows all. What the
    encoding of stdout lacks is written as an escape.
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


def abandon_stdout() -> None:
    """Lets go of what was not written: Python's flush at exit would only raise once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class ProgressLine:
    """A long work: a bar on a terminal, a plain line every ten seconds in a log file."""

    def __init__(self, label: str, total: float | None, unit: str, done: float = 0) -> None:
        self.label, self.total, self.unit = label, total, unit
        self.done = self._done_at_start = done
        self._started_at_s = self._last_line_at_s = time.monotonic()
        self._detail = ""
        self._bar: Progress | None = None
        if _shows_progress() and _shows_bars():
            columns = [
                TextColumn(one) for one in ("{task.description}", "{task.fields[detail]}", "{task.fields[left]}")
            ]
            self._bar = Progress(columns[0], BarColumn(None), *columns[1:], console=err, transient=True, expand=True)
            self._task = self._bar.add_task(label, total=total, detail="", left="")
            self._bar.update(self._task, completed=done)
            self._bar.start()

    def update(self, done: float, detail: str = "", left_s: float | None = None) -> None:
        """Sets how much is done, in ``unit``s, and what to say beside it (until something else is said).

        Args:
            left_s: seconds to the end, where more is known of them than the speed so far.
        """
        self.done, self._detail = done, detail or self._detail
        elapsed_s = time.monotonic() - self._started_at_s
        speed = (done - self._done_at_start) / elapsed_s if elapsed_s > 0 else 0.0
        if left_s is None and self.total and speed > 0:
            left_s = max(0.0, self.total - done) / speed
        parts = [self._amount(), f"{speed:,.1f} {self.unit}/s", *(self._detail.split(" · ") if self._detail else ())]
        left = "" if left_s is None else f"{duration(left_s)} left"
        if self._bar is not None:
            room = err.width - len(self.label) - len(left) - _SHORTEST_BAR - 3  # blanks between them
            shown = _first_that_fit(parts, room)
            self._bar.update(self._task, total=self.total, completed=done, detail=shown, left=left)
        elif _shows_progress() and time.monotonic() - self._last_line_at_s >= PLAIN_LINE_EVERY_S:
            self._last_line_at_s = time.monotonic()
            print(f"{self.label}: " + " · ".join([*parts, *([left] if left else [])]), file=sys.stderr, flush=True)

    def _amount(self) -> str:
        return f"{self.done:,.0f}" + (f"/{self.total:,.0f}" if self.total else "") + f" {self.unit}"

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _first_that_fit(parts: list[str], room: int) -> str:
    """As many of them, from the first on, as a line has columns for: a number that is cut would be another number."""
    shown = parts[0]
    for part in parts[1:]:
        if len(shown) + 3 + len(part) > room:
            break
        shown += f" · {part}"
    return shown


def _shows_progress() -> bool:
    return is_main_process() and _kept is None


def _shows_bars() -> bool:
    """On a terminal, and in a notebook that has the widgets for it."""
    return err.is_terminal or (err.is_jupyter and find_spec("ipywidgets") is not None)


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


def clock(seconds_from_now: float) -> str:
    """The time of day that it will be then, with the date where that is over a day away: ``16:40``."""
    then = datetime.now() + timedelta(seconds=seconds_from_now)
    return then.strftime("%H:%M" if seconds_from_now < _A_DAY_S else "%d %B, %H:%M")
