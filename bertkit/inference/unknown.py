"""Counts the word pieces of texts that a model does not know, and so reads as ``[UNK]`` whatever is written there."""

from collections.abc import Iterable

from bertkit import console
from bertkit.runtime.base import Reader
from bertkit.runtime.text import Encoding


class UnknownPieces:
    """The count for one model.

    Args:
        reader: the model.

    Attributes:
        count: how many of the pieces that were added are unknown; special tokens are no pieces.
    """

    def __init__(self, reader: Reader) -> None:
        self._name, self._text_encoder = reader.name, reader.text_encoder
        self.count = self._all = 0

    def add(self, texts: Iterable[Encoding]) -> None:
        """Takes up the pieces of texts."""
        unk_id = self._text_encoder.vocab[self._text_encoder.unk_token]
        for text in texts:
            self._all += sum(id_ not in self._text_encoder.special_ids for id_ in text.ids)
            self.count += text.ids.count(unk_id)

    def say(self, what: str) -> None:
        """Says how many pieces were unknown since the last call, if there are any, and what becomes of them."""
        if self.count:
            are = console.counted(self.count, "is", "are")
            told = f"of {self._all:,} word pieces {are} unknown to {self._name} ({self._text_encoder.unk_token}), and {what}"
            console.note(console.plain(told))
        self.count = self._all = 0
