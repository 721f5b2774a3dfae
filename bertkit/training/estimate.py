"""How long a run will take and how much memory it needs, from a step tried out beforehand."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from bertkit.training.steps import StepPlan, shares

if TYPE_CHECKING:
    from accelerate import Accelerator


MOMENTS_BYTES = 8
"""What AdamW keeps for each parameter; the pass that is tried out is made before there is an optimizer."""


def estimated_seconds(
    objective: nn.Module, plan: StepPlan, stretches: Sequence[range], accelerator: "Accelerator"
) -> float:
    """Seconds of training, from the forward and backward pass of one micro-batch in each stretch of like steps.

    The weights stay as they are: gradients are dropped, and what is random in a run is seeded by its steps.
    """
    objective.to(accelerator.device).train()
    seconds = 0.0
    for steps in stretches:
        references = plan.examples(steps.start)
        micro_batches = shares(
            references, accelerator.process_index, accelerator.num_processes, plan.micro_batch_size(steps.start)
        )
        batch = plan.fetch(micro_batches[0] or references[:1])
        _pass(objective, batch, accelerator)
        started_at_s = time.monotonic()
        _pass(objective, batch, accelerator)
        seconds += (time.monotonic() - started_at_s) * len(micro_batches) * len(steps)
    objective.zero_grad(set_to_none=True)
    return seconds


def _pass(objective: nn.Module, batch: dict[str, torch.Tensor], accelerator: "Accelerator") -> None:
    with accelerator.autocast():
        sums: dict[str, Any] = objective(**{name: tensor.to(accelerator.device) for name, tensor in batch.items()})
    torch.stack([value for name, value in sums.items() if name.endswith("loss")]).sum().backward()
    if accelerator.device.type == "cuda":
        torch.cuda.synchronize()


def peak_memory_bytes(device: torch.device) -> int | None:
    """The most memory this process has held so far, on its GPU or of the machine; None where unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
