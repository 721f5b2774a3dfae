"""The cross-entropy over the vocabulary, with its gradient, in one pass over the logits.

For one row with logits x, largest logit m and label y, and with s = sum over j of exp(x_j - m):

    loss            = log(s) - (x_y - m)
    d loss / d x_j  = exp(x_j - m) / s - [j = y]

Both need the same exponentials, which are computed once; the gradient G, ``[predicted, vocabulary]``, overwrites the logits. As
logits = hidden @ weight.T, the gradients of hidden and weight are G @ weight and G.T @ hidden: they are computed in the
forward pass as well, so that nothing as large as the logits is kept for the way back.
"""

from typing import Any

import torch
from torch.nn.functional import cross_entropy, linear

from bertkit.models.bert import IGNORE

_CHUNK_ELEMENTS = {"cpu": 2**20, "cuda": 2**27, "mps": 2**24}
"""How many logits are worked on at a time: on a CPU as many as fit into its cache; on a GPU more, to start few kernels."""


def vocabulary_loss(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The summed cross-entropy of ``linear(hidden, weight, bias)``, and the number of right predictions (fp32 scalars).

    It equals ``torch.nn.functional.cross_entropy(…, reduction="sum")`` up to rounding. That function writes and reads the
    logits of a large vocabulary some eight times, in fp32. Here a few rows at a time are turned into probabilities and
    then into the gradient, in place, in the precision of the matrix products.

    Args:
        hidden: float ``[predicted, hidden_size]``.
        weight: float ``[vocabulary, hidden_size]``.
        bias: float ``[vocabulary]``.
        labels: int64 ``[predicted]``, each a row of the vocabulary, or ``IGNORE``.
    """
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    if dtype == torch.float16:  # small probabilities would underflow before the gradient is scaled
        logits = linear(hidden, weight, bias)
        loss = cross_entropy(logits.float(), labels, reduction="sum")
        return loss, (logits.detach().argmax(-1) == labels).sum().float()
    with torch.autocast(device, enabled=False):
        loss, correct = _VocabularyLoss.apply(hidden.to(dtype), weight.to(dtype), bias, labels)
    return loss, correct


class _VocabularyLoss(torch.autograd.Function):
    """Computes its gradient in the forward pass, but for one factor: the gradient of the summed loss."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        trained = any(ctx.needs_input_grad)
        logits = linear(hidden, weight, bias.to(hidden.dtype))
        rows = max(1, _CHUNK_ELEMENTS.get(hidden.device.type, 2**24) // len(weight))
        losses, correct, of_bias = [], [], torch.zeros_like(bias)
        for chunk, wanted in zip(logits.split(rows), labels.split(rows), strict=True):
            counted, places = (wanted != IGNORE).unsqueeze(1), wanted.clamp(min=0).unsqueeze(1)
            exact = chunk.float()  # [rows, vocabulary]; counted, places, highest, right and total are [rows, 1]
            highest = exact.amax(dim=1, keepdim=True)
            right = exact.gather(1, places) - highest
            correct.append(_count_right(exact, right, wanted))
            shares = exact.sub_(highest).exp_()
            total = shares.sum(dim=1, keepdim=True)
            losses.append(((total.log() - right) * counted).sum())
            if trained:
                # The gradient, in place of the logits; zero in rows that are not counted.
                shares.mul_(counted / total)
                shares.scatter_add_(1, places, -counted.to(shares.dtype))
                of_bias += shares.sum(dim=0)
                chunk.copy_(shares)
        none = hidden.new_zeros((), dtype=torch.float32)
        loss, right_count = (torch.stack([none, *(one.float() for one in some)]).sum() for some in (losses, correct))
        if trained:
            # `logits` holds their gradient G by now.
            ctx.save_for_backward(logits @ weight, logits.T @ hidden, of_bias)
        ctx.mark_non_differentiable(right_count)
        return loss, right_count

    @staticmethod
    def backward(ctx: Any, factor: torch.Tensor, _: torch.Tensor) -> tuple[Any, ...]:
        of_hidden, of_weight, of_bias = ctx.saved_tensors
        return of_hidden * factor, of_weight * factor, of_bias * factor, None


def _count_right(logits: torch.Tensor, right: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """How many labels are the ``argmax`` of their row. As that is slow, it is taken only of rows whose label has the
    largest logit (``right`` is 0), maybe beside another that is equal."""
    candidates = (right == 0).squeeze(1).nonzero().squeeze(1)
    return (logits[candidates].argmax(dim=1) == labels[candidates]).sum()
