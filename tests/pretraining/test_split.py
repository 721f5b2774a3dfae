"""What is held out, counted token by token, for corpora of every shape."""

import numpy as np
import pytest
from helpers.stores import random_documents, write_store

from bertkit.errors import BertkitError
from bertkit.pretraining.split import split_documents
from bertkit.pretraining.text_notes import say_what_is_held_out


def documents(*lengths):
    """Documents of sentences of ten tokens: so many tokens each."""
    return [[[5] * 10] * (length // 10) for length in lengths]


def counted(store, side):
    """Tokens of a side, one document after the other."""
    bounds = [store.sentence_starts[sentence] for sentence in side.starts]
    return sum(int(bounds[n + 1] - bounds[n]) for n in range(len(side.mine)) if side.mine[n])


SHAPES = {
    "one document": [400_000],
    "a book and its preface": [303_200, 210],
    "books alone": [40_000] * 5,
    "a book among notes": [300_000, *[50] * 1_000],
    "notes": [50] * 8_000,
    "of every length": np.random.default_rng(1).pareto(1.1, 500).clip(0.01, 500).__mul__(1000).astype(int).tolist(),
}


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_share_is_held_in_tokens_whatever_the_documents(tmp_path, shape, share):
    store = write_store(tmp_path / "s", documents(*[max(10, length) for length in SHAPES[shape]]))
    for seed in range(10):
        training, validation = split_documents(store, share, seed)
        assert 0.8 * share <= validation.tokens / store.info.tokens <= 1.2 * share
        assert (training.tokens, validation.tokens) == (counted(store, training), counted(store, validation))
        assert training.tokens + validation.tokens == store.info.tokens
        assert (training.mine ^ validation.mine).all()
        assert np.array_equal(training.starts, validation.starts)
        assert set(store.document_starts) <= set(training.starts.tolist())  # cut, never joined


def test_the_documents_that_chance_chose_are_kept_where_their_tokens_are_near(tmp_path):
    """A corpus of many documents: each falls to validation by a draw of its own, as numpy draws them."""
    store = write_store(tmp_path / "s", random_documents(2000, sentences=(2, 3)))
    training, validation = split_documents(store, 0.1, seed=4)
    assert abs(validation.mine.sum() - 200) < 4 * np.sqrt(2000 * 0.1 * 0.9)
    assert training.starts is store.document_starts
    # Another share of the same seed takes the same documents, and more.
    assert (validation.mine <= split_documents(store, 0.3, seed=4)[1].mine).all()


def test_another_seed_holds_out_other_documents(tmp_path):
    """Of 2,000 documents each is in both parts with a probability of 0.01: 20, within 4 standard deviations of the binomial."""
    store = write_store(tmp_path / "s", documents(*[50] * 2000))
    one, other = (split_documents(store, 0.1, seed)[1].mine for seed in (1, 2))
    assert abs((one & other).sum() - 20) < 4 * np.sqrt(2000 * 0.01 * 0.99)


def test_a_small_corpus_holds_out_what_a_figure_needs_and_no_more_than_a_tenth(tmp_path):
    """Of 2,560 tokens 15 % are predicted: 1.96 · sqrt(0.25 / 384) is an interval of 5 points either way."""
    for tokens, least, most in ((100_000, 2_560, 3_840), (36_000, 2_560, 3_840), (5_000, 400, 600)):
        store = write_store(tmp_path / str(tokens), documents(tokens - 30, 30))
        assert least <= split_documents(store, 0.02, seed=1)[1].tokens <= most


def test_one_document_holds_out_its_last_part(tmp_path):
    store = write_store(tmp_path / "s", documents(1000))
    training, validation = split_documents(store, 0.1, seed=4)
    assert training.starts.tolist() == [0, 90, 100]
    assert training.mine.tolist() == [True, False]
    assert validation.mine.tolist() == [False, True]


def test_the_largest_document_is_cut_wherever_it_stands(tmp_path):
    """Sentences of 10 tokens: the first 10,000 are the small document, and a tenth of the 500,000 tokens is cut off the other."""
    store = write_store(tmp_path / "s", documents(100_000, 400_000))
    training, validation = split_documents(store, 0.1, seed=1)
    assert training.starts.tolist() == [0, 10_000, 45_000, 50_000]
    assert validation.mine.tolist() == [False, False, True]


def test_documents_of_one_sentence_are_held_out_whole(tmp_path):
    store = write_store(tmp_path / "s", [[[5] * 500], [[6] * 400]])
    assert split_documents(store, 0.1, seed=4)[1].mine.tolist() == [False, True]


def test_a_tiny_document_cannot_be_split(tmp_path):
    store = write_store(tmp_path / "s", [[[5, 6], [7, 8]]])
    with pytest.raises(BertkitError, match="cannot hold out"):
        split_documents(store, 0.1, seed=4)


def test_nothing_is_held_out_where_nothing_is_asked_for(tmp_path, capsys):
    store = write_store(tmp_path / "s", documents(300, 500))
    training, validation = split_documents(store, 0, seed=4)
    assert (training.tokens, validation.tokens, validation.mine.any()) == (800, 0, False)
    say_what_is_held_out(training, validation, 0)
    assert capsys.readouterr().err == ""


def test_both_counts_are_said(tmp_path, capsys):
    store = write_store(tmp_path / "s", documents(35_800, 200))
    say_what_is_held_out(*split_documents(store, 0.02, seed=4), 0.02)
    said = capsys.readouterr().err
    assert "32,800 tokens to train on, 3,200 held out for validation (8.9%, more than the 2.0% asked for" in said
    assert "--validation FILE" in said
