"""The learning rate of going on from a model."""

from bertkit.settings.schema import WIDTH_OF_RECIPES


def adapting_rate(rate: float, width: int) -> float:
    """The learning rate of the recipe ``adapt`` for going on from a model of some width: rate × 768 / width.

    With Adam, the rate that suits hidden matrices is inversely proportional to their width (Yang et al. 2022, Tensor
    Programs V, table 3). Higher rates learn more of the new text and forget more of the old (docs/measurements.md).

    Example:
        >>> [f"{adapting_rate(5e-5, width):.1e}" for width in (128, 256, 768, 1024)]
        ['3.0e-04', '1.5e-04', '5.0e-05', '3.8e-05']
    """
    return rate * WIDTH_OF_RECIPES / width
