"""Clipping beside torch's own, over the limit and under it."""

import math

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from bertkit.training.optimizer import clip_grad_norm


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
