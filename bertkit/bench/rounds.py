"""Contestants that take turns, so that what else the machine does meets all of them alike."""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bertkit import console


@dataclass(frozen=True)
class Turn:
    """One contestant's run: how much it did in which time."""

    units: float
    seconds: float

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
    """

    name: str
    speed: float
    ratio: float
    ratio_low: float
    ratio_high: float

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
    figures = []
    for name, own in turns.items():
        ratios = [one.speed / other.speed for one, other in zip(first, own, strict=True)]
        speed = statistics.median(turn.speed for turn in own)
        figures.append(Figure(name, speed, statistics.median(ratios), min(ratios), max(ratios)))
    return figures
