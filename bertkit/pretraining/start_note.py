"""What is said as a run starts: its text, its size, its speed and memory, and when it will end."""

from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.pretraining.dataset import PretrainingPlan
from bertkit.pretraining.mix import line_of

if TYPE_CHECKING:
    from accelerate import Accelerator

    from bertkit.training.forecast import Forecast


def say_what_starts(
    forecast: "Forecast", plan: PretrainingPlan, accelerator: "Accelerator", facts: dict[str, Any], steps_done: int
) -> None:
    """Prints a line about the corpus, one about each text of a mix, and one about the run.

    Args:
        forecast: estimates the time.
        plan: the steps.
        accelerator: the device.
        facts: the fields of ``run.json``.
        steps_done: steps that were done before a resume.
    """
    from bertkit.training.step_cost import MOMENTS_BYTES, peak_memory_bytes

    stretches = plan.stretches()
    costs = [(forecast.cost(steps.start), max(0, steps.stop - max(steps.start, steps_done))) for steps in stretches]
    tokens, seconds = (sum(getattr(cost, name) * steps for cost, steps in costs) for name in ("tokens", "seconds"))
    left_s = forecast.seconds_left(steps_done)
    memory = peak_memory_bytes(accelerator.device)
    if memory is not None:
        memory += MOMENTS_BYTES * facts["parameters"]
    precision = "fp32" if facts["mixed_precision"] == "no" else facts["mixed_precision"]
    processes = f", {facts['num_processes']} processes" if facts["num_processes"] > 1 else ""
    steps = console.counted(plan.total_steps, "step", "steps")
    lengths = " then ".join(str(plan.max_seq_length(steps.start)) for steps in stretches)
    console.note(
        f"corpus: {console.counted(facts['documents'], 'document', 'documents')}, "
        f"{console.counted(facts['sentences'], 'sentence', 'sentences')}, "
        f"{facts['tokens_in_corpus']:,} tokens"
    )
    for text in facts.get("mix", []):
        console.note(console.plain(line_of(text)))
    console.note(
        f"[bold]{console.plain(facts['recipe'])}[/]: {console.in_millions(facts['parameters'])} parameters on {facts['device']} "
        f"({precision}{processes}), {steps} of {facts['batch_size']} sequences, {lengths} tokens "
        f"long, {tokens / max(seconds, 1e-9):,.0f} tokens/s"
        + (f", {memory / 2**30:.1f} GiB of memory" if memory else "")
        + f": about {console.duration(left_s)}, until {console.clock(left_s)} → {console.plain(facts['out'])}"
    )
