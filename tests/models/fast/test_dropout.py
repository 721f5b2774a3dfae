"""Dropout by 16 bits a number: its rate, its mean, its gradient, and where torch's own is left alone."""

import math

import pytest
import torch
from torch import nn

from bertkit.models.fast.dropout import CheapDropout, draw_cheaply, drop

N = 1_000_003  # no multiple of the four numbers that a draw decides for


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rate_and_scale_are_the_paper_s(rate, dtype):
    torch.manual_seed(0)
    found = drop(torch.ones(N, dtype=dtype), rate)
    kept = int((found != 0).sum())
    assert abs(kept - N * (1 - rate)) < 5 * math.sqrt(N * rate * (1 - rate))
    (value,) = set(found[found != 0].tolist())
    assert value == pytest.approx(1 / (1 - rate), rel=1e-4 if dtype == torch.float32 else 2**-8)


def test_neighbours_are_dropped_independently():
    torch.manual_seed(0)
    kept = (drop(torch.ones(N), 0.1) != 0).double()
    for distance in (1, 2, 3, 4, 8):  # four share a draw
        both = (kept[:-distance] * kept[distance:]).mean().item()
        assert abs(both - 0.81) < 5 * math.sqrt(0.81 * 0.19 / N)


def test_the_gradient_goes_where_the_numbers_went():
    torch.manual_seed(0)
    states = torch.randn(50, 37, requires_grad=True)
    found = drop(states, 0.3)
    weights = torch.randn(50, 37)
    (found * weights).sum().backward()
    kept = found != 0
    torch.testing.assert_close(states.grad, torch.where(kept, weights * (found / states).detach(), 0.0))
    assert 0 < (~kept).sum() < kept.numel()


def test_a_seed_gives_the_same_draws():
    found = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        found.append(drop(torch.ones(999), 0.5))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_nothing_and_everything():
    states = torch.randn(9)
    assert torch.equal(drop(states, 0.0), states)
    assert torch.equal(drop(states, 1.0), torch.zeros(9))


def test_a_model_gets_it_in_place_of_torch_s_and_evaluates_without():
    model = nn.Sequential(nn.Dropout(0.5), nn.Dropout2d(0.5), nn.Dropout(0.0))
    draw_cheaply(model)
    draw_cheaply(model)
    assert [type(layer) for layer in model] == [CheapDropout, nn.Dropout2d, CheapDropout]
    states = torch.ones(4, 8)
    assert set(model[0](states).flatten().tolist()) == {0.0, 2.0}
    assert torch.equal(model[0].eval()(states), states)


def test_activations_made_again_are_the_same():
    from torch.utils.checkpoint import checkpoint

    gradients = []
    for again in (False, True):
        torch.manual_seed(1)
        states = torch.ones(500, requires_grad=True)
        found = checkpoint(drop, states, 0.5, use_reentrant=False) if again else drop(states, 0.5)
        (found * torch.arange(500)).sum().backward()
        gradients.append(states.grad)
    assert torch.equal(*gradients)
