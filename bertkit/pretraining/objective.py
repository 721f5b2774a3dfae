"""The pretraining loss: masked language modelling plus next-sentence prediction (Devlin et al. 2018, 3.1 and A.2)."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import BertForPreTraining

from bertkit.pretraining.cross_entropy import vocabulary_loss
from bertkit.pretraining.masking import IGNORE
from bertkit.training.figures import Sums
from bertkit.training.steps import Batch


class BertPretrainingObjective(nn.Module):
    """``BertForPreTraining`` with the vocabulary's logits at the masked positions only.

    The model's own forward pass computes them at every position and throws 85 % away, which is most of the work
    of a small model; value and gradients are the same. It returns sums, so that the loop can divide by the
    counts of the whole optimizer step.

    Args:
        model: trained in place.
        sentence_pairs: whether the batches carry a sentence objective; without one the pooler and its head
            are left as they are.
    """

    def __init__(self, model: BertForPreTraining, sentence_pairs: bool = True) -> None:
        super().__init__()
        self.model = model
        self.sentence_pairs = sentence_pairs
        for part in (model.bert.pooler, model.cls.seq_relationship):
            part.requires_grad_(sentence_pairs)

    def counts(self, batch: Batch) -> dict[str, float]:
        """Predicted tokens and labelled pairs of a batch."""
        counts = {"mlm": float((batch["labels"] != IGNORE).sum())}
        if self.sentence_pairs:
            counts["nsp"] = float((batch["next_sentence_label"] != IGNORE).sum())
        return counts

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        token_type_ids: torch.Tensor,
        labels: torch.Tensor,
        next_sentence_label: torch.Tensor,
    ) -> Sums:
        """Sums over the batch: ``mlm_loss``, ``mlm_correct``, ``nsp_loss``, ``nsp_correct`` (scalars, fp32).

        Args:
            input_ids, attention_mask, token_type_ids: int64 ``[batch, length]``.
            labels: int64 ``[batch, length]``, -100 where nothing is predicted.
            next_sentence_label: int64 ``[batch]``, -100 where there is no pair.
        """
        hidden = self.model.bert(input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        masked = (labels != IGNORE).flatten().nonzero().squeeze(1)
        head = self.model.cls.predictions
        transformed = head.transform(hidden.last_hidden_state.flatten(0, 1)[masked])
        loss, correct = vocabulary_loss(transformed, head.decoder.weight, head.decoder.bias, labels.flatten()[masked])
        sums = {"mlm_loss": loss, "mlm_correct": correct}
        if self.sentence_pairs:
            logits = self.model.cls.seq_relationship(hidden.pooler_output)
            sums["nsp_loss"] = cross_entropy(logits.float(), next_sentence_label, ignore_index=IGNORE, reduction="sum")
            sums["nsp_correct"] = (logits.detach().argmax(-1) == next_sentence_label).sum().float()
        return sums
