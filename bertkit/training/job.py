"""What the loop is given: a model with its loss, what it is trained on, and where it goes."""

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
    """A model with its loss, as the loop needs it: an ``nn.Module`` whose forward returns sums, not means.

    ``forward(**batch)`` returns scalar tensors: for each part ``p`` of the loss ``p_loss``, summed over what
    ``counts(batch)[p]`` counts, and optionally ``p_correct``, the number of right predictions among them. A loss
    of one part may call it "" (``loss``, ``correct``).
    """

    def counts(self, batch: Batch) -> dict[str, float]: ...


@dataclass(frozen=True)
class Job:
    """What is to be trained, on what, and where it goes."""

    objective: nn.Module
    """An ``Objective``."""
    plan: StepPlan
    settings: TrainSettings
    out: Path
    save_model: Callable[[Any, Path], None]
    """Writes the model (``objective.model``, whole) and its tokenizer into a folder."""
    evaluate: Callable[[Any, int, Callable[[], None]], dict[str, float]] | None = None
    """(the objective, whole; steps done; what to call before each batch, on all ranks alike: it raises where the
    evaluation is to be left) → figures whose names begin with ``eval_``."""
    watch: Callable[[dict[str, Any]], None] = lambda _: None
    """Sees each object of metrics.jsonl; for warnings in plain words."""
    forecast: "Forecast | None" = None
    """Of the time that the run takes; it keeps a budget."""
    better: Callable[[dict[str, float]], float] | None = None
    """The figure of an evaluation by which the best checkpoint is kept (higher is better)."""
    patience: int | None = None
    """Evaluations without a better figure after which the run ends early."""
    rate_factors: Mapping[str, float] = field(default_factory=dict)
    """Of parameters of the model, by name, what the learning rate is multiplied by."""
