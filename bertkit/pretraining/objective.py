"""The pretraining loss: masked language modelling plus next-sentence prediction (Devlin et al. 2018, 3.1 and A.2)."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, pad
from transformers import BertForPreTraining

from bertkit.models.bert import IGNORE
from bertkit.models.fast.attention import attend_unpadded, encode
from bertkit.models.fast.cross_entropy import vocabulary_loss
from bertkit.models.fast.dropout import draw_cheaply
from bertkit.models.fast.layout import missing_rows
from bertkit.training.steps import Batch
from bertkit.training.sums import Sums


class BertPretrainingObjective(nn.Module):
    """The loss of ``BertForPreTraining``, computed without padding, and with the last layer and the logits over the
    vocabulary only at the masked positions and ``[CLS]``.

    The model's own forward pass also computes padding (14 % of the positions at length 128, 48 % at 512, on Wikipedia), and
    the last states and logits at every position, of which it throws 85 % away: most of the work of a small model. Loss and
    gradients are the same. Sums are returned, so that the loop can divide them by the counts of the whole optimizer step.

    Args:
        model: the model; it is trained in place.
        sentence_pairs: whether the batches have a sentence objective; without one the pooler and the next-sentence head are
            left as they are.
    """

    def __init__(self, model: BertForPreTraining, sentence_pairs: bool = True) -> None:
        super().__init__()
        self.model = model
        self.sentence_pairs = sentence_pairs
        attend_unpadded(model)
        draw_cheaply(model)
        for part in (model.bert.pooler, model.cls.seq_relationship):
            part.requires_grad_(sentence_pairs)

    def counts(self, batch: Batch) -> dict[str, float]:
        """The number of predicted tokens ("mlm") and of labelled pairs ("nsp") in a batch."""
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
        """The sums ``mlm_loss``, ``mlm_correct``, ``nsp_loss`` and ``nsp_correct`` over the batch (scalars, fp32).

        Args:
            input_ids, attention_mask, token_type_ids: int64 ``[batch, length]``.
            labels: int64 ``[batch, length]``, -100 where nothing is predicted.
            next_sentence_label: int64 ``[batch]``, -100 where there is no pair.
        """
        predicted = labels != IGNORE
        wanted = predicted.clone()
        wanted[:, 0] |= self.sentence_pairs  # [CLS], which is never masked
        hidden = encode(self.model.bert, input_ids, attention_mask, token_type_ids, wanted)
        is_masked = predicted[wanted]
        masked, targets = _filled_up(hidden[is_masked.nonzero().squeeze(1)], labels[predicted])
        head = self.model.cls.predictions
        loss, correct = vocabulary_loss(head.transform(masked), head.decoder.weight, head.decoder.bias, targets)
        sums = {"mlm_loss": loss, "mlm_correct": correct}
        if self.sentence_pairs:
            first = hidden[(~is_masked).nonzero().squeeze(1)]
            logits = self.model.cls.seq_relationship(self.model.bert.pooler(first.unsqueeze(1)))
            sums["nsp_loss"] = cross_entropy(logits.float(), next_sentence_label, ignore_index=IGNORE, reduction="sum")
            sums["nsp_correct"] = (logits.detach().argmax(-1) == next_sentence_label).sum().float()
        return sums


def _filled_up(masked: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Adds rows that do not count to ``[M, hidden_size]`` and ``[M]``, up to a multiple of ``ROWS_AT_ONCE``."""
    missing = missing_rows(len(masked), masked.device)
    return pad(masked, (0, 0, 0, missing)), pad(targets, (0, missing), value=IGNORE)
