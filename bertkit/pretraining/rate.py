"""The learning rate of going on from a model."""

from dataclasses import replace

from bertkit import console
from bertkit.models.folder import bert_folder, read_config
from bertkit.pretraining.request import ResolvedRequest
from bertkit.settings.recipes import given
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


def with_fitting_rate(resolved: ResolvedRequest) -> ResolvedRequest:
    """The request, for the recipe ``adapt`` with a learning rate for the width of its model; a person's own rate is kept."""
    asked, train = resolved.asked, resolved.recipe.train
    if resolved.recipe_name != "adapt" or asked.model is None or given(asked.overrides, "train.learning_rate"):
        return resolved
    width = read_config(bert_folder(asked.model), asked.model)["hidden_size"]
    rate = adapting_rate(train.learning_rate, width)
    if rate == train.learning_rate:
        return resolved
    console.note(
        f"learning rate {rate:.1e}, as the model is {width} wide: the recipe's {train.learning_rate:.0e} is for "
        f"{WIDTH_OF_RECIPES} (--lr says otherwise)"
    )
    train = train.model_copy(update={"learning_rate": rate})
    return replace(resolved, recipe=resolved.recipe.model_copy(update={"train": train}))
