"""What is tried out before a run: how much fits into memory, how long its steps take, and how many a budget has."""

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from bertkit import console
from bertkit.pretraining.dataset import PretrainingPlan
from bertkit.pretraining.job import Setup
from bertkit.pretraining.request import with_steps
from bertkit.training import ranks

if TYPE_CHECKING:
    from bertkit.training.forecast import Forecast


def tried_out(run: Setup, started_at_s: float) -> tuple[Setup, PretrainingPlan, "Forecast"]:
    """The run with its micro-batch and, for a budget, its number of steps; its plan, and how long it will take.

    Args:
        run: what is to be trained.
        started_at_s: when its command began, on the monotonic clock: a budget counts from there.
    """
    from bertkit.training.forecast import Forecast
    from bertkit.training.step_cost import step_costs

    if run.micro_batch_tokens is None and run.recipe.train.micro_batch_size is None:
        run = replace(run, micro_batch_tokens=_tokens_that_fit(run))
    plan, train, budget_s = run.plan(), run.recipe.train, run.request.asked.budget_s
    plan.say_few_examples()
    tried = step_costs(run.objective, plan, plan.stretches(), run.accelerator, train)
    costs = {plan.phase(cost.steps.start): cost for cost in tried}
    examples = len(run.evaluation_set(plan.max_seq_length(plan.total_steps - 1)))
    if budget_s is None:
        return run, plan, Forecast(plan, costs, train, examples)
    left_s = budget_s - (time.monotonic() - started_at_s)
    if not run.request.before.max_steps:  # only once: a resume keeps the schedule of its run
        steps = ranks.from_main(Forecast(plan, costs, train, examples).steps_within(left_s, 0))
        if steps == 1:
            console.warn(
                f"--budget leaves no time to train: {console.duration(budget_s - left_s)} of it are spent, and the evaluation at "
                f"the end of {examples:,} held-out examples needs its own (--set data.max_eval_examples=N); one step is made; "
                "give more"
            )
        run = replace(run, recipe=with_steps(run.recipe, steps))
        plan = run.plan()
    return run, plan, Forecast(plan, costs, train, examples, left_s)


def _tokens_that_fit(run: Setup) -> int:
    """The largest micro-batch that fits, in tokens, tried out with the longest sequences; a note says how large it is."""
    from bertkit.training.step_cost import tokens_that_fit

    plan = run.plan()
    step = max((steps.start for steps in plan.stretches()), key=plan.max_seq_length)
    examples, longest = plan.examples(step), plan.max_seq_length(step)
    most = -(-len(examples) // run.accelerator.num_processes) * longest
    tokens = tokens_that_fit(
        run.objective, lambda sequences: plan.fetch(examples[:sequences]), most, longest, run.accelerator
    )
    console.note(f"{tokens:,} tokens at a time fit into the memory of the GPU, of {most:,} in a step")
    return tokens
