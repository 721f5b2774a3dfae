"""What a run is said to cost: by hand."""

import pytest
import torch
from accelerate import Accelerator
from helpers.toy import toy_job

from bertkit.training import step_cost
from bertkit.training.step_cost import largest_that, step_costs


def test_the_first_half_that_fits_is_taken():
    tried = []

    def fits(tokens):
        tried.append(tokens)
        return tokens <= 1_000

    assert largest_that(fits, 8_192, 128) == 512
    assert tried == [8_192, 4_096, 2_048, 1_024, 512]
    assert largest_that(lambda _: False, 8_192, 100) == 100
    assert largest_that(lambda _: True, 64, 128) == 128  # one sequence at the least


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_trying_steps_out_leaves_the_model_as_it_was(tmp_path, monkeypatch, optimizer):
    made_orthogonal = []
    monkeypatch.setattr(step_cost, "orthogonal", lambda gradients, _: made_orthogonal.extend(gradients))
    accelerator = Accelerator(cpu=True)
    job = toy_job(tmp_path, tmp_path / "out", accelerator, micro_batch=5, optimizer=optimizer)
    before = {name: weight.clone() for name, weight in job.objective.named_parameters()}
    costs = step_costs(job.objective, job.plan, job.plan.stretches(), accelerator, job.settings)
    assert len(made_orthogonal) == (2 * 6 if optimizer == "muon" else 0)  # two stretches, one layer of six matrices
    assert [cost.steps for cost in costs] == [range(5), range(5, 10)]
    assert all(cost.seconds > 0 for cost in costs)
    assert 0 < costs[0].tokens <= 16 * 16 < costs[1].tokens <= 16 * 24
    assert all(torch.equal(weight, before[name]) for name, weight in job.objective.named_parameters())
    assert all(weight.grad is None for weight in job.objective.parameters())
