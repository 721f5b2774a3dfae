"""The loss over the vocabulary beside torch's own: value, right guesses and every gradient."""

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

from bertkit.models.fast import cross_entropy as module
from bertkit.models.fast.cross_entropy import vocabulary_loss


def both(dtype, autocast, rows=37, size=24, vocabulary=301):
    """(loss, correct, gradients) of ours and of torch's, for the same numbers."""
    torch.manual_seed(1)
    numbers = [torch.randn(rows, size) * 2, torch.randn(vocabulary, size), torch.randn(vocabulary)]
    labels = torch.randint(vocabulary, (rows,))
    labels[: rows // 2] = linear(*numbers).argmax(1)[: rows // 2]  # half of the guesses are right
    found = []
    for ours in (True, False):
        leaves = [number.clone().to(dtype).requires_grad_() for number in numbers]
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            if ours:
                loss, correct = vocabulary_loss(*leaves, labels)
            else:
                logits = linear(*leaves)
                loss = cross_entropy(logits.float(), labels, reduction="sum")
                correct = (logits.argmax(1) == labels).sum()
        (loss * 0.37).backward()
        found.append((loss.item(), correct.item(), [leaf.grad.double() for leaf in leaves]))
    return found


@pytest.mark.parametrize("elements", [1, 301 * 5, 2**20])
def test_in_fp32_it_is_torchs_to_rounding(monkeypatch, elements):
    monkeypatch.setitem(module._CHUNK_ELEMENTS, "cpu", elements)
    (loss, correct, gradients), (expected, right, theirs) = both(torch.float32, autocast=False)
    assert loss == pytest.approx(expected, rel=1e-6)
    assert correct == right >= 18
    for one, other in zip(gradients, theirs, strict=True):
        assert torch.linalg.norm(one - other) <= 1e-6 * torch.linalg.norm(other)


def test_in_bf16_it_is_as_near_to_the_truth_as_torchs():
    truth = both(torch.float64, autocast=False)[1]
    ours, theirs = both(torch.float32, autocast=True)
    assert abs(ours[0] - truth[0]) <= 2 * abs(theirs[0] - truth[0]) + 1e-3 * truth[0]
    for one, other, exact in zip(ours[2], theirs[2], truth[2], strict=True):
        assert torch.linalg.norm(one - exact) <= 1.5 * torch.linalg.norm(other - exact)


def test_no_predicted_token_is_a_loss_of_nothing():
    hidden, weight, bias = (
        torch.randn(0, 8, requires_grad=True),
        torch.randn(20, 8, requires_grad=True),
        torch.zeros(20),
    )
    loss, correct = vocabulary_loss(hidden, weight, bias, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert (loss.item(), correct.item()) == (0, 0)
    assert weight.grad.abs().sum() == 0


def test_without_gradients_it_only_counts():
    with torch.inference_mode():
        loss, correct = vocabulary_loss(torch.eye(4), torch.eye(4), torch.zeros(4), torch.arange(4))
    expected = cross_entropy(torch.eye(4), torch.arange(4), reduction="sum")
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert correct.item() == 4


def test_of_logits_that_are_equal_the_first_alone_is_the_guess_as_for_torch():
    """Every logit is 0."""
    labels = torch.tensor([0, 1, 2, 0, -100, 3])
    hidden, weight, bias = torch.zeros(6, 4), torch.randn(9, 4), torch.zeros(9)
    _, correct = vocabulary_loss(hidden, weight, bias, labels)
    assert correct.item() == (linear(hidden, weight, bias).argmax(1) == labels).sum() == 2
