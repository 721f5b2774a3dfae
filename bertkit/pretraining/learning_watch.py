"""Warns if a run is not learning, or learns its text by heart."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.pretraining.baselines import Unigrams

if TYPE_CHECKING:
    from bertkit.training.steps import StepPlan

_RISE = 0.2
"""Nats. All evaluations hide the same words, so that the loss hardly differs between them by chance."""


class LearningWatch:
    """Warns, once, if a run is not learning, or learns its text by heart.

    Args:
        baseline: of the held-out text.
        plan: the steps of the run.
        first_of_mix: the name of the text whose epochs are those of the plan, where it is one of several.
    """

    def __init__(self, baseline: Unigrams, plan: "StepPlan", first_of_mix: str = "") -> None:
        self._baseline, self._plan = baseline, plan  # the steps of the plan may change during the run
        self._counted = f"of which it has read {console.plain(first_of_mix)}" if first_of_mix else "which it has read"
        self._best: dict[int, tuple[float, int]] = {}  # evaluation length → least loss, step
        self._told = False

    def remember(self, logged: Iterable[dict[str, Any]]) -> None:
        """Takes up the evaluations that a run made before it was interrupted; lines with anything else are passed over."""
        for values in logged:
            loss = values.get("eval_mlm_loss")
            if isinstance(loss, int | float) and isinstance(values.get("max_seq_length"), int):
                self._least(loss, values)

    def _least(self, loss: float, values: dict[str, Any]) -> tuple[float, int]:
        """The least loss of this length up to now, and after how many steps it was reached."""
        length, step = values["max_seq_length"], values["step"]
        self._best[length] = min(self._best.get(length, (loss, step)), (loss, step))
        return self._best[length]

    def __call__(self, values: dict[str, Any]) -> None:
        loss, step = values.get("eval_mlm_loss"), values["step"]
        if loss is None:
            return
        best, best_step = self._least(loss, values)
        if self._told or step < max(200, 0.5 * self._plan.total_steps):
            return
        if loss > best + _RISE:
            self._told = True
            console.warn(
                f"the held-out MLM loss was {best:.2f} after {best_step:,} steps and is {loss:.2f} after {step:,}: the model "
                f"learns its text by heart, {self._counted} {self._plan.epoch(step):,.0f} times. More text helps most, or "
                f"fewer steps (--max-steps {best_step})"
            )
        elif not loss <= self._baseline.entropy - 0.05:
            self._told = True
            console.warn(
                f"not learning yet: the held-out MLM loss is {loss:.2f} after {step:,} steps, and knowing only "
                f"how often each word piece occurs gives {self._baseline.entropy:.2f}. Usual causes: too few steps, "
                "a learning rate too low (or so high that it diverged), dropout in a small model, many duplicate lines "
                "(bertkit inspect shows them)"
            )
