"""Scales numbers to mean 0 and deviation 1 for training, and moves the scale into the finished model."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import torch


class Scale(NamedTuple):
    """A linear scale: number = mean + deviation · output. With the defaults the output is the number itself."""

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, numbers: np.ndarray) -> "Scale":
        """The scale of some numbers, in fp64; if all numbers are the same, the deviation is 1."""
        exact = numbers.astype(np.float64)
        return cls(float(exact.mean()), float(exact.std()) or 1.0)

    def fold_into(self, layer: "torch.nn.Linear") -> None:
        """Changes a layer with one output to give the number itself: mean + deviation · (w · x + b) = (deviation · w) · x +
        (mean + deviation · b)."""
        layer.weight.data.mul_(self.deviation)
        layer.bias.data.mul_(self.deviation).add_(self.mean)
