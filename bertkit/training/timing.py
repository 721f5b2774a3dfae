"""Where the time of a run goes: steps, waiting for data, and pauses (evaluations, checkpoints)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timing:
    """The clocks of a training run.

    Args:
        seconds_before: seconds of training before this resume; 0 for a new run.
    """

    def __init__(self, seconds_before: float) -> None:
        now = time.monotonic()
        self._began_at_s = now - seconds_before
        self._step_began_at_s = self._interval_began_at_s = now
        self._interval_tokens, self._interval_waited_s = 0, 0.0

    @property
    def seconds(self) -> float:
        """Seconds of training so far, with pauses, over all resumes."""
        return time.monotonic() - self._began_at_s

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Counts the time of the block as waiting for data."""
        asked_at_s = time.monotonic()
        yield
        self._interval_waited_s += time.monotonic() - asked_at_s

    def step_made(self, tokens: int) -> float:
        """Notes the end of a step with so many tokens; returns its seconds, without pauses."""
        now = time.monotonic()
        seconds = now - self._step_began_at_s
        self._step_began_at_s = now
        self._interval_tokens += tokens
        return seconds

    def interval(self) -> dict[str, float]:
        """``tokens_per_second`` without pauses, and ``data_wait`` as a share of the time, both since the last call."""
        now = time.monotonic()
        seconds = max(now - self._interval_began_at_s, 1e-9)
        figures = {"tokens_per_second": self._interval_tokens / seconds, "data_wait": self._interval_waited_s / seconds}
        self._interval_tokens, self._interval_began_at_s, self._interval_waited_s = 0, now, 0.0
        return figures

    def pause_since(self, began_at_s: float) -> float:
        """Notes that no step was made since ``began_at_s`` (by ``time.monotonic``); returns the seconds since then."""
        seconds = time.monotonic() - began_at_s
        self._step_began_at_s += seconds
        self._interval_began_at_s += seconds
        return seconds
