"""What is kept of a step whose gradient is no number, for a person to study."""

import json
from pathlib import Path

from safetensors.torch import save

from bertkit.io.atomic import disk_errors
from bertkit.training.steps import StepPlan

NAME = "not-finite-step-"


def kept_for_study(out: Path, plan: StepPlan, step: int) -> Path:
    """Writes the whole batch of a step, and which examples it is of, into the run's folder.

    The file holds the batch's tensors under their names; its metadata has, under ``examples``, the indices that the
    plan's ``fetch`` takes, as JSON.
    """
    references = plan.examples(step)
    path = out / f"{NAME}{step + 1}.safetensors"
    with disk_errors(path):
        path.write_bytes(save(plan.fetch(references), {"examples": json.dumps(references)}))
    return path
