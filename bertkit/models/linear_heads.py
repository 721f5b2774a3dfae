"""The heads of transformers' that are one linear layer on top of a BERT, and what config.json says of their outputs."""

from typing import Any, NamedTuple

from bertkit.errors import BertkitError


class LinearHead(NamedTuple):
    """A head of transformers' that is one linear layer on top of a BERT."""

    layer: str
    """The attribute of the model that holds the layer."""
    is_pooled: bool
    """Whether it reads the pooled state of ``[CLS]``; else it reads the last hidden state of each token."""
    outputs: int | None = None
    """The number of logits; None is one for each class of the configuration."""


LINEAR_HEADS = {
    "BertForSequenceClassification": LinearHead("classifier", is_pooled=True),
    "BertForMultipleChoice": LinearHead("classifier", is_pooled=True, outputs=1),
    "BertForTokenClassification": LinearHead("classifier", is_pooled=False),
    "BertForQuestionAnswering": LinearHead("qa_outputs", is_pooled=False, outputs=2),
}

PROBLEM_TYPES = ("single_label_classification", "multi_label_classification", "regression")
"""What transformers knows of the outputs of a ``BertForSequenceClassification``."""


def linear_class(config: dict[str, Any]) -> str | None:
    """The class of transformers that a config.json names, if it is a BERT with a linear head for a task, else None."""
    return next((name for name in config.get("architectures") or () if name in LINEAR_HEADS), None)


def check_problem_type(config: dict[str, Any], name: str) -> None:
    """Raises a BertkitError where a classifier's config.json does not say what its outputs mean, as transformers reads it.

    Args:
        config: its config.json.
        name: the model's name, for messages.
    """
    if linear_class(config) != "BertForSequenceClassification":
        return
    names = config.get("id2label")
    kind, outputs = config.get("problem_type"), len(names) if isinstance(names, dict) else config.get("num_labels")
    if kind is not None and kind not in PROBLEM_TYPES:
        raise BertkitError(
            f"the config.json of {name} has the problem_type {kind!r}, which nobody reads: it is one of "
            f"{', '.join(PROBLEM_TYPES)}, or left out"
        )
    if kind == "single_label_classification" and outputs == 1:
        raise BertkitError(
            f"the config.json of {name} says {kind} of one class, which would always be right: it is regression, or "
            "multi_label_classification"
        )
