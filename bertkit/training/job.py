"""What the training loop is given: a model with its loss, the data, the settings and the folder."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import nn

from bertkit.settings.schema import TrainSettings
from bertkit.training.steps import Batch, StepPlan

if TYPE_CHECKING:
    from bertkit.training.forecast import Forecast


class Objective(Protocol):
    """A model with its loss, as the loop needs it: an ``nn.Module`` whose forward pass returns sums, not means.

    ``forward(**batch)`` returns scalar tensors. For each part ``p`` of the loss (such as "mlm") there is ``p_loss``, the
    loss summed over the tokens or rows that ``counts(batch)["p"]`` counts, and optionally ``p_correct``, the number of
    right predictions among them. A loss with a single part may use "" as its name (``loss``, ``correct``).
    """

    def counts(self, batch: Batch) -> dict[str, float]:
        """For each part of the loss, what its sum is divided by; known before the forward pass."""


@dataclass(frozen=True)
class Job:
    """One run of the training loop."""

    objective: nn.Module
    """The model with its loss, an ``Objective``."""
    plan: StepPlan
    settings: TrainSettings
    out: Path
    save_model: Callable[[Any, Path], None]
    """Writes a model (``objective.model``, with all of its weights) and its tokenizer into a folder."""
    evaluate: Callable[[Any, int, Callable[[], None]], dict[str, float]] | None = None
    """Returns the figures of an evaluation, whose names begin with ``eval_``. Its arguments are the objective with all of
    its weights; the number of steps done; and a function to call before each batch, on all ranks alike, which raises
    ``BrokenOff`` where a signal has asked the run to stop."""
    watch: Callable[[dict[str, Any]], None] = lambda _: None
    """Called with each object that goes into metrics.jsonl, to warn of what looks wrong."""
    forecast: "Forecast | None" = None
    """Estimates how long the run takes, and keeps its time budget."""
    better: Callable[[dict[str, float]], float] | None = None
    """Returns the figure by which the best checkpoint is chosen (higher is better), given those of an evaluation."""
    patience: int | None = None
    """The run ends early after so many evaluations in a row without a better figure."""
    rate_factors: Mapping[str, float] = field(default_factory=dict)
    """Factors of the learning rate by parameter name; parameters that are not named have 1."""
