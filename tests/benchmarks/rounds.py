"""Contestants that take turns, so that what else the machine does meets all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bertkit import console

OURS = "bertkit"
LEAST_SECONDS = 1.0
"""Work that takes less is repeated within a turn."""


@dataclass(frozen=True)
class Turn:
    """One contestant's run: how much it did in which time.

    Attributes:
        units: tokens, examples, megabytes …
        seconds: of the work that was counted.
        waited_s: how much of them it waited for its next batch; None where it has none.
        memory_bytes: the most that its process has held so far; None where that was not looked at.
    """

    units: float
    seconds: float
    waited_s: float | None = None
    memory_bytes: int | None = None

    @property
    def speed(self) -> float:
        return self.units / self.seconds


@dataclass(frozen=True)
class Figure:
    """A contestant over all rounds.

    Attributes:
        speed: median of units a second.
        ratio: median over the rounds of the first contestant's speed divided by this one's, in the same round.
        ratio_low, ratio_high: the least and the greatest of them.
        waiting: share of the time in which it waited for its next batch.
        memory_bytes: the most that its process held.
        speeds: units a second of each round.
    """

    name: str
    speed: float
    ratio: float
    ratio_low: float
    ratio_high: float
    waiting: float | None = None
    memory_bytes: int | None = None
    speeds: tuple[float, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(contestants: Mapping[str, Callable[[], Turn]], rounds: int) -> list[Figure]:
    """Runs each contestant once a round, in order, and says how the first compares with the others."""
    turns: dict[str, list[Turn]] = {name: [] for name in contestants}
    with console.progress("measuring", rounds * len(contestants), "run") as line:
        for number in range(rounds):
            for place, (name, run) in enumerate(contestants.items(), 1):
                turns[name].append(run())
                line.update(number * len(contestants) + place, name)
    first = next(iter(turns.values()))
    return [figure(name, own, first) for name, own in turns.items()]


def figure(name: str, turns: Sequence[Turn], first: Sequence[Turn]) -> Figure:
    """A contestant's turns beside those of the first one in the same rounds."""
    speeds = tuple(turn.speed for turn in turns)
    ratios = [one.speed / speed for one, speed in zip(first, speeds, strict=True)]
    waits = [turn.waited_s for turn in turns if turn.waited_s is not None]
    return Figure(
        name,
        statistics.median(speeds),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        sum(waits) / sum(turn.seconds for turn in turns) if waits else None,
        max((turn.memory_bytes for turn in turns if turn.memory_bytes is not None), default=None),
        speeds,
    )


def repeated(work: Callable[[], object], units: float) -> Turn:
    """A turn of work over so many units, done again until it has taken long enough to be timed."""
    started_at_s, times = time.perf_counter(), 0
    while not times or time.perf_counter() - started_at_s < LEAST_SECONDS:
        work()
        times += 1
    return Turn(units * times, time.perf_counter() - started_at_s)
