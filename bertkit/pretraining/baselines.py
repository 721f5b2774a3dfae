"""What models that ignore the context would reach on a text: the baselines of a held-out loss."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Unigrams:
    """The figures of models that ignore the context of tokens.

    Attributes:
        entropy: nats per token: the loss of a model that knows only how often each token occurs.
        most_frequent: the share of the most frequent token, which is the accuracy of always guessing it.
    """

    entropy: float
    most_frequent: float


def unigrams(token_counts: np.ndarray, special: list[int]) -> Unigrams:
    """Computes ``Unigrams`` over the tokens that can be predicted.

    Args:
        token_counts: how often each token occurs, ``[vocabulary]``, in any unit: of a mix the shares of its examples.
        special: ids that are never predicted.
    """
    counts = np.array(token_counts, dtype=np.float64)
    counts[special] = 0
    counts = counts[counts > 0]
    shares = counts / counts.sum()
    return Unigrams(float(-(shares * np.log(shares)).sum()), float(shares.max(initial=0.0)))
