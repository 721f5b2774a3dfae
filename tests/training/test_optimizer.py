"""Clipping and Muon beside torch's own, and the groups of parameters."""

import math

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from bertkit.errors import BertkitError
from bertkit.settings.schema import TrainSettings
from bertkit.training import muon
from bertkit.training.muon import orthogonal
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


class Encoder(nn.Module):
    """A tall, a broad and a square matrix in layers, and parameters that are none."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(9, 6)
        self.layer = nn.ModuleList([nn.Linear(6, 12), nn.Linear(12, 6), nn.Linear(6, 6)])
        self.head = nn.Linear(6, 2)


class WithEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = Encoder()


def trained(module, optimizer, steps=4):
    for step in range(steps):
        set_learning_rate(optimizer, 1e-2 * (step + 1))
        for number, parameter in enumerate(module.parameters()):
            random = torch.Generator().manual_seed(100 * step + number)
            parameter.grad = torch.randn(parameter.shape, generator=random)
        optimizer.step()
    return {name: parameter.detach() for name, parameter in module.model.named_parameters()}


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_muon_steps_as_torch_s_does_and_the_rest_as_adamw(precision, monkeypatch):
    settings = TrainSettings(optimizer="muon", weight_decay=0.1, mixed_precision=precision)
    mixed, adamw, pure = WithEncoder(), WithEncoder(), WithEncoder()
    ours = trained(mixed, build_optimizer(mixed, settings))
    by_adamw = trained(adamw, build_optimizer(adamw, TrainSettings(weight_decay=0.1)))
    if precision == "no":
        monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self)  # torch's multiplies in bf16 alone
    matrices = [layer.weight for layer in pure.model.layer]
    by_torch = trained(pure, torch.optim.Muon(matrices, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"))

    hidden = {f"layer.{number}.weight" for number in range(3)}
    for name, parameter in ours.items():
        torch.testing.assert_close(
            parameter, by_torch[name] if name in hidden else by_adamw[name], rtol=1e-5, atol=1e-6
        )
    assert all(not torch.allclose(ours[name], by_adamw[name], atol=1e-3) for name in hidden)


def test_adamw_steps_as_torch_s_does_with_the_numbers_that_are_given():
    given = TrainSettings(adam_beta1=0.8, adam_beta2=0.7, adam_epsilon=1e-3, weight_decay=0.1)
    ours, theirs = Objective(), Objective()
    kinds = [[one for one in theirs.parameters() if (one.ndim > 1) == kind] for kind in (True, False)]
    groups = [{"params": some, "weight_decay": decay} for some, decay in zip(kinds, (0.1, 0.0), strict=True)]
    expected = trained(theirs, torch.optim.AdamW(groups, betas=(0.8, 0.7), eps=1e-3))
    for name, parameter in trained(ours, build_optimizer(ours, given)).items():
        torch.testing.assert_close(parameter, expected[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(8, 32), (32, 8)])
def test_directions_are_orthogonal(shape, dtype):
    matrices = torch.randn((3, *shape), generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 1e-3, 1e3]).view(
        3, 1, 1
    )
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    # singular values, with the matrices' own vectors:
    found = torch.diagonal(left.mT @ orthogonal(matrices, dtype) @ right.mT, dim1=1, dim2=2)
    assert found.min() > 0.65
    assert found.max() < 1.25


def test_matrices_of_one_shape_are_made_orthogonal_together(monkeypatch):
    shapes = [(4, 8), (4, 4), (8, 4), (4, 8), (4, 4), (4, 8)]
    matrices = [nn.Parameter(torch.zeros(shape)) for shape in shapes]
    monkeypatch.setattr(muon, "_TOGETHER", 64)
    numbered = {id(one): number for number, one in enumerate(matrices)}
    assert [[numbered[id(one)] for one in some] for some in muon.of_one_shape(matrices)] == [[0, 3], [5], [1, 4], [2]]


def test_muon_without_matrices_of_layers_is_refused():
    with pytest.raises(BertkitError, match='use "adamw"'):
        build_optimizer(Objective(), TrainSettings(optimizer="muon"))
