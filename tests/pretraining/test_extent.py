"""What documents allow, against the examples that are drawn of them."""

import numpy as np
import pytest
from helpers.stores import random_documents, write_store

from bertkit.corpus import by_document
from bertkit.pretraining.dataset import HeldOutExamples, sampler_for
from bertkit.pretraining.extent import (
    Extent,
    as_read,
    documents_with_pairs,
    extent_of,
    longest_example,
    say_no_held_out_pairs,
    say_pairs,
)
from bertkit.pretraining.mix import Part
from bertkit.pretraining.pairs import NO_PAIR
from bertkit.pretraining.split import split_documents
from bertkit.settings.schema import DataSettings


def part_of(folder, documents, share=0.0):
    store = write_store(folder, documents)
    return Part(store, split_documents(store, share, 1)[0])


def sentences(*lengths):
    """A document of sentences of so many tokens."""
    return [[7] * length for length in lengths]


def data_of(objective, length=24):
    return DataSettings(max_seq_length=length, sentence_objective=objective, short_seq_prob=0.0)


def drawn(part, data, length, epochs=60):
    sampler = sampler_for(part, data, length, 1)
    return [sampler.example(epoch, number) for epoch in range(epochs) for number in range(len(sampler))]


def tokens_of(example):
    return len(example.a) + 2 if example.b is None else len(example.a) + len(example.b) + 3


SHAPES = {
    "rows": [sentences(9)] * 20,
    "short documents": [sentences(3, 4), sentences(5, 2), sentences(1, 6), sentences(7, 1)],
    "rows and short documents": [sentences(3, 3), sentences(2, 4), *[sentences(11)] * 5],
    "long documents": random_documents(12),
    "a long row among short ones": [sentences(40), *[sentences(2, 3)] * 9],
    "one short document": [sentences(4, 4, 4, 4)],
    "one long document": [sentences(*[4, 5, 6] * 20)],
}
IN_PAIRS = {"rows": 0, "short documents": 4, "rows and short documents": 2, "a long row among short ones": 9}


@pytest.mark.parametrize("objective", ["nsp", "sop", "none"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_longest_example_and_the_pairs_are_those_that_are_drawn(tmp_path, shape, objective):
    part, data = part_of(tmp_path, SHAPES[shape]), data_of(objective)
    examples = drawn(part, data, 24)
    assert max(map(tokens_of, examples)) == longest_example(part, data, 24)
    has_pairs = any(example.next_sentence_label != NO_PAIR for example in examples)
    assert has_pairs == (documents_with_pairs([part], data) > 0)
    if objective != "none" and shape in IN_PAIRS:
        assert documents_with_pairs([part], data) == IN_PAIRS[shape]


def test_only_documents_to_train_on_count(tmp_path, monkeypatch, own_cache):
    """By a loop over the documents, and the same where they are many and so computed once."""
    part = part_of(tmp_path / "s", random_documents(200, sentences=(1, 4)), share=0.3)
    ends = np.asarray(part.store.sentence_starts)
    mine = [(int(b - a), int(ends[b] - ends[a])) for a, b, own in zip(
        part.documents.starts, part.documents.starts[1:], part.documents.mine, strict=False) if own]  # fmt: skip
    several, one = ([tokens for n, tokens in mine if (n > 1) is wanted] for wanted in (True, False))
    assert extent_of(part) == Extent(len(several), max(several), max(one))
    monkeypatch.setattr(by_document, "MAPPED_FROM", 1)
    monkeypatch.setattr(by_document, "_AT_ONCE", 7)
    assert extent_of(part) == Extent(len(several), max(several), max(one))


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (
            "rows",
            "no document to train on has two sentences, so there are no pairs: the next-sentence head and the pooler",
        ),
        ("rows and short documents", "5 of 7 documents to train on have no second sentence"),
        ("one short document", "is a single document, too short for a random next sentence"),
        ("short documents", ""),
        ("one long document", ""),
    ],
)
def test_a_head_that_learns_nothing_or_little_is_said(tmp_path, capsys, shape, told):
    part = part_of(tmp_path, SHAPES[shape])
    say_pairs([part], data_of("none"))
    assert capsys.readouterr().err == ""
    say_pairs([part], data_of("nsp"))
    said = " ".join(capsys.readouterr().err.split())
    assert told in said if told else said == ""
    assert said.count("--set data.sentence_objective=none") == bool(told)


@pytest.mark.parametrize(
    ("shape", "objective", "told"),
    [
        (
            "one short document",
            "nsp",
            "the text held out is a single document, too short for a random next sentence from a far",
        ),
        (
            "rows",
            "nsp",
            "no document held out has two sentences, so there are no pairs: no next-sentence figures of examples",
        ),
        ("one short document", "sop", ""),
        ("one short document", "none", ""),
        ("one long document", "nsp", ""),
        ("short documents", "nsp", ""),
    ],
)
def test_why_held_out_text_has_no_figures_of_pairs_is_said(tmp_path, capsys, shape, objective, told):
    say_no_held_out_pairs([part_of(tmp_path, SHAPES[shape])], data_of(objective, 512), 24)
    heard = " ".join(capsys.readouterr().err.split())
    assert told in heard if told else heard == ""
    assert heard.count("--validation FILE") == bool(told)


def test_a_model_that_met_no_pairs_reads_the_segments_of_its_training(tmp_path):
    rows, pairs = part_of(tmp_path / "rows", SHAPES["rows"]), part_of(tmp_path / "long", SHAPES["long documents"])
    data = DataSettings(max_seq_length=16)
    assert as_read(data, 16, has_pairs=True) == (data, 16)
    alone, length = as_read(data, 16, has_pairs=False)
    of_training, read = HeldOutExamples([rows], data, 16, 3, 99), HeldOutExamples([rows], alone, length, 3, 99)
    assert len(of_training) == len(read)
    for n in range(len(read)):
        one, other = of_training.example(n)[1], read.example(n)[1]
        assert (one.a.tolist(), one.key, one.b) == (other.a.tolist(), other.key, other.b)
    of_others = HeldOutExamples([pairs], alone, length, 3, 99)
    assert {of_others.example(n)[1].next_sentence_label for n in range(len(of_others))} == {NO_PAIR}
