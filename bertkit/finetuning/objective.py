"""The fine-tuning loss: what a head makes of a model's answer."""

import torch
from torch import nn

from bertkit.finetuning.heads.base import Head
from bertkit.models.fast.attention import attend_unpadded
from bertkit.models.fast.dropout import draw_cheaply
from bertkit.models.layers import rest_frozen
from bertkit.training.steps import Batch
from bertkit.training.sums import Sums


class FinetuneObjective(nn.Module):
    """A model under a head, whose loss is a sum over what the head counts, in fp32.

    Args:
        model: of the head's ``auto_class``; trained in place.
    """

    def __init__(self, model: nn.Module, head: Head) -> None:
        super().__init__()
        self.model, self.head = model, head
        attend_unpadded(model)
        draw_cheaply(model)

    def train(self, mode: bool = True) -> "FinetuneObjective":
        """As ``nn.Module``'s; what is not trained keeps its dropout off."""
        super().train(mode)
        rest_frozen(self.model)
        return self

    def counts(self, batch: Batch) -> dict[str, float]:
        """What the loss of a batch is divided by."""
        return {"": self.head.count(batch)}

    def forward(self, **batch: torch.Tensor) -> Sums:
        """``loss``, summed over the batch: int64 ``[batch, length]`` ids, mask and segments, and what the head adds."""
        return {"loss": self.head.loss(self.head.logits(self.model, batch).float(), batch)}
