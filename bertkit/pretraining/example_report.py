"""Examples as training sees them, and their figures, for ``bertkit inspect``."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from bertkit.models.bert import IGNORE
from bertkit.pretraining.dataset import PretrainingPlan

_BATCH = 256


@dataclass(frozen=True)
class ExampleReport:
    """Figures of examples as training sees them."""

    examples: int
    mean_length: float
    length_use: float
    """The tokens of the examples, as a share of the ``max_seq_length`` tokens that each has room for in its step."""
    without_pair: float
    random_b: float
    """The share of random pairs (label 1) among the pairs."""
    predicted: float
    """The share of the tokens, without special tokens, that are predicted."""
    shown_as_mask: float
    shown_as_random: float
    shown_as_is: float


def dumped(plan: PretrainingPlan, tokenizer: Any, n: int) -> Iterator[dict[str, Any]]:
    """The first ``n`` examples that training would see, or all if they are fewer, in their order, masked and without padding.

    Yields:
        ``input_ids``, ``labels``, ``token_type_ids`` (lists of int), ``next_sentence_label`` (int) and ``tokens`` (the
        word pieces of ``input_ids``).
    """
    references = (reference for step in range(plan.total_steps) for reference in plan.examples(step))
    left = min(n, plan.total_steps * plan.batch_size)
    while left > 0:
        batch = plan.fetch(list(islice(references, min(_BATCH, left))))
        arrays = {name: tensor.numpy() for name, tensor in batch.items()}
        for row, length in enumerate(arrays["attention_mask"].sum(axis=1).tolist()):
            ids = arrays["input_ids"][row, :length].tolist()
            yield {
                "input_ids": ids,
                "labels": arrays["labels"][row, :length].tolist(),
                "token_type_ids": arrays["token_type_ids"][row, :length].tolist(),
                "next_sentence_label": int(arrays["next_sentence_label"][row]),
                "tokens": tokenizer.convert_ids_to_tokens(ids),
            }
        left -= _BATCH


def example_report(examples: list[dict[str, Any]], room: int, special: list[int], mask_id: int) -> ExampleReport:
    """The figures of some dumped examples, which have room for so many tokens together."""
    ids = np.concatenate([example["input_ids"] for example in examples])
    labels = np.concatenate([example["labels"] for example in examples])
    pairs = np.array([example["next_sentence_label"] for example in examples])
    predicted = labels != IGNORE
    true_ids = np.where(predicted, labels, ids)
    shown, total = ids[predicted], max(1, int(predicted.sum()))
    as_mask, as_is = (shown == mask_id).sum() / total, (shown == labels[predicted]).sum() / total
    return ExampleReport(
        examples=len(examples),
        mean_length=len(ids) / len(examples),
        length_use=len(ids) / room,
        without_pair=float((pairs == IGNORE).mean()),
        random_b=float((pairs == 1).sum() / max(1, (pairs != IGNORE).sum())),
        predicted=float(predicted.sum() / max(1, (~np.isin(true_ids, special)).sum())),
        shown_as_mask=float(as_mask),
        shown_as_random=float(1 - as_mask - as_is),
        shown_as_is=float(as_is),
    )
