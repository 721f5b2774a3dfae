"""The common part of heads on single tokens, such as those for tags and for answers in a text.

Shapes: N features in a batch, L tokens of the longest, W tokens read in all.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.finetuning.features import Batch, Features
from bertkit.finetuning.heads.base import Head

if TYPE_CHECKING:
    import torch


class AtTokens(Head):
    """A head that reads the last state of some tokens of each feature; logits are ``[W, outputs]``, text after text."""

    @abstractmethod
    def tokens_read(self, features: Features) -> Sequence[np.ndarray]:
        """For each feature, which of its tokens are read."""

    def tensors(self, features: Features, units: Sequence[int]) -> Batch:
        """``wanted``: bool ``[N, L]``, the tokens that are read."""
        import torch

        places = self.tokens_read(features)
        wanted = np.zeros((len(units), max(len(features.ids[number]) for number in units)), dtype=np.bool_)
        for at, number in enumerate(units):
            wanted[at, places[number]] = True
        return {"wanted": torch.from_numpy(wanted)}

    def logits(self, model: Any, batch: Batch) -> "torch.Tensor":
        from bertkit.models.headed import token_logits

        return token_logits(model, batch, batch["wanted"])

    def read(self, batch: Batch) -> "torch.Tensor":
        return batch["wanted"]

    def parted(self, logits: "torch.Tensor", batch: Batch) -> "list[torch.Tensor]":
        return list(logits.split(batch["wanted"].sum(dim=1).tolist()))

    def picked(self, arrays: Sequence[np.ndarray], features: Features) -> list[np.ndarray]:
        return [array[places] for array, places in zip(arrays, self.tokens_read(features), strict=True)]

    def joined(self, logits: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(logits)
