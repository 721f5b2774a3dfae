"""Logits for labelled or unlabelled rows: batches of like length, original order, each row exactly once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.finetuning.batches import Encoded, Encoder, by_length, collate
from bertkit.models.classifier import class_logits
from bertkit.runtime.batches import TOKENS_AT_ONCE

if TYPE_CHECKING:
    import torch


def logits_for(
    model: Any, encoded: Encoded, pad_id: int, device: "torch.device", rank: int = 0, ranks: int = 1
) -> tuple[list[int], np.ndarray]:
    """This rank's row numbers and their logits, float32 ``[rows, classes]``.

    Args:
        model: a sequence classifier of transformers, in evaluation mode.
        encoded: all rows; rank ``r`` takes the batches ``r``, ``r + ranks``, …
    """
    import torch

    rows: list[int] = []
    parts: list[np.ndarray] = []
    budget = TOKENS_AT_ONCE.get(device.type, TOKENS_AT_ONCE["cpu"])
    size = max(1, budget // max(1, int(encoded.lengths.max(initial=1))))
    with torch.inference_mode():
        for number, batch_rows in enumerate(by_length(encoded.lengths, min(size * 4, 256))):
            if number % ranks != rank:
                continue
            for begin in range(0, len(batch_rows), _rows_at_once(encoded, batch_rows, budget)):
                some = batch_rows[begin : begin + _rows_at_once(encoded, batch_rows, budget)]
                batch = {name: tensor.to(device) for name, tensor in collate(encoded, some, pad_id).items()}
                rows += some
                parts.append(class_logits(model, **batch).float().cpu().numpy())
    return rows, np.concatenate(parts) if parts else np.zeros((0, 1), dtype=np.float32)


def _rows_at_once(encoded: Encoded, rows: Sequence[int], budget: int) -> int:
    return max(1, budget // int(encoded.lengths[rows[0]]))


def predict_logits(model: Any, encoder: Encoder, texts: Sequence[tuple[str, ...]]) -> np.ndarray:
    """Logits ``[rows, classes]`` of texts in their order, by a model on its device."""
    encoded = encoder(texts)
    rows, logits = logits_for(model, encoded, encoder.pad_id, model.device)
    ordered = np.empty_like(logits)
    ordered[rows] = logits
    return ordered


def decide(logits: np.ndarray, problem_type: str) -> np.ndarray:
    """Predictions out of logits: class ids int64 ``[rows]``, numbers float32 ``[rows]``, or 0/1 ``[rows, classes]``."""
    if problem_type == "regression":
        return logits[:, 0]
    if problem_type == "multi_label_classification":
        return (logits > 0).astype(np.float32)
    return logits.argmax(axis=1)


def probabilities(logits: np.ndarray, problem_type: str) -> np.ndarray:
    """Softmax over the classes, or a sigmoid a class for multi-label; float64 ``[rows, classes]``."""
    logits = logits.astype(np.float64)
    if problem_type == "multi_label_classification":
        return 1 / (1 + np.exp(-logits))
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
