"""The learning rate that suits the width of a model."""

WIDTH_OF_RECIPES = 768
"""The shipped recipes' rates are the paper's, for a BERT of this width."""
FROZEN_RATES = {"linear": 3e-3, "bilstm": 1e-3}
"""By what reads a frozen encoder, ``train.classifier``: a new layer alone hardly moves at a rate that suits all of a BERT (a
linear one on the last layer of the embedded model, WNUT17, 3 epochs: F1 3.2 even with 1e-3)."""
_EXPONENT = 2.5
_MOST = 50 / 3


def fitting_rate(rate: float, width: int) -> float:
    """A recipe's rate for a model of another width.

    Small models want more: with 3e-5, which suits 768, those of 256 and 128 hardly move in three epochs (SST-2, 2,000 rows:
    59 and 54 % right, and 72 and 75 % with 5e-4; see docs/measurements.md). (768 / 256) ** 2.5 is 15.6; what is measured says
    nothing of more than 5e-4 = 50 / 3 · 3e-5, so it stops there. Wider models keep the rate.

    Example:
        >>> [f"{fitting_rate(3e-5, width):.1e}" for width in (128, 256, 512, 768, 1024)]
        ['5.0e-04', '4.7e-04', '8.3e-05', '3.0e-05', '3.0e-05']
    """
    times: float = (WIDTH_OF_RECIPES / width) ** _EXPONENT
    return rate * min(_MOST, max(1.0, times))
