"""When a run will end, and how a time budget is kept.

The first estimate comes from steps that are tried out before the run; the steps that the run makes then correct it.
"""

from collections import deque
from collections.abc import Mapping
from typing import Protocol

from bertkit import console
from bertkit.settings.schema import MOST_STEPS, TrainSettings
from bertkit.training import ranks
from bertkit.training.schedule import Course
from bertkit.training.step_cost import StepCost
from bertkit.training.steps import StepPlan

_CORRECTED_AFTER = 50
"""Steps that the pace is measured over. With fewer, one slow step would count too much; with more, the pace would lag."""
_SETTLING = 2
"""First steps that are not measured: they allocate the memory that later steps use again."""
_WORTH_SAYING = 0.1
_WORTH_SAYING_S = 60.0
"""A forecast that was wrong by less than this share, or by less than these seconds, is corrected without a message: the
progress line shows the time that is left anyway."""
_LOOKS = 100
"""How many times in a run the steps that are left are compared with the budget."""
_KEPT_WITHIN = 0.02
"""The share of the budget by which the forecast may miss it before the number of steps is fitted again."""


class PhasedPlan(StepPlan, Protocol):
    """A plan in phases of similar steps, whose number of steps can be changed during the run."""

    def phase(self, step: int) -> int:
        """The number of the phase that a step belongs to."""

    def stretches(self) -> list[range]:
        """The steps of each phase, without the phases that have none."""

    def refit(self, course: Course) -> None:
        """Changes how many steps are left."""


class Forecast:
    """How long a run is expected to take.

    Args:
        plan: the steps of the run.
        costs: the cost of a step by phase; a phase that is not listed costs as much as the nearest one that is.
        settings: how often the run evaluates and saves.
        evaluation_examples: sequences in one evaluation. Each takes a third of the time of a trained one, as there is no
            backward pass.
        budget_s: seconds of training after which the run should end; None where the number of steps was given instead.
    """

    def __init__(
        self,
        plan: PhasedPlan,
        costs: Mapping[int, StepCost],
        settings: TrainSettings,
        evaluation_examples: int,
        budget_s: float | None = None,
    ) -> None:
        self.plan, self._costs, self._settings, self._budget_s = plan, costs, settings, budget_s
        self._evaluation_steps = evaluation_examples / settings.batch_size / 3
        self._save_s = 0.0
        planned = plan.course.planned_steps
        self._enough = min(_CORRECTED_AFTER, max(2 * _SETTLING, planned // 20))
        self._look_every = max(1, planned // _LOOKS)
        self._recent: deque[tuple[float, float]] = deque(maxlen=self._enough - _SETTLING)
        self._steps_made, self._pace, self._is_refit_told = 0, 1.0, False

    def cost(self, step: int) -> StepCost:
        """The cost that was expected of a step."""
        phase = self.plan.phase(step)
        return self._costs[min(self._costs, key=lambda known: abs(known - phase))]

    def step_made(self, step: int, seconds: float) -> None:
        """Learns from a step that took so many seconds; a note says where the first steps were far off the forecast."""
        self._steps_made += 1
        if self._steps_made <= _SETTLING:
            return
        self._recent.append((self.cost(step).seconds, seconds))
        if self._steps_made >= self._enough:
            expected, measured = map(sum, zip(*self._recent, strict=True))
            self._pace = measured / expected
        if self._steps_made == _CORRECTED_AFTER and self._budget_s is None:
            self._say_correction(self.seconds_left(step + 1))

    def _say_correction(self, left_s: float) -> None:
        if abs(self._pace - 1) > _WORTH_SAYING and abs(left_s - left_s / self._pace) > _WORTH_SAYING_S:
            console.note(
                f"after {_CORRECTED_AFTER} steps, which took {self._pace:.2g} times what was expected: "
                f"about {console.duration(left_s)} more, until {console.clock(left_s)}"
            )

    def evaluation_took(self, step: int, seconds: float) -> None:
        """Learns how long an evaluation takes, as a multiple of the steps around it."""
        self._evaluation_steps = seconds / (self.cost(step).seconds * self._pace)

    def save_took(self, seconds: float) -> None:
        """Learns how long a checkpoint takes."""
        self._save_s = seconds

    def seconds_left(self, steps_done: int) -> float:
        """Seconds from a step to the end of the run, with evaluations and checkpoints."""
        left = self.plan.total_steps - steps_done
        return left * self._seconds_a_step(steps_done) + self._seconds_at_the_end() if left > 0 else 0.0

    def steps_within(self, seconds: float, steps_done: int) -> int:
        """How many more steps fit into so many seconds, 1 to ``MOST_STEPS``; the phases keep their shares of what is left."""
        steps = int((seconds - self._seconds_at_the_end()) / self._seconds_a_step(steps_done))
        return min(max(1, steps), MOST_STEPS)

    def new_total(self, steps_done: int, seconds_spent: float) -> int | None:
        """The number of steps with which the whole run keeps its budget; None where it stays as it is.

        All ranks get the same number. A note is printed once, the first time that it differs by a tenth from what was planned:
        a busy machine changes its pace all the time.
        """
        is_due = self._steps_made >= self._enough and steps_done % self._look_every == 0
        if self._budget_s is None or not is_due or steps_done >= self.plan.total_steps:
            return None
        total = self.plan.total_steps
        left_s = self._budget_s - seconds_spent
        if abs(self.seconds_left(steps_done) - left_s) > _KEPT_WITHIN * self._budget_s:
            total = steps_done + self.steps_within(left_s, steps_done)
        total = ranks.from_main(total)
        if total == self.plan.total_steps:
            return None
        planned = self.plan.course.planned_steps
        if not self._is_refit_told and abs(total / planned - 1) > _WORTH_SAYING:
            console.note(
                f"step {steps_done:,}: a step takes {self._pace:.2g} times what was expected: {total:,} steps in place of "
                f"{planned:,}, so that the run ends as --budget says, at {console.clock(max(0.0, left_s))}; metrics.jsonl has "
                "each further change"
            )
            self._is_refit_told = True
        return total

    def _seconds_a_step(self, steps_done: int) -> float:
        """The mean time of the steps that are left, with each step's share of the evaluations and checkpoints."""
        stretches = [range(max(steps.start, steps_done), steps.stop) for steps in self.plan.stretches()]
        seconds = sum(self.cost(steps.start).seconds * len(steps) for steps in stretches if steps)
        seconds *= self._pace / sum(map(len, stretches))
        eval_steps = self._settings.eval_steps
        with_evaluations = seconds * (1 + self._evaluation_steps / eval_steps) if eval_steps else seconds
        return with_evaluations + self._save_s / self._settings.save_steps

    def _seconds_at_the_end(self) -> float:
        """The time of what follows the last step: an evaluation, a checkpoint, and the model."""
        return self._evaluation_steps * self.cost(self.plan.total_steps).seconds * self._pace + 2 * self._save_s
