"""Masking against the paper's rates, with bounds from the binomial, and a hand-worked example of whole words."""

import numpy as np
import pytest

from bertkit.models.bert import IGNORE
from bertkit.pretraining.masking import MaskingRates, Vocabulary, mask_tokens

CLS, SEP, PAD, MASK = 2, 3, 0, 4
ROWS = 1000


def vocabulary(continuing=()):
    special = np.zeros(ROWS, bool)
    special[:5] = True
    continues = np.zeros(ROWS, bool)
    continues[list(continuing)] = True
    return Vocabulary(MASK, special, continues, np.arange(5, 900))


def batch(rows, length, seed=0):
    ids = np.random.default_rng(seed).integers(5, ROWS, (rows, length))
    ids[:, 0], ids[:, -1] = CLS, SEP
    return ids, np.arange(rows, dtype=np.uint64) * np.uint64(7919)


def z(count, n, p):
    return (count - n * p) / np.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("length", [12, 33, 127, 128])
@pytest.mark.parametrize("whole", [False, True])
def test_rates_are_those_of_the_paper(length, whole):
    ids, keys = batch(4000, length)
    continuing = range(700, 1000) if whole else ()
    shown, labels = mask_tokens(ids, keys, vocabulary(continuing), MaskingRates(), whole_word_mask=whole)
    chosen = labels != IGNORE
    n = chosen.sum()
    if not whole:
        assert abs(z(n, 4000 * (length - 2), 0.15)) < 4
    assert abs(z((shown[chosen] == MASK).sum(), n, 0.8)) < 4
    same = shown[chosen] == ids[chosen]
    # A random token is the true one by chance once in so many replacements.
    assert abs(z(same.sum(), n, 0.1 + 0.1 / 895 * (ids[chosen] < 900).mean())) < 4


def test_all_else_stays_as_it_is_and_special_tokens_are_never_chosen():
    ids, keys = batch(500, 40)
    ids[:, 20] = SEP
    ids[::2, 30:] = PAD
    shown, labels = mask_tokens(ids, keys, vocabulary(), MaskingRates())
    assert (shown[labels == IGNORE] == ids[labels == IGNORE]).all()
    assert (labels[ids < 5] == IGNORE).all()
    assert (labels[labels != IGNORE] == ids[labels != IGNORE]).all()


def test_at_least_one_token_is_predicted_and_never_more_than_the_budget():
    ids, keys = batch(300, 4)
    assert ((mask_tokens(ids, keys, vocabulary(), MaskingRates())[1] != IGNORE).sum(axis=1) == 1).all()
    ids, keys = batch(300, 128)
    counts = (mask_tokens(ids, keys, vocabulary(), MaskingRates(), max_predictions_per_seq=10)[1] != IGNORE).sum(axis=1)
    assert (counts == 10).all()


def test_a_sequence_of_nothing_but_special_tokens_has_nothing_to_predict():
    ids = np.array([[CLS, SEP, PAD], [CLS, 9, SEP]])
    labels = mask_tokens(ids, np.array([1, 2], np.uint64), vocabulary(), MaskingRates())[1]
    assert labels.tolist() == [[IGNORE] * 3, [IGNORE, 9, IGNORE]]


@pytest.mark.parametrize(("rates", "rows"), [(MaskingRates(0.5, 0.0, 1.0), 3000), (MaskingRates(), 20_000)])
def test_random_replacements_are_uniform_over_what_may_stand_in(rates, rows):
    ids, keys = batch(rows, 128)
    ids[:, 1:-1] = 950  # which may not stand in, so that each replacement is seen
    shown, labels = mask_tokens(ids, keys, vocabulary(), rates)
    drawn = shown[(labels != IGNORE) & (shown != MASK) & (shown != 950)]
    assert drawn.min() >= 5
    assert drawn.max() < 900
    counts = np.bincount(drawn, minlength=900)[5:]
    expected = len(drawn) / 895
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert abs(chi_square - 894) < 4 * np.sqrt(2 * 894)


@pytest.mark.parametrize("whole", [False, True])
def test_which_tokens_are_chosen_does_not_depend_on_their_place(whole):
    ids, keys = batch(20_000, 22)
    labels = mask_tokens(ids, keys, vocabulary(), MaskingRates(), whole_word_mask=whole)[1]  # each token is a word
    chosen = (labels != IGNORE)[:, 1:-1]
    assert (np.abs(z(chosen.sum(axis=0), 20_000, 0.15)) < 4).all()


