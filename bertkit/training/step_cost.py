"""What a run's steps cost, measured on steps that are tried out before the run: their time and their memory."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from accelerate.utils import broadcast_object_list
from torch import nn

from bertkit.settings.schema import TrainSettings
from bertkit.training.muon import of_one_shape, orthogonal
from bertkit.training.optimizer import learns_by_muon, products_dtype
from bertkit.training.steps import Batch, StepPlan, shares

if TYPE_CHECKING:
    from accelerate import Accelerator

MOMENTS_BYTES = 8
"""Bytes that AdamW keeps per parameter (Muon keeps half of them). They are added by hand, as the steps are tried out before
there is an optimizer."""
_TRIED_FOR_S = 1.0
_BEYOND_THE_PASSES = 1.05
"""A factor for what a step does besides its passes (optimizer, clipping): 3 to 5 % with recipe tiny on two CPU cores."""
_MEMORY_SHARE = 0.9
"""The share of a GPU's memory that is used: the rest is for what differs from step to step."""


class StepCost(NamedTuple):
    """What one optimizer step costs, in a range of steps that are alike."""

    steps: range
    seconds: float
    tokens: float
    """Tokens in the step, over all ranks, without padding."""


def step_costs(
    objective: nn.Module,
    plan: StepPlan,
    stretches: Sequence[range],
    accelerator: "Accelerator",
    settings: TrainSettings,
) -> list[StepCost]:
    """Measures the cost of a step in each range of steps, by forward and backward passes over one micro-batch.

    Muon's products, which cost as much in each step, are timed besides.

    All ranks get the measurements of rank 0. The run is not affected: the gradients are dropped, and everything random
    in a run is seeded anew at each of its steps.
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
        passes_s = (fetched_in_s + _seconds_a_pass(objective, batch, accelerator)) * len(micro_batches)
        seconds = passes_s * _BEYOND_THE_PASSES + _seconds_of_muon(objective, settings, accelerator)
        costs.append(StepCost(steps, seconds, tokens_a_sequence * len(references)))
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


def _seconds_of_muon(objective: nn.Module, settings: TrainSettings, accelerator: "Accelerator") -> float:
    """Times it on the gradients that the passes left."""
    dtype = products_dtype(settings, accelerator.device.type)
    started_at_s = time.monotonic()
    named = objective.named_parameters()
    matrices = [one for name, one in named if one.grad is not None and learns_by_muon(name, one, settings)]
    for some in of_one_shape(matrices):
        orthogonal(torch.stack([one.grad for one in some if one.grad is not None]), dtype)
    _wait_for(accelerator)
    return time.monotonic() - started_at_s


def _pass(objective: nn.Module, batch: Batch, accelerator: "Accelerator") -> None:
    with accelerator.autocast():
        sums: dict[str, Any] = objective(**{name: tensor.to(accelerator.device) for name, tensor in batch.items()})
    torch.stack([value for name, value in sums.items() if name.endswith("loss")]).sum().backward()
    _wait_for(accelerator)


def _wait_for(accelerator: "Accelerator") -> None:
    """Waits for a GPU, which computes while Python goes on."""
    if accelerator.device.type == "cuda":
        torch.cuda.synchronize()


def tokens_that_fit(
    objective: nn.Module, fetch: Callable[[int], Batch], most_tokens: int, longest: int, accelerator: "Accelerator"
) -> int:
    """The largest micro-batch, in tokens, that fits into the memory of every rank's GPU.

    Args:
        objective: the model with its loss.
        fetch: returns a batch of so many sequences, all of the greatest length.
        most_tokens: the tokens of a rank's share of a step; they are halved until they fit.
        longest: tokens of the longest sequence.
        accelerator: the device and the ranks.
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

    fitting = torch.tensor([largest_that(fits, most_tokens, longest)], device=accelerator.device)
    return int(accelerator.gather(fitting).min())


def largest_that(fits: Callable[[int], bool], most: int, least: int) -> int:
    """The first of ``most``, ``most`` / 2, ``most`` / 4, … that fits; ``least`` where none does."""
    while most > least and not fits(most):
        most //= 2
    return max(most, least)


def peak_memory_bytes(device: torch.device) -> int | None:
    """The most memory that this process has used so far, on its GPU or in main memory; None where that is unknown."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated())
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
