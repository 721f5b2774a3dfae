"""Output for people: results on stdout, notes and progress on stderr; of several ranks only the main process prints."""

import functools
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.util import find_spec
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from bertkit.launcher import is_main_process

# A token of the Hugging Face hub, by itself or in the header of a request.
_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{8,}|(?<=Bearer )[^\s'\"]{8,}")
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def masked(text: str) -> str:
    """The text with the hub's tokens blanked out: a server may send them back, and a library quote them in a message."""
    known = [os.environ.get(name, "") for name in _TOKEN_VARIABLES]
    hub = sys.modules.get("huggingface_hub")  # if it was not loaded, no token was sent
    known.append((hub.get_token() or "") if hub else "")
    for token in known:
        if len(token) >= 8:  # replacing a shorter one could change words
            text = text.replace(token, "<token>")
    return _TOKEN.sub("<token>", text)


def one_line(error: BaseException) -> str:
    """The message of an error, shortened to one line, and without tokens."""
    return " ".join(masked(str(error)).split())[:200].rstrip(" .") or type(error).__name__


class _Clean(Console):
    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        # On a terminal rich wraps long lines between words. In a file or a pipe a message stays one line.
        self.soft_wrap = not self.is_terminal

    def render_str(self, text: str, **how: Any) -> Text:
        """As in rich, which also uses it for the cells of tables, but without tokens and control characters."""
        return super().render_str(_harmless(masked(text)), **how)


class _Stdout(_Clean):
    def on_broken_pipe(self) -> None:
        """Lets ``reader_may_leave`` handle this, instead of ending the program with exit code 1 as rich does."""
        raise BrokenPipeError


# Without emoji, so that ":cat:" in a text stays as it is.
out = _Stdout(highlight=False, emoji=False)
err = _Clean(stderr=True, highlight=False, emoji=False)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
PLAIN_LINE_EVERY_S = 10.0
_A_DAY_S = 86_400
_SHORTEST_BAR = 10
"""The least width of a progress bar, in columns."""


def plain(text: str) -> str:
    """Text from outside that is safe to print: without control characters, and with Rich's markup escaped."""
    return escape(_harmless(text))


def _harmless(text: str) -> str:
    return _CONTROL.sub("\ufffd", text)


def counted(n: int, one: str, more: str) -> str:
    """A number with the words behind it, whose form goes by it.

    Example:
        >>> counted(1, "row is cut", "rows are cut"), counted(2000, "row is cut", "rows are cut")
        ('1 row is cut', '2,000 rows are cut')
    """
    return f"{n:,} {one if n == 1 else more}"


def listed(names: Sequence[str], most: int) -> str:
    """The first names of a list, and whether there are more.

    Example:
        >>> listed(["a", "b"], 2), listed(["a", "b", "c"], 2)
        ('a, b', 'a, b, …')
    """
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def note(message: str, markup: bool = True) -> None:
    """Prints a line of information on stderr; ``markup`` is whether it may contain Rich's markup."""
    if _kept is not None:
        _kept.append(message if markup else escape(message))
    elif is_main_process():
        err.print(message, markup=markup)


def hanging(prefix: str, text: str) -> None:
    """Prints a text with Rich's markup behind a prefix; on a terminal further lines are indented by the prefix's width."""
    whole = Text.from_markup(text, emoji=False)
    lines = whole.wrap(out, max(1, out.width - len(prefix))) if out.is_terminal else [whole]
    for number, line in enumerate(lines):
        out.print(Text.assemble(" " * len(prefix) if number else prefix, line))


def command(line: str) -> None:
    """Prints a command on stderr to be copied: on one line, however long."""
    if is_main_process():
        err.print(f"  {line}", markup=False, soft_wrap=True)


def warn(message: str) -> None:
    """Prints a warning on stderr, after ``warning:``."""
    note(f"[yellow]warning:[/] {message}")


@functools.cache
def note_once(message: str) -> None:
    """Prints a line of information, without markup, unless this process has printed the same line before."""
    note(plain(message))


_kept: list[str] | None = None


@contextmanager
def kept() -> Iterator[list[str]]:
    """Collects notes and warnings while the block runs, for another process to print; shows no progress meanwhile."""
    global _kept
    before, _kept = _kept, []
    try:
        yield _kept
    finally:
        _kept = before


def print_path(path: os.PathLike[str]) -> None:
    """Prints a path on stdout, on one line: as it is for a program, and without control characters on a terminal."""
    name = os.fspath(path)
    sys.stdout.write((_harmless(name) if sys.stdout.isatty() else name) + "\n")


def print_json(value: object, indent: int | None = None) -> None:
    """Prints JSON on stdout, on one line unless ``indent`` is given; in ASCII if the encoding of stdout is not UTF-8.

    Characters that control a terminal, and lone surrogates, are written as escapes: a program reads the same from them.
    """
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    text = json.dumps(value, ensure_ascii=not is_utf8, indent=indent)
    sys.stdout.write(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


class ProgressLine:
    """The progress of long work: a bar on a terminal, a plain line every ten seconds in a log file."""

    def __init__(self, label: str, total: float | None, unit: str, done: float = 0) -> None:
        self.label, self.total, self.unit = _harmless(label), total, unit
        self.done = self._done_at_start = done
        self._started_at_s = self._last_line_at_s = time.monotonic()
        self._detail = ""
        self._bar: Progress | None = None
        if _shows_progress() and _shows_bars():
            columns = [
                TextColumn(one, markup=False)
                for one in ("{task.description}", "{task.fields[detail]}", "{task.fields[left]}")
            ]
            self._bar = Progress(columns[0], BarColumn(None), *columns[1:], console=err, transient=True, expand=True)
            self._task = self._bar.add_task(self.label, total=total, detail="", left="")
            self._bar.update(self._task, completed=done)
            self._bar.start()

    def update(self, done: float, detail: str = "", left_s: float | None = None) -> None:
        """Shows how much is done.

        Args:
            done: in ``unit``s.
            detail: text beside the bar; it stays until there is another one.
            left_s: seconds to the end, if there is a better estimate than the speed so far.
        """
        self.done, self._detail = done, _harmless(detail) or self._detail
        elapsed_s = time.monotonic() - self._started_at_s
        speed = (done - self._done_at_start) / elapsed_s if elapsed_s > 0 else 0.0
        if left_s is None and self.total and speed > 0:
            left_s = max(0.0, self.total - done) / speed
        parts = [self._amount(), f"{speed:,.1f} {self.unit}/s", *(self._detail.split(" · ") if self._detail else ())]
        left = "" if left_s is None else f"{duration(left_s)} left"
        if self._bar is not None:
            room = err.width - len(self.label) - len(left) - _SHORTEST_BAR - 3  # three blanks between the parts
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
    """As many of the parts as fit into ``room`` columns, from the first on. None is cut: a cut number would be wrong."""
    shown = parts[0]
    for part in parts[1:]:
        if len(shown) + 3 + len(part) > room:
            break
        shown += f" · {part}"
    return shown


def _shows_progress() -> bool:
    return is_main_process() and _kept is None


def _shows_bars() -> bool:
    """Whether progress is shown as a bar: on a terminal, and in a notebook that has the widgets for it."""
    return err.is_terminal or (err.is_jupyter and find_spec("ipywidgets") is not None)


@contextmanager
def progress(label: str, total: float | None, unit: str, done: float = 0) -> Iterator[ProgressLine]:
    """Shows progress while the block runs.

    Args:
        label: what is being done.
        total: the number of units; None if it is unknown.
        unit: what is counted, such as "step".
        done: how many units are done at the start.
    """
    line = ProgressLine(label, total, unit, done)
    try:
        yield line
    finally:
        line.close()


def duration(seconds: float) -> str:
    """Seconds written for people: ``42 s``, ``3 min 10 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def in_millions(count: float) -> str:
    """A number of parameters, such as ``6.5M``; below a tenth of a million in full."""
    return f"{count / 1e6:,.1f}M" if count >= 1e5 else f"{count:,}"


def clock(seconds_from_now: float) -> str:
    """The time of day after so many seconds, such as ``16:40``; more than a day away with the date, and farther with the year."""
    then = datetime.now() + timedelta(seconds=seconds_from_now)
    if seconds_from_now < _A_DAY_S:
        return then.strftime("%H:%M")
    return then.strftime("%d %B, %H:%M" if seconds_from_now < 300 * _A_DAY_S else "%d %B %Y")
