"""Gradients that are infinite or NaN: the batch is saved for study, and the run ends or the step is skipped.

A run that ends in such weights or held-out losses is not called finished.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save
from torch import nn

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.atomic import disk_errors
from bertkit.settings.schema import TrainSettings
from bertkit.training.steps import StepPlan
from bertkit.training.sums import Sums, reduced

if TYPE_CHECKING:
    from accelerate import Accelerator

_MOST_REFUSED_IN_A_ROW = 10
"""After so many steps in a row without a finite gradient the run ends even where it may skip: not single batches but the
weights are to blame."""
_MOST_SCALED_DOWN_IN_A_ROW = 50
"""The same for fp16, whose scaler starts at 65,536 and halves at each such step until it finds a scale that works."""


class Health:
    """Watches whether a run's gradients are finite.

    Args:
        out: the run's folder.
        plan: its steps.
        settings: with ``skip_nonfinite_steps`` a bad step is skipped, else it ends the run.
        accelerator: knows the ranks and fp16's gradient scaler.
    """

    def __init__(self, out: Path, plan: StepPlan, settings: TrainSettings, accelerator: "Accelerator") -> None:
        self._out, self._plan, self._settings, self._accelerator = out, plan, settings, accelerator
        self._skipped_in_a_row = 0
        self._skips_this = False

    def allows(self, step: int, sums: Sums, counts: dict[str, float], grad_norm: float) -> bool:
        """Whether the optimizer may use the gradient of a step (counted from 0); all ranks ask together.

        Raises:
            BertkitError: the gradient is not finite, and the step may not be skipped.
        """
        self._skips_this = not math.isfinite(grad_norm)
        if not self._skips_this or self._accelerator.scaler is not None:  # the scaler skips such a step by itself
            return True
        kept = kept_for_study(self._out, self._plan, step) if self._accelerator.is_main_process else None
        totals = reduced(self._accelerator, sums)
        parts = ", ".join(f"{name} {value:g}" for name, value in totals.items() if name.endswith("loss"))
        what = f"the gradient of step {step + 1} is {grad_norm} (summed {parts} over {counts}; its batch: {kept})"
        lower = f"lower --lr (now {self._settings.learning_rate:g}) or use --mixed-precision no"
        if not self._settings.skip_nonfinite_steps:
            raise BertkitError(
                f"{what}: {lower}; where one bad batch is to blame, --resume with --set train.skip_nonfinite_steps=true goes on "
                "without it"
            )
        if self._skipped_in_a_row + 1 >= _MOST_REFUSED_IN_A_ROW:
            raise BertkitError(
                f"{what}, as in the {self._skipped_in_a_row} steps before it, which were skipped: {lower}"
            )
        console.warn(f"{console.plain(what)}: skipped")
        return False

    def skipped(self, step: int) -> bool:
        """Whether the step that was just made changed nothing; fp16's gradient scaler skips some steps by itself.

        Raises:
            BertkitError: the scaler no longer finds a scale that works.
        """
        # Accelerate's own ``optimizer_step_was_skipped`` stays False with a fused AdamW, which skips inside of its step.
        self._skipped_in_a_row = self._skipped_in_a_row + 1 if self._skips_this else 0
        if self._accelerator.scaler is not None and self._skipped_in_a_row >= _MOST_SCALED_DOWN_IN_A_ROW:
            raise BertkitError(
                f"fp16 found no finite gradient in the {self._skipped_in_a_row} steps up to {step + 1}: lower --lr (now "
                f"{self._settings.learning_rate:g}) or use --mixed-precision bf16 or no"
            )
        return self._skips_this


def check_not_diverged(objective: nn.Module, figures: Mapping[str, float], step: int, settings: TrainSettings) -> None:
    """Refuses the end of a run whose model is of no use, before its last checkpoint is written.

    Args:
        objective: the objective with all of its weights.
        figures: those of the evaluation at the end; empty where nothing is held out.
        step: steps that are done.
        settings: the run's.

    Raises:
        BertkitError: a weight or a held-out loss is infinite or NaN.
    """
    bad = [name for name, value in figures.items() if name.endswith("loss") and not math.isfinite(value)]
    bad += [name for name, weight in objective.named_parameters() if not torch.isfinite(weight).all()]
    if bad:
        raise BertkitError(
            f"the training has diverged: after its last step, {step:,}, {bad[0]} is not finite; lower --lr (now "
            f"{settings.learning_rate:g}) and start anew with --overwrite"
        )


def kept_for_study(out: Path, plan: StepPlan, step: int) -> Path:
    """Writes the whole batch of a step into the run's folder; returns the path.

    The file holds the batch's tensors under their names. Its metadata has, under ``examples``, the references to the
    examples that the plan's ``fetch`` takes, as JSON.
    """
    references = plan.examples(step)
    path = out / f"not-finite-step-{step + 1}.safetensors"
    with disk_errors(path):
        path.write_bytes(save(plan.fetch(references), {"examples": json.dumps(references)}))
    return path
