"""Numbers of mean 0 and deviation 1 in training, and the numbers themselves in the finished model."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch


class Scale(NamedTuple):
    """number = mean + deviation · what the model says; as it stands, the model says the number itself."""

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, numbers: np.ndarray) -> "Scale":
        """That of some rows, in fp64; numbers that are all the same keep their deviation of 1."""
        exact = numbers.astype(np.float64)
        return cls(float(exact.mean()), float(exact.std()) or 1.0)

    def fold_into(self, layer: "torch.nn.Linear") -> None:
        """Makes a layer of one output say the number: mean + deviation · (w · x + b) = (deviation · w) · x + (mean +
        deviation · b)."""
        layer.weight.data.mul_(self.deviation)
        layer.bias.data.mul_(self.deviation).add_(self.mean)
