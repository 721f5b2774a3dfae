"""Learning-rate schedules as pure functions of the optimizer step: no state to save, none to lose."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_TRAPEZOID_DECAY = 0.2
"""The share of the run in which the trapezoid comes down."""


def _linear(done: float) -> float:
    return 1.0 - done


def _cosine(done: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * done))


def _constant(done: float) -> float:  # noqa: ARG001 (one signature for all)
    return 1.0


# To add a schedule: a function of the share of the steps after the warm-up that is done, and its name here
# and in settings.schema.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": _linear,
    "cosine": _cosine,
    "constant": _constant,
    "trapezoid": lambda done: min(1.0, (1.0 - done) / _TRAPEZOID_DECAY),
}


def warmup_steps(warmup: float, total_steps: int) -> int:
    """The setting ``warmup`` in steps: below 1 it is a share of all steps, else a number of them."""
    return round(warmup * total_steps) if warmup < 1 else round(warmup)


def learning_rate(step: float, total_steps: int, peak: float, warmup: float, schedule: str) -> float:
    """The rate of optimizer step ``step`` (0 … total_steps - 1; of a re-fitted run a position between two).

    Linear warm-up to the peak, then the schedule; as ``transformers.get_linear_schedule_with_warmup`` counts,
    but that the warm-up starts at one step's worth and not at 0, which would waste the first step.
    """
    warm = warmup_steps(warmup, total_steps)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * SCHEDULES[schedule]((step - warm) / max(1, total_steps - warm))


@dataclass(frozen=True)
class Course:
    """Where each step of a run stands in its schedule.

    A run whose steps take longer, or less long, than its budget was planned with is re-fitted on the way: what is left of
    the schedule is then gone through in another number of steps, without a jump, and still to its end.

    Example:
        >>> slower = Course(100, ((50, 75),))  # the second half in 25 steps
        >>> [slower.position(step) for step in (49, 50, 51, 75)]
        [49.0, 50.0, 52.0, 100.0]
    """

    planned_steps: int
    """Of the schedule: warm-up, rates and lengths are functions of a position in it."""
    refits: Sequence[Sequence[int]] = ()
    """Pairs of the first step that one counts for and the steps of the whole run from then on, in order."""

    @property
    def total_steps(self) -> int:
        """Of the run."""
        return self.refits[-1][1] if self.refits else self.planned_steps

    def position(self, step: int) -> float:
        """Where step ``step`` (0 … total_steps) stands, in planned steps: ``step`` itself where nothing was re-fitted."""
        begun_at, first, end = 0.0, 0, self.planned_steps
        for since, total in self.refits:
            if step < since:
                break
            begun_at += (since - first) * (self.planned_steps - begun_at) / (end - first)
            first, end = since, total
        return begun_at + (step - first) * (self.planned_steps - begun_at) / (end - first)
