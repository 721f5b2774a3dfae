"""Counts the word pieces of texts that a model does not know, and so reads as ``[UNK]`` whatever is written there."""

from collections.abc import Iterable

from bertkit import console
from bertkit.runtime.text import Encoding, TextEncoder


def counted_pieces(text_encoder: TextEncoder, texts: Iterable[Encoding]) -> tuple[int, int]:
    """How many word pieces of texts are unknown, and how many there are; special tokens are no pieces."""
    unk_id = text_encoder.vocab[text_encoder.unk_token]
    unknown = pieces = 0
    for text in texts:
        unknown += text.ids.count(unk_id)
        pieces += sum(id_ not in text_encoder.special_ids for id_ in text.ids)
    return unknown, pieces


class UnknownPieces:
    """The count for one model.

    Args:
        name: the model's.
        text_encoder: the model's.

    Attributes:
        count: how many of the pieces that were added are unknown; special tokens are no pieces.
    """

    def __init__(self, name: str, text_encoder: TextEncoder) -> None:
        self._name, self._text_encoder = name, text_encoder
        self.count = self._all = 0

    def add(self, texts: Iterable[Encoding]) -> None:
        """Takes up the pieces of texts."""
        unknown, pieces = counted_pieces(self._text_encoder, texts)
        self.count += unknown
        self._all += pieces

    def say(self, what: str) -> None:
        """Says how many pieces were unknown since the last call, if there are any, and what becomes of them."""
        if self.count:
            are = console.counted(self.count, "is", "are")
            told = f"of {self._all:,} word pieces {are} unknown to {self._name} ({self._text_encoder.unk_token}), and {what}"
            console.note(console.plain(told))
        self.count = self._all = 0
