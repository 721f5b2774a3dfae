"""Learning rates of fine-tuning where a recipe's does not suit the model."""

from bertkit.settings.schema import WIDTH_OF_RECIPES

FROZEN_RATES = {"linear": 3e-3, "bilstm": 1e-3}
"""Learning rates for a frozen encoder, by ``train.classifier``. A new layer alone hardly learns at a rate that suits a whole
BERT (a linear layer on the last layer of the embedded model, WNUT17, 3 epochs: F1 3.2 even with 1e-3)."""
_EXPONENT = 2.5
_MOST = 50 / 3


def finetuning_rate(rate: float, width: int) -> float:
    """The learning rate of a fine-tuning recipe, adapted to the width of a model.

    Narrow models need more. With 3e-5, which suits a width of 768, models of width 256 and 128 hardly learn in three epochs
    (SST-2, 2,000 rows: 59 and 54 % right, but 72 and 75 % with 5e-4; see docs/measurements.md). The factor is (768 / width)
    ** 2.5, which is 15.6 for 256, but at most 50 / 3 (from 3e-5 to 5e-4), as higher rates were not measured. Wider models
    keep the rate.

    Example:
        >>> [f"{finetuning_rate(3e-5, width):.1e}" for width in (128, 256, 512, 768, 1024)]
        ['5.0e-04', '4.7e-04', '8.3e-05', '3.0e-05', '3.0e-05']
    """
    times: float = (WIDTH_OF_RECIPES / width) ** _EXPONENT
    return rate * min(_MOST, max(1.0, times))
