"""What documents allow, against the examples that are drawn of them."""

import numpy as np
import pytest
from helpers.run_texts import SHAPES, data_of, text_of
from helpers.stores import random_documents

from bertkit.corpus import by_document
from bertkit.pretraining.dataset import sampler_for
from bertkit.pretraining.extent import Extent, documents_with_pairs, extent_of, longest_example
from bertkit.pretraining.pairs import NO_PAIR


def drawn(text, data, length, epochs=60):
    sampler = sampler_for(text, data, length, 1)
    return [sampler.example(epoch, number) for epoch in range(epochs) for number in range(len(sampler))]


def tokens_of(example):
    return len(example.a) + 2 if example.b is None else len(example.a) + len(example.b) + 3


IN_PAIRS = {"rows": 0, "short documents": 4, "rows and short documents": 2, "a long row among short ones": 9}


@pytest.mark.parametrize("objective", ["nsp", "sop", "none"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_longest_example_and_the_pairs_are_those_that_are_drawn(tmp_path, shape, objective):
    text, data = text_of(tmp_path, SHAPES[shape]), data_of(objective)
    examples = drawn(text, data, 24)
    assert max(map(tokens_of, examples)) == longest_example(text, data, 24)
    has_pairs = any(example.next_sentence_label != NO_PAIR for example in examples)
    assert has_pairs == (documents_with_pairs([text], data) > 0)
    if objective != "none" and shape in IN_PAIRS:
        assert documents_with_pairs([text], data) == IN_PAIRS[shape]


def test_only_documents_to_train_on_count(tmp_path, monkeypatch, own_cache):
    """By a loop over the documents, and the same where they are many and so computed once."""
    text = text_of(tmp_path / "s", random_documents(200, sentences=(1, 4)), share=0.3)
    ends = np.asarray(text.store.sentence_starts)
    mine = [(int(b - a), int(ends[b] - ends[a])) for a, b, own in zip(
        text.documents.starts, text.documents.starts[1:], text.documents.mine, strict=False) if own]  # fmt: skip
    several, one = ([tokens for n, tokens in mine if (n > 1) is wanted] for wanted in (True, False))
    assert extent_of(text) == Extent(len(several), max(several), max(one))
    monkeypatch.setattr(by_document, "MAPPED_FROM", 1)
    monkeypatch.setattr(by_document, "_AT_ONCE", 7)
    assert extent_of(text) == Extent(len(several), max(several), max(one))
