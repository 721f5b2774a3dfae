"""What is said before a run: how large, how fast, how much memory, and when it will end."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.pretraining.dataset import PretrainingPlan

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn

    from bertkit.training.step_cost import StepCost

_A_DAY_S = 86_400


def micro_batch_tokens(objective: "nn.Module", plan: PretrainingPlan, accelerator: "Accelerator") -> int:
    """The largest micro-batch that fits, in tokens: tried out with the longest sequences, and said."""
    from bertkit.training.step_cost import tokens_that_fit

    step = max((steps.start for steps in plan.stretches()), key=plan.max_seq_length)
    examples, longest = plan.examples(step), plan.max_seq_length(step)
    share = -(-len(examples) // accelerator.num_processes)
    found = tokens_that_fit(
        objective, lambda sequences: plan.fetch(examples[:sequences]), share * longest, longest, accelerator
    )
    console.note(f"{found:,} tokens at a time fit into the memory of the GPU, of {share * longest:,} in a step")
    return found


def say_what_starts(
    plan: PretrainingPlan,
    accelerator: "Accelerator",
    facts: dict[str, Any],
    costs: "Sequence[StepCost]",
    steps_done: int,
) -> None:
    """One line of the corpus and one of the run.

    Args:
        facts: of ``run.json``.
        costs: of the stretches of the plan, or of one that has other numbers of steps.
        steps_done: before a resume.
    """
    from bertkit.training.step_cost import MOMENTS_BYTES, peak_memory_bytes

    left = [max(0, cost.steps.stop - max(cost.steps.start, steps_done)) for cost in costs]
    seconds = sum(cost.seconds * steps for cost, steps in zip(costs, left, strict=True))
    tokens = sum(cost.tokens * steps for cost, steps in zip(costs, left, strict=True))
    memory = peak_memory_bytes(accelerator.device)
    if memory is not None:
        memory += MOMENTS_BYTES * facts["parameters"]
    precision = "fp32" if facts["mixed_precision"] == "no" else facts["mixed_precision"]
    processes = f", {facts['num_processes']} processes" if facts["num_processes"] > 1 else ""
    lengths = " then ".join(str(plan.max_seq_length(cost.steps.start)) for cost in costs)
    ends = (datetime.now() + timedelta(seconds=seconds)).strftime("%H:%M" if seconds < _A_DAY_S else "%d %B, %H:%M")
    console.note(
        f"corpus: {facts['documents']:,} documents, {facts['sentences']:,} sentences, "
        f"{facts['tokens_in_corpus']:,} tokens"
    )
    console.note(
        f"[bold]{console.plain(facts['recipe'])}[/]: {facts['parameters'] / 1e6:,.1f}M parameters on {facts['device']} "
        f"({precision}{processes}), {facts['max_steps']:,} steps of {facts['batch_size']} sequences, {lengths} tokens "
        f"long, {tokens / max(seconds, 1e-9):,.0f} tokens/s"
        + (f", {memory / 2**30:.1f} GiB of memory" if memory else "")
        + f": about {console.duration(seconds)}, until {ends} → {console.plain(facts['out'])}"
    )
