"""Figures of a prepared corpus for ``bertkit inspect``: its sizes, what is unknown in it, and what occurs more than once."""

from dataclasses import dataclass

import numpy as np

from bertkit.corpus.store import CorpusStore
from bertkit.draws import mix_array
from bertkit.pretraining.texts import Prepared

DUPLICATES_LOOKED_AT = 5_000_000
"""At most so many sentences and documents are searched for duplicates: that is enough to know the share."""


@dataclass(frozen=True)
class CorpusReport:
    """Figures of a corpus. Shares are between 0 and 1; lengths are in tokens."""

    documents: int
    sentences: int
    tokens: int
    training_tokens: int
    held_out_tokens: int
    vocab_size: int
    tokens_per_document_mean: float
    tokens_per_document_median: float
    one_sentence_documents: float
    unknown_tokens: float
    duplicate_sentences: float
    duplicate_documents: float
    unigram_entropy: float
    most_frequent_token: float


def corpus_report(prepared: Prepared) -> CorpusReport:
    """The figures of a prepared corpus; of a mix, those of all its texts as they are, without their shares."""
    stores, baseline, tokens = prepared.stores, prepared.baseline, prepared.total("tokens")
    unknown: int = prepared.tokenizer.unk_token_id
    starts = [np.asarray(store.document_starts) for store in stores]
    tokens_per_document = np.concatenate(
        [np.diff(np.asarray(store.sentence_starts)[own]) for store, own in zip(stores, starts, strict=True)]
    )
    hashes: list[np.ndarray] = []
    for store in stores:
        hashes.append(_sentence_hashes(store, DUPLICATES_LOOKED_AT - sum(map(len, hashes)), unknown))
    documents = [
        _document_hashes(some, own[: np.searchsorted(own, len(some), side="right")])
        for some, own in zip(hashes, starts, strict=True)
    ]
    return CorpusReport(
        documents=prepared.total("documents"),
        sentences=prepared.total("sentences"),
        tokens=tokens,
        training_tokens=sum(text.documents.tokens for text in prepared.training),
        held_out_tokens=sum(text.documents.tokens for text in prepared.validation),
        vocab_size=stores[0].info.vocab_size,
        tokens_per_document_mean=float(tokens_per_document.mean()),
        tokens_per_document_median=float(np.median(tokens_per_document)),
        one_sentence_documents=float((np.concatenate([np.diff(own) for own in starts]) == 1).mean()),
        unknown_tokens=sum(int(store.token_counts[unknown]) for store in stores) / tokens,
        duplicate_sentences=_duplicates(np.concatenate(hashes)),
        duplicate_documents=_duplicates(np.concatenate(documents)),
        unigram_entropy=baseline.entropy,
        most_frequent_token=baseline.most_frequent,
    )


def _sentence_hashes(store: CorpusStore, most: int, unknown: int) -> np.ndarray:
    """A hash of each sentence, from its tokens and their order, for at most ``most`` sentences: uint64.

    An unknown token may stand for any word, so it is taken for another one wherever it occurs.
    """
    n = min(store.info.sentences, most)
    starts = np.asarray(store.sentence_starts[: n + 1])
    ids = np.asarray(store.ids[: starts[-1]], dtype=np.uint64)
    is_unknown = ids == unknown
    ids[is_unknown] = store.info.vocab_size + np.flatnonzero(is_unknown)
    place = np.arange(len(ids), dtype=np.uint64) - np.repeat(starts[:-1], np.diff(starts)).astype(np.uint64)
    return _folded(ids, place, starts[:-1])


def _document_hashes(sentence_hashes: np.ndarray, starts: np.ndarray) -> np.ndarray:
    if len(starts) < 2:
        return sentence_hashes[:1]
    hashes = sentence_hashes[: starts[-1]]
    place = np.arange(len(hashes), dtype=np.uint64) - np.repeat(starts[:-1], np.diff(starts)).astype(np.uint64)
    return _folded(hashes, place, starts[:-1])


def _folded(values: np.ndarray, place: np.ndarray, starts: np.ndarray) -> np.ndarray:
    if not len(starts):
        return values[:0]
    with np.errstate(over="ignore"):
        return np.add.reduceat(mix_array(mix_array(values + np.uint64(1)) + place), starts)


def _duplicates(hashes: np.ndarray) -> float:
    """The share of hashes that have occurred before."""
    return 1 - len(np.unique(hashes)) / max(1, len(hashes))
