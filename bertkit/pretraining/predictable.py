"""Whether a text has a token that can be predicted: one that is all unknown to the tokenizer has none."""

import numpy as np

from bertkit.corpus.by_document import chunks_of
from bertkit.errors import BertkitError
from bertkit.pretraining.baselines import unigrams
from bertkit.pretraining.texts import RunText

_LOOKED_AT_ONCE = 2**20
"""Tokens."""


def check_predictable(
    text: RunText,
    special: list[int],
    what: str,
    to_do: str = "give other text, or a tokenizer that knows its characters (--add-words N gives words to that of a --model)",
) -> None:
    """Raises a BertkitError where a text has documents, and no token of them can be predicted."""
    if text.documents.count and not _has_predictable(text, special):
        raise BertkitError(
            f"{what} has no word piece that could be predicted: it is all unknown to the tokenizer; {to_do}"
        )


def _has_predictable(text: RunText, special: list[int]) -> bool:
    store, starts = text.store, text.documents.starts
    if not unigrams(store.token_counts, special).most_frequent:
        return False
    for chunk in chunks_of(len(text.documents.mine)):
        for document in chunk.start + np.flatnonzero(text.documents.mine[chunk.start : chunk.stop]):
            begin, end = store.sentence_starts[starts[document : document + 2]].tolist()
            for first in range(begin, end, _LOOKED_AT_ONCE):
                if not np.isin(store.ids[first : min(first + _LOOKED_AT_ONCE, end)], special).all():
                    return True
    return False
