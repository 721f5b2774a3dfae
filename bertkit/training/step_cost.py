"""What a run's steps cost, from steps tried out beforehand: seconds, memory, and how much fits into it."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from accelerate.utils import broadcast_object_list
from torch import nn

from bertkit.training.steps import Batch, StepPlan, shares

if TYPE_CHECKING:
    from accelerate import Accelerator

MOMENTS_BYTES = 8
"""What AdamW keeps for each parameter; the passes that are tried out are made before there is an optimizer."""
_TRIED_FOR_S = 1.0
_BEYOND_THE_PASSES = 1.05
"""Optimizer, clipping and checkpoints: 3 to 5 % of a step of recipe tiny on two CPU cores."""
_MEMORY_SHARE = 0.9
"""Of a GPU's memory: the rest is for what differs from step to step."""


class StepCost(NamedTuple):
    """What one optimizer step of a stretch of like steps costs."""

    steps: range
    seconds: float
    tokens: float
    """Real ones, of all ranks."""


def step_costs(
    objective: nn.Module, plan: StepPlan, stretches: Sequence[range], accelerator: "Accelerator"
) -> list[StepCost]:
    """The cost of a step in each stretch, from forward and backward passes over one micro-batch; rank 0's for all.

    The weights stay as they are: gradients are dropped, and what is random in a run is seeded by its steps.
    """
    objective.to(accelerator.device).train()
    costs = []
    for steps in stretches:
        references = plan.examples(steps.start)
        micro_batches = shares(
            references, accelerator.process_index, accelerator.num_processes, plan.micro_batch_size(steps.start)
        )
        asked_at_s = time.monotonic()
        batch = plan.fetch(micro_batches[0] or references[:1])
        fetched_in_s = time.monotonic() - asked_at_s
        tokens_a_sequence = int(batch["attention_mask"].sum()) / len(batch["attention_mask"])
        seconds = (fetched_in_s + _seconds_a_pass(objective, batch, accelerator)) * len(micro_batches)
        costs.append(StepCost(steps, seconds * _BEYOND_THE_PASSES, tokens_a_sequence * len(references)))
    objective.zero_grad(set_to_none=True)
    if accelerator.num_processes > 1:
        broadcast_object_list(costs)
    return costs


def _seconds_a_pass(objective: nn.Module, batch: Batch, accelerator: "Accelerator") -> float:
    _pass(objective, batch, accelerator)
    started_at_s, passes = time.monotonic(), 0
    while passes < 2 or time.monotonic() - started_at_s < _TRIED_FOR_S:
        _pass(objective, batch, accelerator)
        passes += 1
    return (time.monotonic() - started_at_s) / passes


def _pass(objective: nn.Module, batch: Batch, accelerator: "Accelerator") -> None:
    with accelerator.autocast():
        sums: dict[str, Any] = objective(**{name: tensor.to(accelerator.device) for name, tensor in batch.items()})
    torch.stack([value for name, value in sums.items() if name.endswith("loss")]).sum().backward()
    if accelerator.device.type == "cuda":
        torch.cuda.synchronize()


def tokens_that_fit(
    objective: nn.Module, fetch: Callable[[int], Batch], most_tokens: int, longest: int, accelerator: "Accelerator"
) -> int:
    """The largest micro-batch that a GPU's memory holds, in tokens; the least of all ranks.

    Args:
        fetch: makes a batch of so many of the longest sequences.
        most_tokens: a rank's share of a step; halved until it fits.
        longest: tokens a sequence.
    """
    objective.to(accelerator.device).train()
    moments = MOMENTS_BYTES * sum(parameter.numel() for parameter in objective.parameters())
    memory = torch.cuda.get_device_properties(accelerator.device).total_memory * _MEMORY_SHARE - moments

    def fits(tokens: int) -> bool:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            _pass(objective, fetch(tokens // longest), accelerator)
        except torch.OutOfMemoryError:
            return False
        finally:
            objective.zero_grad(set_to_none=True)
        return torch.cuda.max_memory_reserved() <= memory

    found = torch.tensor([largest_that(fits, most_tokens, longest)], device=accelerator.device)
    return int(accelerator.gather(found).min())


def largest_that(fits: Callable[[int], bool], most: int, least: int) -> int:
    """The first of ``most``, its half, its quarter, … that fits, and ``least`` where none does."""
    while most > least and not fits(most):
        most //= 2
    return max(most, least)


def peak_memory_bytes(device: torch.device) -> int | None:
    """The most memory this process has held so far, on its GPU or of the machine; None where unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
