"""Learning-rate schedules as pure functions of the optimizer step: there is no state to save."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bertkit import console

_TRAPEZOID_DECAY = 0.2
"""The share of the steps after the warm-up in which the trapezoid falls to zero."""


def _linear(done: float) -> float:
    return 1.0 - done


def _cosine(done: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * done))


def _constant(done: float) -> float:  # noqa: ARG001 (one signature for all)
    return 1.0


# A schedule maps the share of the steps after the warm-up that is done (0 to 1) to a factor of the peak rate. A new one
# is named here and in settings/schema.py.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": _linear,
    "cosine": _cosine,
    "constant": _constant,
    "trapezoid": lambda done: min(1.0, (1.0 - done) / _TRAPEZOID_DECAY),
}


def warmup_steps(warmup: float, total_steps: int) -> int:
    """The setting ``warmup`` in steps: below 1 it is a share of all steps, otherwise a number of steps."""
    return round(warmup * total_steps) if warmup < 1 else round(warmup)


def say_long_warmup(warmup: float, total_steps: int) -> None:
    """Warns where the warm-up takes the whole run or more, so that the learning rate does not get to its peak and down."""
    warm = warmup_steps(warmup, total_steps)
    if warm >= max(2, total_steps):
        console.warn(
            f"the warm-up is {warm:,} steps long (train.warmup) and the run {total_steps:,}: the learning rate only rises, to "
            f"{min(1, total_steps / warm):.0%} of its peak; --set train.warmup=0.06 makes it a share of the steps"
        )


def learning_rate(step: float, total_steps: int, peak: float, warmup: float, schedule: str) -> float:
    """The learning rate at an optimizer step: a linear warm-up to the peak, then the schedule.

    It equals ``transformers.get_linear_schedule_with_warmup``, except that the warm-up starts at one step's share of the
    peak and not at 0, which would waste the first step.

    Args:
        step: 0 to ``total_steps - 1``; with fractions where the run was fitted to its budget again (see ``Course``).
        total_steps: steps of the whole schedule.
        peak: the highest rate.
        warmup: as for ``warmup_steps``.
        schedule: a key of ``SCHEDULES``.
    """
    warm = warmup_steps(warmup, total_steps)
    if step < warm:
        return peak * min(
            1.0, (step + 1) / warm
        )  # a position with a fraction may stand between the last step and the end
    return peak * SCHEDULES[schedule]((step - warm) / max(1, total_steps - warm))


@dataclass(frozen=True)
class Course:
    """Where each step of a run stands in its schedule.

    Where steps take more or less time than planned, a run with a time budget changes its number of steps. The rest of
    the schedule is then stretched or shrunk to the new number: without a jump, and still down to its end.

    Example:
        >>> slower = Course(100, ((50, 75),))  # the second half in 25 steps
        >>> [slower.position(step) for step in (49, 50, 51, 75)]
        [49.0, 50.0, 52.0, 100.0]
    """

    planned_steps: int
    """Steps of the schedule: warm-up, learning rates and sequence lengths are functions of a position in it."""
    refits: Sequence[Sequence[int]] = ()
    """Changes of the number of steps, in order, as pairs: the first step that a change applies to, and the steps of the
    whole run from then on."""

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.refits[-1][1] if self.refits else self.planned_steps

    def position(self, step: int) -> float:
        """The position of a step (0 to ``total_steps``) in planned steps: the step itself where nothing was changed."""
        begun_at, first, end = 0.0, 0, self.planned_steps
        for since, total in self.refits:
            if step < since:
                break
            begun_at += (since - first) * (self.planned_steps - begun_at) / (end - first)
            first, end = since, total
        return begun_at + (step - first) * (self.planned_steps - begun_at) / (end - first)
