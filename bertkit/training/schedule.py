"""Learning-rate schedules as pure functions of the optimizer step: no state to save, none to lose."""

import math
from collections.abc import Callable

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


def learning_rate(step: int, total_steps: int, peak: float, warmup: float, schedule: str) -> float:
    """The rate of optimizer step ``step`` (0 … total_steps - 1).

    Linear warm-up to the peak, then the schedule; as ``transformers.get_linear_schedule_with_warmup`` counts,
    but that the warm-up starts at one step's worth and not at 0, which would waste the first step.
    """
    warm = warmup_steps(warmup, total_steps)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * SCHEDULES[schedule]((step - warm) / max(1, total_steps - warm))
