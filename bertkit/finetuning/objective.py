"""The loss of fine-tuning, which a head computes from a model's logits."""

import torch
from torch import nn

from bertkit.finetuning.heads.base import Head
from bertkit.models.fast.attention import attend_unpadded
from bertkit.models.fast.dropout import draw_cheaply
from bertkit.models.layers import rest_frozen
from bertkit.training.steps import Batch
from bertkit.training.sums import Sums


class FinetuneObjective(nn.Module):
    """A model with a head (a ``training.job.Objective``); the loss is computed in fp32.

    Args:
        model: a model of the head's ``auto_class``; it is trained in place.
        head: computes logits and loss.
    """

    def __init__(self, model: nn.Module, head: Head) -> None:
        super().__init__()
        self.model, self.head = model, head
        attend_unpadded(model)
        draw_cheaply(model)

    def train(self, mode: bool = True) -> "FinetuneObjective":
        """As in ``nn.Module``, but modules that are not trained keep their dropout off."""
        super().train(mode)
        rest_frozen(self.model)
        return self

    def counts(self, batch: Batch) -> dict[str, float]:
        """What the loss of a batch is divided by, under ""."""
        return {"": self.head.count(batch)}

    def forward(self, **batch: torch.Tensor) -> Sums:
        """``loss``, summed over a batch of ids, mask and segments, int64 ``[batch, length]``, and the head's tensors."""
        return {"loss": self.head.loss(self.head.logits(self.model, batch).float(), batch)}
