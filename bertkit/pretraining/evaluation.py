"""Held-out loss and accuracy in pretraining, and the baselines to compare them with."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit import console

if TYPE_CHECKING:
    from accelerate import Accelerator

    from bertkit.pretraining.dataset import EvaluationSet
    from bertkit.training.steps import StepPlan

_RISE = 0.2
"""Nats. All evaluations hide the same words, so that the loss hardly differs between them by chance."""


@dataclass(frozen=True)
class Unigrams:
    """The figures of models that ignore the context of tokens.

    Attributes:
        entropy: nats per token: the loss of a model that knows only how often each token occurs.
        most_frequent: the share of the most frequent token, which is the accuracy of always guessing it.
    """

    entropy: float
    most_frequent: float


def unigrams(token_counts: np.ndarray, special: list[int]) -> Unigrams:
    """Computes ``Unigrams`` over the tokens that can be predicted.

    Args:
        token_counts: how often each token occurs, int64 ``[vocabulary]``.
        special: ids that are never predicted.
    """
    counts = np.array(token_counts, dtype=np.float64)
    counts[special] = 0
    shares = counts[counts > 0] / max(1.0, counts.sum())
    return Unigrams(float(-(shares * np.log(shares)).sum()), float(shares.max(initial=0.0)))


class Evaluator:
    """Evaluates a pretraining objective on the held-out examples, with all ranks, and each example exactly once."""

    def __init__(
        self,
        accelerator: "Accelerator",
        sets: "Callable[[int], EvaluationSet]",
        max_seq_length: Callable[[int], int],
        micro_batch_size: Callable[[int], int],
    ) -> None:
        self._accelerator, self._sets = accelerator, sets
        self._max_seq_length, self._micro_batch_size = max_seq_length, micro_batch_size

    def __call__(
        self, objective: Any, steps_done: int, between: Callable[[], object] = lambda: None
    ) -> dict[str, float]:
        """``eval_loss``, ``eval_mlm_loss``, ``eval_nsp_loss``, both accuracies and ``eval_perplexity``.

        Args:
            objective: the model with its loss.
            steps_done: optimizer steps that are done; they decide the sequence length.
            between: called before each batch, equally often on all ranks; an exception in it ends the evaluation.
        """
        import torch
        from accelerate.utils import gather_object

        from bertkit.training.sums import means

        length = self._max_seq_length(max(0, steps_done - 1))
        examples, size = self._sets(length), self._micro_batch_size(length)
        accelerator = self._accelerator
        mine = range(accelerator.process_index, len(examples), accelerator.num_processes)
        sums: dict[str, float] = {}
        with torch.inference_mode(), accelerator.autocast():
            for begin in range(0, -(-len(examples) // accelerator.num_processes), size):
                between()
                if begin >= len(mine):  # another rank has one example more
                    continue
                batch = examples.fetch(mine[begin : begin + size])
                counts = {f"{part}_count": n for part, n in objective.counts(batch).items()}
                batch = {name: tensor.to(accelerator.device) for name, tensor in batch.items()}
                for name, value in {**objective(**batch), **counts}.items():
                    sums[name] = sums.get(name, 0.0) + float(value)
        # A rank may have no examples at all.
        totals: dict[str, float] = {}
        for part in gather_object([sums]):
            totals = {name: totals.get(name, 0.0) + value for name, value in part.items()} | (
                totals if not part else {}
            )
        counted = {name[:-6]: totals.pop(name) for name in list(totals) if name.endswith("_count")}
        figures = {f"eval_{name}": value for name, value in means(totals, counted).items()}
        if (loss := figures.get("eval_mlm_loss")) is not None:
            figures["eval_perplexity"] = math.exp(min(loss, 700))
        return {**figures, "max_seq_length": length}


class LearningWatch:
    """Warns, once, if a run is not learning, or learns its text by heart."""

    def __init__(self, baseline: Unigrams, plan: "StepPlan") -> None:
        self._baseline, self._plan = baseline, plan  # the steps of the plan may change during the run
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
                f"learns its text by heart, which it has read {self._plan.epoch(step):,.0f} times. More text helps most, or "
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
