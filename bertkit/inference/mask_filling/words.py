"""Words of one or several pieces, in the place of a mask each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, product

import numpy as np

from bertkit.inference.mask_filling.joint import Gaps, best_fillings, each_answer
from bertkit.runtime.base import Reader
from bertkit.runtime.text import Encoding, Pieces

_LENGTHS_READ, _LENGTHS_SEARCHED = 256, 4
Word = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Filling:
    """Words in the place of masks."""

    text: Encoding
    """With a mask for each piece."""
    places: tuple[int, ...]
    """Of the pieces, in the order of the text."""
    words: tuple[Word, ...]

    @property
    def filled(self) -> Encoding:
        """The text with them."""
        return Gaps(self.text, self.places).filled(tuple(piece for word in self.words for piece in word))


class WordPieces:
    """Which ids may stand where.

    Attributes:
        any, beginning, continuing: ids of what is text at all, of what begins a word (``cat``), of what goes on with
            one (``##s``): int64, ascending.
    """

    def __init__(self, pieces: Pieces) -> None:
        special = {*pieces.special_ids, pieces.vocab[pieces.unk_token]}
        text = {id_: piece for piece, id_ in pieces.vocab.items() if id_ not in special}
        self.any = np.array(sorted(text))
        goes_on = np.array([id_ in pieces.continuing_ids for id_ in self.any.tolist()], dtype=bool)
        self.beginning, self.continuing = self.any[~goes_on], self.any[goes_on]


def widened(text: Encoding, places: Sequence[int], lengths: Sequence[int]) -> tuple[Encoding, tuple[int, ...]]:
    """A text with so many masks in the place of one each, and the places of these masks.

    Args:
        text: with a mask at each of the places, which ascend.

    Example: ``[CLS] [MASK] a [SEP]`` with 2 masks at place 1 → ``[CLS] [MASK] [MASK] a [SEP]``, ``(1, 2)``.
    """
    ids, types = list(text.ids), list(text.type_ids)
    for place, length in reversed(list(zip(places, lengths, strict=True))):
        ids[place : place + 1] = [ids[place]] * length
        types[place : place + 1] = [types[place]] * length
    shifts = [0, *accumulate(length - 1 for length in lengths)]
    starts = [place + shift for place, shift in zip(places, shifts, strict=False)]
    wide = tuple(start + step for start, length in zip(starts, lengths, strict=True) for step in range(length))
    return Encoding(ids, types), wide


def search(
    reader: Reader, kinds: WordPieces, text: Encoding, places: Sequence[int], max_pieces: int, beam: int
) -> list[tuple[float, Filling]]:
    """Whole words of up to ``max_pieces`` pieces each that may stand at some masks of a text.

    A word of k pieces is read in the place of k masks, and its probability is that of all its pieces (``joint.py``).
    So all numbers of masks count as equally likely beforehand, and it is left to the model whether k masks are one
    word: where it expects another word instead of a ``##`` piece, words of k pieces are improbable. (A mean over the
    pieces would favour what repeats itself: *is ##lin ##lin*.)

    At several masks the four combinations of numbers are searched at which the model is surest, of as many as 256
    readings tell; ``max_pieces`` is lowered where there are more.

    Returns:
        ln of the probability, and the words; the best first.
    """
    found: list[tuple[float, Filling]] = []
    for lengths in _best_lengths(reader, kinds, text, places, max_pieces):
        gaps = Gaps(*widened(text, places, lengths))
        for log, pieces in best_fillings(reader.bert, gaps, _allowed(kinds, lengths), beam):
            words = tuple(_cut(pieces, lengths))
            if all(_is_spelled_so(reader.pieces, word) for word in words):
                found.append((log, Filling(gaps.text, tuple(gaps.places), words)))
    return sorted(found, key=lambda item: -item[0])


def _best_lengths(
    reader: Reader, kinds: WordPieces, text: Encoding, places: Sequence[int], max_pieces: int
) -> list[tuple[int, ...]]:
    if not len(kinds.continuing):
        max_pieces = 1
    while max_pieces ** len(places) > _LENGTHS_READ:
        max_pieces -= 1
    room = reader.max_tokens - len(text.ids) + len(places)
    lengths = [some for some in product(range(1, max_pieces + 1), repeat=len(places)) if sum(some) <= room]
    if len(places) == 1 or len(lengths) <= _LENGTHS_SEARCHED:
        return lengths
    sure = [0.0] * len(lengths)

    def answer(number: int, logs: np.ndarray) -> None:
        best = [row[ids].max() for row, ids in zip(logs, _allowed(kinds, lengths[number]), strict=True)]
        sure[number] = float(np.sum(best))

    wide = [widened(text, places, some) for some in lengths]
    each_answer(reader.bert, [one for one, _ in wide], [there for _, there in wide], answer)
    best = sorted(range(len(lengths)), key=lambda number: -sure[number])
    return [lengths[number] for number in best[:_LENGTHS_SEARCHED]]


def _allowed(kinds: WordPieces, lengths: Sequence[int]) -> list[np.ndarray]:
    """For each piece of words of so many pieces, the ids that may stand there."""
    return [kinds.continuing if step else kinds.beginning for length in lengths for step in range(length)]


def _cut(pieces: Sequence[int], lengths: Sequence[int]) -> Iterator[Word]:
    """The pieces as words of such lengths."""
    for end, length in zip(accumulate(lengths), lengths, strict=True):
        yield tuple(pieces[end - length : end])


def _is_spelled_so(pieces: Pieces, word: Word) -> bool:
    """Whether the model would see the word in these pieces, as it saw it in training (not *the* as ``t ##he``)."""
    return len(word) == 1 or tuple(pieces.spelt(pieces.decode(word))) == word
