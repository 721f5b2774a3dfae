"""Which text trains and which is held out: by tokens, in whole documents, and in a part of one where all are too large."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bertkit.corpus.by_document import chunks_of, computed_once, tokens_of
from bertkit.corpus.store import CorpusStore, check_starts
from bertkit.draws import key
from bertkit.errors import BertkitError

_FIGURE_TOKENS = 3_200
"""So many are held out at least. Of four fifths of them, 2,560, 15 % are predicted: an accuracy on 384 tokens has a 95 %
interval of 5 points either way (1.96 · sqrt(0.25 / 384))."""
_SMALL_CORPUS_SHARE = 0.1
"""Of a corpus that has not ten times as much, this share is held out."""
_TOLERANCE = 0.2
"""What is held out may differ from what is wanted by this share of it."""
_PAIR = 2  # sentences that either side of a cut keeps


@dataclass(frozen=True)
class DocumentSet:
    """The documents of a corpus that one side, training or validation, may use.

    Attributes:
        starts: int64 ``[documents + 1]``, where each document starts, in sentences.
        mine: bool ``[documents]``, the documents of this side.
        count: how many they are.
        tokens: word pieces of this side.
        origin: what the side is a function of, beside the store.
    """

    starts: np.ndarray
    mine: np.ndarray
    count: int
    tokens: int
    origin: tuple[object, ...]


def split_documents(store: CorpusStore, share: float, seed: int) -> tuple[DocumentSet, DocumentSet]:
    """Training and validation documents, of which validation has about ``share`` of the tokens.

    Each document falls to validation with probability ``share``. Where that misses the wanted tokens by more than a
    fifth, the documents are taken in the order of the same draws, as far as they fit; where they do not make up the
    tokens either, the largest document is cut between two sentences and its end becomes a document of its own.

    Args:
        share: of the tokens, 0 (nothing is held out) to 1 (exclusive). Of a small corpus more is held out: what a
            figure with its interval needs, but no more than a tenth.
        seed: of the draws.

    Raises:
        BertkitError: the corpus is one document that is too short to be cut, or damaged.
    """
    total = store.info.tokens
    wanted = max(share * total, min(_FIGURE_TOKENS, _SMALL_CORPUS_SHARE * total)) if share else 0.0
    least, most = (1 - _TOLERANCE) * wanted, min((1 + _TOLERANCE) * wanted, (wanted + total) / 2)
    origin = ("split", share, seed) if share else ("split",)  # without a share no draw decides anything
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
    """Both sides where each document falls to validation with probability ``share``."""

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
    """Documents in this order, each where it still fits, until there are the tokens that are wanted."""
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
    """The documents' starts and what is held out, with the end of the largest document as one more document."""
    starts = np.asarray(store.document_starts)
    can_be_cut = ~held_out & (np.diff(starts) >= 2 * _PAIR)
    if not can_be_cut.any():
        if len(tokens) == 1:
            raise BertkitError(
                f"a corpus of one document with {store.info.sentences} sentences cannot hold out a part for "
                "validation: give more text, --validation FILE, or --set validation_split=0"
            )
        if not held_out.any():
            held_out = np.arange(len(tokens)) == tokens.argmin()
        return starts, held_out
    document = int(np.where(can_be_cut, tokens, 0).argmax())
    first, after = starts[document : document + 2].tolist()
    cuts = np.asarray(store.sentence_starts[first + _PAIR : after - _PAIR + 1])
    cut = first + _PAIR + int(np.abs(cuts - (store.sentence_starts[after] - lacking)).argmin())
    return np.insert(starts, document + 1, cut), np.insert(held_out, document + 1, True)
