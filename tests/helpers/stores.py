"""Small prepared corpora and tokenizers for tests, made in a moment."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bertkit.corpus.store import CorpusStore, StoreWriter, open_store
from bertkit.models.tokenizer import build_tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def toy_tokenizer(num_words: int = 95):
    """Word pieces w0, w1, … from id 5 on; every fifth one continues a word."""
    words = [f"##w{i}" if i % 5 == 4 else f"w{i}" for i in range(num_words)]
    return build_tokenizer(SPECIAL + words, lowercase=True)


def write_store(folder: Path, documents: Sequence[Sequence[Sequence[int]]], vocab_size: int = 100) -> CorpusStore:
    """A store of documents → sentences → token ids."""
    folder.mkdir(parents=True, exist_ok=True)
    with StoreWriter(folder, vocab_size) as writer:
        for document in documents:
            lengths = np.array([len(sentence) for sentence in document])
            writer.add_sentences(np.array([id_ for sentence in document for id_ in sentence]), lengths)
            writer.end_document()
        writer.finish(fingerprint="text", tokenizer_fingerprint="pieces", sources=["toy"], text_bytes=0)
    return open_store(folder)


def random_documents(num_documents: int, seed: int = 0, sentences: tuple[int, int] = (2, 12)) -> list[list[list[int]]]:
    """Documents of random sentences of 3 to 20 tokens with ids 5 … 99."""
    rng = np.random.default_rng(seed)
    return [
        [
            rng.integers(5, 100, rng.integers(3, 21)).tolist()
            for _ in range(rng.integers(sentences[0], sentences[1] + 1))
        ]
        for _ in range(num_documents)
    ]
