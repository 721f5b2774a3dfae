"""What a run is said to cost, and the steps that a budget buys: by hand."""

import torch
from accelerate import Accelerator
from helpers.toy import toy_job

from bertkit.training.step_cost import StepCost, largest_that, step_costs, steps_within


def test_a_budget_buys_steps_and_their_evaluations():
    # 9 in 10 steps take 1 s, the others 2 s: 1.1 s on average. An evaluation of 30 examples, in batches of 10, takes a
    # third of 3 of the long steps: 2 s. One ends the run, and one in 20 steps costs 0.1 s a step: (122.1 - 2) / 1.2.
    costs = [StepCost(range(90), 1.0, 100), StepCost(range(90, 100), 2.0, 400)]
    assert steps_within(122.1, costs, evaluation_examples=30, batch_size=10, eval_steps=20) == 100
    assert steps_within(122.1, costs, evaluation_examples=30, batch_size=10, eval_steps=0) == int(120.1 / 1.1)
    assert steps_within(0.5, costs, evaluation_examples=30, batch_size=10, eval_steps=20) == 1


def test_the_first_half_that_fits_is_taken():
    tried = []

    def fits(tokens):
        tried.append(tokens)
        return tokens <= 1_000

    assert largest_that(fits, 8_192, 128) == 512
    assert tried == [8_192, 4_096, 2_048, 1_024, 512]
    assert largest_that(lambda _: False, 8_192, 100) == 100
    assert largest_that(lambda _: True, 64, 128) == 128  # one sequence at the least


def test_trying_steps_out_leaves_the_model_as_it_was(tmp_path):
    accelerator = Accelerator(cpu=True)
    job = toy_job(tmp_path, tmp_path / "out", accelerator, micro_batch=5)
    before = {name: weight.clone() for name, weight in job.objective.named_parameters()}
    costs = step_costs(job.objective, job.plan, job.plan.stretches(), accelerator)
    assert [cost.steps for cost in costs] == [range(5), range(5, 10)]
    assert all(cost.seconds > 0 for cost in costs)
    assert 0 < costs[0].tokens <= 16 * 16 < costs[1].tokens <= 16 * 24
    assert all(torch.equal(weight, before[name]) for name, weight in job.objective.named_parameters())
    assert all(weight.grad is None for weight in job.objective.parameters())
