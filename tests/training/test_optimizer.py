"""Clipping beside torch's own, over the limit and under it."""

import math

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from bertkit.settings.schema import TrainSettings
from bertkit.training.optimizer import build_optimizer, clip_grad_norm, set_learning_rate


def with_gradients():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 3), nn.Linear(3, 2))
    for parameter in module[:2].parameters():  # the last layer has none
        parameter.grad = torch.randn_like(parameter)
    return module


@pytest.mark.parametrize("limit", [0.5, 1e6, float("inf")])
def test_norm_and_gradients_are_torch_s(limit):
    ours, theirs = with_gradients(), with_gradients()
    norm = clip_grad_norm(Accelerator(cpu=True), ours, limit)
    assert norm == float(nn.utils.clip_grad_norm_(theirs.parameters(), limit))
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        assert one.grad is None or torch.equal(one.grad, other.grad)
    clipped = nn.utils.get_total_norm([one.grad for one in ours[:2].parameters()])
    assert float(clipped) == pytest.approx(min(norm, limit), rel=1e-5)


def test_a_norm_that_is_no_number_is_told():
    module = with_gradients()
    module[0].weight.grad[0, 0] = float("nan")
    assert math.isnan(clip_grad_norm(Accelerator(cpu=True), module, 1.0))


class Objective(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = with_gradients()


def test_a_group_for_each_factor_and_kind_learns_at_its_own_rate():
    objective = Objective()
    settings = TrainSettings(weight_decay=0.1)
    whole = build_optimizer(objective, settings)
    matrices, vectors = ([one for one in objective.parameters() if (one.ndim > 1) == kind] for kind in (True, False))
    assert [group["params"] for group in whole.param_groups] == [matrices, vectors]
    assert [group["weight_decay"] for group in whole.param_groups] == [0.1, 0.0]

    optimizer = build_optimizer(objective, settings, {"0.weight": 0.25, "0.bias": 0.25, "1.weight": 0.5})
    set_learning_rate(optimizer, 1e-3)
    rates = {id(one): group["lr"] for group in optimizer.param_groups for one in group["params"]}
    told = {name: rates[id(one)] for name, one in objective.model.named_parameters()}
    assert told == {
        "0.weight": 2.5e-4,
        "0.bias": 2.5e-4,
        "1.weight": 5e-4,
        "1.bias": 1e-3,
        "2.weight": 1e-3,
        "2.bias": 1e-3,
    }
    before = {name: one.detach().clone() for name, one in objective.model.named_parameters()}
    optimizer.step()
    for name in ("0.bias", "1.bias"):  # Adam's first step is the rate, whatever the gradient
        moved = (objective.model.get_parameter(name) - before[name]).abs()
        assert torch.allclose(moved, torch.full_like(moved, told[name]), rtol=1e-3)
