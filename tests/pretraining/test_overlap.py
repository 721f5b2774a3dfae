"""Held-out sentences that are trained on, too, beside a plain look-up of each in a set."""

from types import SimpleNamespace

import numpy as np
import pytest
from helpers.stores import toy_tokenizer, write_store

from bertkit.pretraining import overlap
from bertkit.pretraining.split import split_documents
from bertkit.pretraining.texts import RunText


def corpus(rng, documents):
    """Documents of sentences of 1 to 13 tokens, out of two, so that many occur twice."""
    return [
        [rng.integers(5, 7, rng.integers(1, 14)).tolist() for _ in range(rng.integers(1, 5))] for _ in range(documents)
    ]


def sentences(documents):
    return [tuple(one) for document in documents for one in document if len(one) >= 8]


def whole(store):
    return RunText(store, split_documents(store, 0, 1)[0])


@pytest.mark.parametrize("at_once", [7, 2**20])
def test_each_sentence_is_looked_up_in_all_training_texts(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(overlap, "_AT_ONCE", at_once)
    rng = np.random.default_rng(4)
    for n in range(4):
        texts = [corpus(rng, 300), corpus(rng, 60), corpus(rng, 40)]
        first, second, held_out = (whole(write_store(tmp_path / f"{n}{k}", text)) for k, text in enumerate(texts))
        there = {*sentences(texts[0]), *sentences(texts[1])}
        sought = sentences(texts[2])
        expected = sum(one in there for one in sought)
        assert 0 < expected < len(sought)
        assert overlap.held_out_and_trained_on([first, second], [held_out], None) == (expected, len(sought))


def test_what_is_held_out_of_a_text_is_not_its_training_text(tmp_path):
    text = [[[5, 6, 7, 8, 9, *divmod(n, 10), 5]] for n in range(500)]  # no two alike
    store = write_store(tmp_path / "s", [*text, *text[:50]])
    sides = split_documents(store, 0.2, 1)
    training, held_out = (RunText(store, side) for side in sides)
    mine = [one for one, is_mine in zip([*text, *text[:50]], sides[1].mine, strict=True) if is_mine]
    theirs = [one for one, is_mine in zip([*text, *text[:50]], sides[0].mine, strict=True) if is_mine]
    assert overlap.held_out_and_trained_on([training], [held_out], None) == (
        sum(one in theirs for one in mine),
        len(mine),
    )


def test_an_unknown_token_may_stand_for_any_word(tmp_path):
    text = [[[5, 6, 7, 8, 9, 10, 11, 12], [5, 6, 7, 1, 9, 10, 11, 12]]] * 20
    store = whole(write_store(tmp_path / "s", text))
    assert overlap.held_out_and_trained_on([store], [store], unknown=1) == (20, 20)
    assert overlap.held_out_and_trained_on([store], [store], unknown=12) == (0, 0)


def test_of_many_sentences_some_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(overlap, "_SOUGHT", 100)
    text = [[[5, 6, 7, 8, 9, *divmod(n, 30), 5]] for n in range(900)]
    store = write_store(tmp_path / "s", text)
    half = write_store(tmp_path / "half", text[::2])
    found, sought = overlap.held_out_and_trained_on([whole(half)], [whole(store)], None)
    assert sought == 100
    assert abs(found - 50) < 4 * np.sqrt(100 * 0.25)


@pytest.mark.parametrize(("copies", "is_told"), [(9, False), (10, True)])
def test_a_tenth_is_told(tmp_path, capsys, copies, is_told):
    text = [[[5, 6, 7, 8, 9, 10 + n // 30, 10 + n % 30, 5]] for n in range(200)]
    training, held_out = whole(write_store(tmp_path / "t", text)), whole(write_store(tmp_path / "h", text[:100]))
    others = write_store(tmp_path / "o", [*text[:copies], *text[100:]])
    found = SimpleNamespace(
        training=[whole(others)], validation=[held_out], has_own_validation=True, tokenizer=toy_tokenizer()
    )
    overlap.say_overlap(found, is_deduplicated=False)
    assert bool(capsys.readouterr().err) == is_told
    found = SimpleNamespace(
        training=[training], validation=[held_out], has_own_validation=True, tokenizer=toy_tokenizer()
    )
    overlap.say_overlap(found, is_deduplicated=False)
    assert "100 of 100 held-out sentences of 8 tokens or more are in the training text, too (100%)" in (
        " ".join(capsys.readouterr().err.split())
    )
