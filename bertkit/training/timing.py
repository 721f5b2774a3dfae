"""Where the time of a run goes: steps, waiting for data, and pauses, in which no step is made."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timing:
    """The clocks of a run that trains.

    Args:
        seconds_before: of training, before a resume.
    """

    def __init__(self, seconds_before: float) -> None:
        now = time.monotonic()
        self._began_at_s = now - seconds_before
        self._step_began_at_s = self._interval_began_at_s = now
        self._interval_tokens, self._interval_waited_s = 0, 0.0

    @property
    def seconds(self) -> float:
        """Of training so far, pauses and resumes added up."""
        return time.monotonic() - self._began_at_s

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The block waits for data."""
        asked_at_s = time.monotonic()
        yield
        self._interval_waited_s += time.monotonic() - asked_at_s

    def step_made(self, tokens: int) -> float:
        """A step has ended: seconds since the one before it, without pauses."""
        now = time.monotonic()
        seconds = now - self._step_began_at_s
        self._step_began_at_s = now
        self._interval_tokens += tokens
        return seconds

    def interval(self) -> dict[str, float]:
        """``tokens_per_second`` of training alone and ``data_wait``, a share of the time, since it was last asked for."""
        now = time.monotonic()
        seconds = max(now - self._interval_began_at_s, 1e-9)
        figures = {"tokens_per_second": self._interval_tokens / seconds, "data_wait": self._interval_waited_s / seconds}
        self._interval_tokens, self._interval_began_at_s, self._interval_waited_s = 0, now, 0.0
        return figures

    def pause_since(self, began_at_s: float) -> float:
        """No step was made since then (by ``time.monotonic``); returns the seconds."""
        seconds = time.monotonic() - began_at_s
        self._step_began_at_s += seconds
        self._interval_began_at_s += seconds
        return seconds
