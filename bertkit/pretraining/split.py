"""Splits a corpus into training and validation: by tokens, in whole documents, or in a part of one if all are too large."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bertkit.console import counted
from bertkit.corpus.by_document import chunks_of, computed_once, tokens_of
from bertkit.corpus.store import CorpusStore, check_starts
from bertkit.draws import key
from bertkit.errors import BertkitError

_FIGURE_TOKENS = 3_200
"""The least number of tokens to hold out. Even of four fifths of them, 2,560, 15 % are predicted: an accuracy on 384 tokens
has a 95 % interval of 5 points in both directions (1.96 · sqrt(0.25 / 384))."""
_SMALL_CORPUS_SHARE = 0.1
"""The share to hold out of a corpus that has less than ten times as many tokens."""
_TOLERANCE = 0.2
"""The share by which the number of held-out tokens may differ from the wanted number."""
_PAIR = 2  # sentences that either side of a cut keeps


@dataclass(frozen=True)
class DocumentSet:
    """The documents of a corpus for one side, training or validation.

    Attributes:
        starts: int64 ``[documents + 1]``: the first sentence of each document.
        mine: bool ``[documents]``: the documents of this side.
        count: how many documents this side has.
        tokens: how many word pieces this side has.
        origin: what the side depends on, besides the store.
    """

    starts: np.ndarray
    mine: np.ndarray
    count: int
    tokens: int
    origin: tuple[object, ...]


def split_documents(store: CorpusStore, share: float, seed: int) -> tuple[DocumentSet, DocumentSet]:
    """Splits the documents into training and validation, which gets about ``share`` of the tokens.

    Each document goes to validation with probability ``share``. If that misses the wanted number of tokens by more than a
    fifth, documents are taken in the order of the same draws, as long as they fit. If these are not enough either, the
    largest document is cut between two sentences, and its end becomes a document of its own.

    Args:
        store: the corpus.
        share: the share of the tokens to hold out, from 0 (none) to 1 (exclusive). Of a small corpus more is held out: as much
            as a figure needs, but no more than a tenth.
        seed: of the draws.

    Raises:
        BertkitError: the corpus is damaged, or a single document that is too short to be cut.
    """
    total = store.info.tokens
    wanted = max(share * total, min(_FIGURE_TOKENS, _SMALL_CORPUS_SHARE * total)) if share else 0.0
    least, most = (1 - _TOLERANCE) * wanted, min((1 + _TOLERANCE) * wanted, (wanted + total) / 2)
    origin = ("split", share, seed) if share else ("split",)  # without a share there are no draws
    by_chance = _by_chance(store, share, seed, origin)
    if least <= by_chance[1].tokens <= most:
        return by_chance
    starts = store.document_starts
    tokens = tokens_of(store, starts, range(len(starts) - 1))
    held_out = _whole_documents(tokens, np.argsort(_draws(seed).random(len(tokens))).tolist(), wanted, most)
    lacking = wanted - int(tokens[held_out].sum())
    if lacking > wanted - least:
        starts, held_out = _with_a_cut(store, tokens, held_out, lacking)
        tokens = tokens_of(store, starts, range(len(starts) - 1))
    return (
        _side(starts, ~held_out, tokens, (*origin, "cut", "training")),
        _side(starts, held_out, tokens, (*origin, "cut", "held_out")),
    )


def _by_chance(
    store: CorpusStore, share: float, seed: int, origin: tuple[object, ...]
) -> tuple[DocumentSet, DocumentSet]:
    """Both sides, if each document goes to validation with probability ``share``."""

    def drawn() -> Iterator[dict[str, np.ndarray]]:
        check_starts(store)
        draws = _draws(seed)
        for documents in chunks_of(store.info.documents):
            held_out = draws.random(len(documents)) < share
            tokens = np.where(held_out, tokens_of(store, starts, documents), 0)
            yield {"training": ~held_out, "held_out": held_out, "sums": np.array([held_out.sum(), tokens.sum()])}

    starts, info = store.document_starts, store.info
    arrays = computed_once(store, origin, {"training": "?", "held_out": "?", "sums": "<i8"}, drawn)
    count, tokens = arrays["sums"].reshape(-1, 2).sum(0).tolist()
    return (
        DocumentSet(starts, arrays["training"], info.documents - count, info.tokens - tokens, (*origin, "training")),
        DocumentSet(starts, arrays["held_out"], count, tokens, (*origin, "held_out")),
    )


def _draws(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key(seed)))


def _side(starts: np.ndarray, mine: np.ndarray, tokens: np.ndarray, origin: tuple[object, ...]) -> DocumentSet:
    return DocumentSet(starts, mine, int(mine.sum()), int(tokens[mine].sum()), origin)


def _whole_documents(tokens: np.ndarray, order: Sequence[int], wanted: float, most: float) -> np.ndarray:
    """Documents in a given order, each if it still fits, until there are enough tokens."""
    held_out = np.zeros(len(tokens), bool)
    taken = 0
    for document in order:
        if taken + tokens[document] <= most:
            held_out[document] = True
            taken += int(tokens[document])
            if taken >= wanted:
                break
    return held_out


def _with_a_cut(
    store: CorpusStore, tokens: np.ndarray, held_out: np.ndarray, lacking: float
) -> tuple[np.ndarray, np.ndarray]:
    """The starts of the documents, and which are held out, after the end of the largest one was made a document."""
    starts = np.asarray(store.document_starts)
    can_be_cut = ~held_out & (np.diff(starts) >= 2 * _PAIR)
    if not can_be_cut.any():
        if len(tokens) == 1:
            raise BertkitError(
                f"a corpus of one document with {counted(store.info.sentences, 'sentence', 'sentences')} "
                f"({store.info.sources[0]}) cannot hold out a part for validation: give more text, --validation FILE, or "
                "--set validation_split=0"
            )
        if not held_out.any():
            held_out = np.arange(len(tokens)) == tokens.argmin()
        return starts, held_out
    document = int(np.where(can_be_cut, tokens, 0).argmax())
    first, after = starts[document : document + 2].tolist()
    cuts = np.asarray(store.sentence_starts[first + _PAIR : after - _PAIR + 1])
    cut = first + _PAIR + int(np.abs(cuts - (store.sentence_starts[after] - lacking)).argmin())
    return np.insert(starts, document + 1, cut), np.insert(held_out, document + 1, True)
