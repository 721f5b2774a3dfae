"""Counts what a model reads otherwise than it is written: unknown word pieces, and characters that its tokenizer changes."""

from collections.abc import Collection, Iterable, Sequence
from itertools import chain

import numpy as np

from bertkit import console
from bertkit.inference.changed import ChangedCharacters
from bertkit.runtime.text import Encoding, TextEncoder


def counted_pieces(texts: Iterable[Sequence[int]], unk_id: int | None, special_ids: Collection[int]) -> tuple[int, int]:
    """How many word pieces of texts are unknown, and how many there are.

    Args:
        texts: the ids of each text.
        unk_id: the id of unknown pieces; None if there is none.
        special_ids: the ids of special tokens, which are no pieces.
    """
    ids = np.fromiter(chain.from_iterable(texts), np.int64)
    return int((ids == unk_id).sum()), int((~np.isin(ids, list(special_ids))).sum())


class Misread:
    """The counts for one model.

    Args:
        name: the model's.
        text_encoder: the model's.

    Attributes:
        count: how many of the pieces that were added are unknown; special tokens are no pieces.
    """

    def __init__(self, name: str, text_encoder: TextEncoder) -> None:
        self._name, self._text_encoder = name, text_encoder
        self._changed = ChangedCharacters(text_encoder.tokenizer)
        self.count = self._all = 0

    def add(self, texts: Iterable[str], encoded: Iterable[Encoding]) -> None:
        """Takes up texts, and their pieces."""
        for text in texts:
            self._changed.add(text)
        encoder = self._text_encoder
        unknown, pieces = counted_pieces((text.ids for text in encoded), encoder.unk_id, encoder.special_ids)
        self.count += unknown
        self._all += pieces

    def say(self, what: str, where: str = "") -> None:
        """Says how many pieces were unknown since the last call, and what becomes of them, and which characters were changed.

        Args:
            what: what becomes of the pieces.
            where: what the texts are, if nobody named them.
        """
        if self.count:
            are = console.counted(self.count, "is", "are")
            told = (
                f"of {self._all:,} word pieces{where and f' of {where}'} {are} unknown to {self._name} "
                f"({self._text_encoder.unk_token}), and {what}"
            )
            console.note(console.plain(told))
        self.count = self._all = 0
        self._changed.say()