@pytest.mark.parametrize(("mask", "random"), [(1.0, 0.0), (0.0, 0.0), (0.0, 1.0)])
def test_the_rates_of_table_8(mask, random):
    ids, keys = batch(200, 64)
    shown, labels = mask_tokens(ids, keys, vocabulary(), MaskingRates(0.15, mask, random))
    chosen = labels != IGNORE
    assert (shown[chosen] == MASK).all() == (mask == 1.0)
    if mask == random == 0.0:
        assert (shown == ids).all()


def test_whole_words_are_chosen_whole():
    """Ids from 700 on continue a word: 10 700 701 is one word of three pieces, 11 is one of one."""
    ids, keys = batch(2000, 60)
    continues = np.arange(ROWS) >= 700
    labels = mask_tokens(ids, keys, vocabulary(range(700, ROWS)), MaskingRates(), whole_word_mask=True)[1]
    chosen = labels != IGNORE
    for row in range(len(ids)):
        for place in range(2, 59):
            if continues[ids[row, place]]:
                assert chosen[row, place] == chosen[row, place - 1]


def test_a_word_longer_than_the_budget_is_skipped_by_hand():
    # Seven tokens: the word (10 700 701 702 703) and the words 11 and 12; .3 x 7 = 2.1: two or three are wanted.
    ids = np.array([[CLS, 10, 700, 701, 702, 703, 11, 12, SEP]])
    for number in range(50):
        labels = mask_tokens(
            ids, np.array([number], np.uint64), vocabulary(range(700, ROWS)), MaskingRates(0.3), whole_word_mask=True
        )[1]
        assert labels.tolist() == [[IGNORE] * 6 + [11, 12, IGNORE]]


def test_a_word_cut_in_front_is_a_word_of_its_own():
    ids = np.array([[CLS, 700, 701, SEP, 702, SEP]])
    found = set()
    for number in range(60):
        labels = mask_tokens(
            ids, np.array([number], np.uint64), vocabulary(range(700, ROWS)), MaskingRates(0.5), whole_word_mask=True
        )[1][0]
        found.add(tuple(np.nonzero(labels != IGNORE)[0].tolist()))
    assert found == {(4,), (1, 2)}


def test_at_least_one_word_is_predicted_where_none_fits():
    ids = np.array([[CLS, 10, 700, 701, 11, 702, SEP]])
    labels = mask_tokens(
        ids, np.array([5], np.uint64), vocabulary(range(700, ROWS)), MaskingRates(), whole_word_mask=True
    )[1]
    assert labels.tolist() == [[IGNORE] * 4 + [11, 702, IGNORE]]


def test_masks_are_a_function_of_the_key_alone():
    ids, keys = batch(64, 50)
    shown, labels = mask_tokens(ids, keys, vocabulary(), MaskingRates())
    alone = mask_tokens(ids[7:8], keys[7:8], vocabulary(), MaskingRates())
    assert (alone[0] == shown[7]).all()
    assert (alone[1] == labels[7]).all()
    padded = np.concatenate([ids, np.zeros((64, 9), int)], axis=1)
    assert (mask_tokens(padded, keys, vocabulary(), MaskingRates())[1][:, :50] == labels).all()


def test_no_more_is_predicted_than_allowed_where_every_word_is_longer():
    ids, keys = np.array([[CLS, 10, 700, 701, 11, 702, SEP]] * 50), np.arange(50, dtype=np.uint64)
    predicted = []
    for most in (1, 2, None):
        _, labels = mask_tokens(ids, keys, vocabulary(range(700, 1000)), MaskingRates(), most, whole_word_mask=True)
        predicted.append(set((labels != IGNORE).sum(axis=1).tolist()))
    assert predicted == [{0}, {2}, {2}]


def test_a_word_cut_in_front_of_a_text_without_cls_belongs_to_no_text_before():
    ids, rates = np.array([[10, 11, 12, 13], [700, 701, 20, 21], [700, 22, 23, 24]]), MaskingRates(0.25)
    for key in range(40):
        keys = np.array([key, key + 1, key + 2], dtype=np.uint64)
        _, labels = mask_tokens(ids, keys, vocabulary(range(700, 1000)), rates, whole_word_mask=True)
        chosen = labels != IGNORE
        assert chosen.sum(axis=1).tolist() == [1, 2 * chosen[1, 0] or 1, 1]
        assert chosen[1, 0] == chosen[1, 1]
