"""The fine-tuning loss of a sequence-level task (Devlin et al. 2018, 3.2 and 4.1)."""

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from bertkit.models.classifier import class_logits
from bertkit.models.fast.attention import attend_unpadded
from bertkit.models.fast.dropout import draw_cheaply
from bertkit.training.steps import Batch
from bertkit.training.sums import Sums


class ClassificationObjective(nn.Module):
    """A sequence classifier of transformers with its loss as a sum over rows.

    Cross-entropy for classes, binary cross-entropy a class (averaged over the classes) for several labels a row,
    squared error for numbers: those of transformers' ``ForSequenceClassificationLoss``, in fp32.

    Args:
        model: trained in place; its ``config.problem_type`` says which loss.
        class_weights: float32 ``[classes]`` for weighted cross-entropy, whose mean is by the sum of the weights.
    """

    def __init__(self, model: nn.Module, class_weights: torch.Tensor | None = None) -> None:
        super().__init__()
        self.model = model
        attend_unpadded(model)
        draw_cheaply(model)
        self.problem_type: str = model.config.problem_type  # type: ignore[union-attr, assignment]
        self.class_weights = class_weights

    def counts(self, batch: Batch) -> dict[str, float]:
        """Rows of a batch, or their weights."""
        if self.class_weights is not None:
            return {"": float(self.class_weights.cpu()[batch["labels"]].sum())}
        return {"": float(len(batch["labels"]))}

    def forward(self, labels: torch.Tensor, **inputs: torch.Tensor) -> Sums:
        """``loss``, summed over the batch.

        Args:
            labels: int64 ``[batch]``; float32 ``[batch]`` for numbers; float32 ``[batch, classes]`` for several labels.
            inputs: as the model takes them, int64 ``[batch, length]``.
        """
        logits = class_logits(self.model, **inputs).float()
        weights = self.class_weights.to(logits) if self.class_weights is not None else None
        return {"loss": loss_sum(logits, labels, self.problem_type, weights)}


def loss_sum(
    logits: torch.Tensor, labels: torch.Tensor, problem_type: str, class_weights: torch.Tensor | None = None
) -> torch.Tensor:
    """The loss of logits ``[batch, classes]``, summed over the rows; labels as ``ClassificationObjective`` takes them."""
    if problem_type == "regression":
        return mse_loss(logits.squeeze(-1), labels, reduction="sum")
    if problem_type == "multi_label_classification":
        return binary_cross_entropy_with_logits(logits, labels, reduction="sum") / logits.shape[-1]
    return cross_entropy(logits, labels, weight=class_weights, reduction="sum")
