"""Searches for whole words, of one or several pieces, in the place of masks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, product

import numpy as np

from bertkit import console
from bertkit.inference.mask_filling.joint import Gaps, best_fillings, each_answer
from bertkit.runtime.base import Reader
from bertkit.runtime.text import Encoding, TextEncoder

_LENGTHS_READ, _LENGTHS_SEARCHED = 256, 4
Word = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Filling:
    """Words in the place of masks."""

    text: Encoding
    """The text, with a mask for each piece of the words."""
    places: tuple[int, ...]
    """The places of these masks, ascending."""
    words: tuple[Word, ...]

    @property
    def filled(self) -> Encoding:
        """The text with the words in the place of the masks."""
        return Gaps(self.text, self.places).filled(tuple(piece for word in self.words for piece in word))


class WordPieces:
    """The ids of a vocabulary by what they stand for; int64, ascending.

    Attributes:
        any: all pieces that stand for text.
        beginning: those that begin a word (``cat``).
        continuing: those that continue a word (``##s``).
    """

    def __init__(self, text_encoder: TextEncoder) -> None:
        special = {*text_encoder.special_ids, text_encoder.unk_id}
        text = {id_: piece for piece, id_ in text_encoder.vocab.items() if id_ not in special}
        self.any = np.array(sorted(text))
        goes_on = np.array([id_ in text_encoder.continuing_ids for id_ in self.any.tolist()], dtype=bool)
        self.beginning, self.continuing = self.any[~goes_on], self.any[goes_on]


def widened(text: Encoding, places: Sequence[int], lengths: Sequence[int]) -> tuple[Encoding, tuple[int, ...]]:
    """Replaces masks by several masks each; returns the text and the places of the masks.

    Args:
        text: has a mask at each of the places.
        places: ascending.
        lengths: how many masks to put at each place.

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
    """Searches for the most probable whole words, of up to ``max_pieces`` pieces each, at some masks of a text.

    A word of k pieces is searched with k masks in its place, and its probability is that of all its pieces (see
    ``joint.py``). All numbers of masks count as equally likely beforehand. It is left to the model whether k masks are one
    word: where it expects another word rather than a ``##`` piece, words of k pieces get low probabilities. (A mean over
    the pieces would prefer repetitions such as *is ##lin ##lin*.)

    With several masks, up to 256 combinations of lengths are tried with one reading each (``max_pieces`` is lowered where
    there are more), and the four that the model is surest of are searched.

    Returns:
        Fillings, the best first, each with the natural logarithm of its probability.
    """
    fillings: list[tuple[float, Filling]] = []
    for lengths in _best_lengths(reader, kinds, text, places, max_pieces):
        gaps = Gaps(*widened(text, places, lengths))
        for log, pieces in best_fillings(reader.bert, gaps, _allowed(kinds, lengths), beam):
            words = tuple(_cut(pieces, lengths))
            if all(_is_spelled_so(reader.text_encoder, word) for word in words):
                fillings.append((log, Filling(gaps.text, tuple(gaps.places), words)))
    return sorted(fillings, key=lambda item: -item[0])


def _best_lengths(
    reader: Reader, kinds: WordPieces, text: Encoding, places: Sequence[int], max_pieces: int
) -> list[tuple[int, ...]]:
    fits = max_pieces if len(kinds.continuing) else 1
    while fits ** len(places) > _LENGTHS_READ:
        fits -= 1
    if fits < max_pieces:
        why = "no word piece says that it goes on with a word"
        if len(kinds.continuing):
            why = f"at {len(places)} masks there are too many combinations of longer ones"
        console.note_once(f"words of up to {fits} word pieces are searched, not {max_pieces}, as {why}")
    max_pieces = fits
    room = reader.max_tokens - len(text.ids) + len(places)
    every = list(product(range(1, max_pieces + 1), repeat=len(places)))
    lengths = [some for some in every if sum(some) <= room]
    if len(lengths) < len(every):
        most = max(map(max, lengths))
        what = f"words of up to {most} word pieces are searched, not {max_pieces}"
        if most == max_pieces:
            what = f"not all words of up to {max_pieces} word pieces are searched together"
        console.note_once(f"{what}, as the text fills the {reader.max_tokens} tokens that the model reads")
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
    """For each piece of words of these lengths, the ids that may stand there."""
    return [kinds.continuing if step else kinds.beginning for length in lengths for step in range(length)]


def _cut(pieces: Sequence[int], lengths: Sequence[int]) -> Iterator[Word]:
    """Cuts a row of pieces into words of these lengths."""
    for end, length in zip(accumulate(lengths), lengths, strict=True):
        yield tuple(pieces[end - length : end])


def _is_spelled_so(text_encoder: TextEncoder, word: Word) -> bool:
    """Whether the tokenizer cuts the word into these pieces, as in training (and not *the* into ``t ##he``)."""
    return len(word) == 1 or tuple(text_encoder.spelt(text_encoder.decode(word))) == word
