"""Batches of texts of similar length, so that hardly any padding is computed."""

from collections.abc import Iterator, Sequence

import numpy as np

from bertkit.runtime.text import Encoding

TOKENS_AT_ONCE = {"cpu": 4_096, "mps": 8_192, "cuda": 65_536}
"""Tokens per batch, by device: enough to keep it busy, few enough for its memory."""


def of_like_length(texts: Sequence[Encoding], tokens_at_once: int) -> Iterator[list[int]]:
    """Batches of at most about ``tokens_at_once`` tokens, as lists of the texts' numbers; the longest texts come first."""
    order = sorted(range(len(texts)), key=lambda number: -len(texts[number].ids))
    begin = 0
    while begin < len(order):
        at_once = max(1, tokens_at_once // len(texts[order[begin]].ids))
        yield order[begin : begin + at_once]
        begin += at_once


def padded(texts: Sequence[Encoding], pad_id: int) -> dict[str, np.ndarray]:
    """Texts as ``input_ids``, ``attention_mask`` and ``token_type_ids``, each int64 ``[texts, longest]``.

    Example:
        >>> padded([Encoding([2, 7, 3], [0, 0, 0]), Encoding([2, 3], [0, 0])], pad_id=0)["input_ids"].tolist()
        [[2, 7, 3], [2, 3, 0]]
    """
    inside = np.arange(max(len(text.ids) for text in texts)) < np.array([[len(text.ids)] for text in texts])
    ids, types = np.full(inside.shape, pad_id, dtype=np.int64), np.zeros(inside.shape, dtype=np.int64)
    ids[inside] = np.concatenate([text.ids for text in texts])
    types[inside] = np.concatenate([text.type_ids for text in texts])
    return {"input_ids": ids, "attention_mask": inside.astype(np.int64), "token_type_ids": types}
