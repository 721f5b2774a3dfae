"""Pairs against the paper's rules, on documents whose every token tells where it stands."""

import numpy as np
import pytest
from helpers.stores import random_documents, write_store

from bertkit.pretraining.pairs import IS_NEXT, NO_PAIR, NOT_NEXT, PairSampler
from bertkit.pretraining.split import split_documents


def numbered(lengths_by_document):
    """Documents in which every token is different: its id is its place in the corpus."""
    token, documents = 0, []
    for lengths in lengths_by_document:
        document = []
        for length in lengths:
            document.append(list(range(token, token + length)))
            token += length
        documents.append(document)
    return documents, token


def sampler(store, length=32, objective="nsp", short=0.0, seed=1, share=0.0):
    return PairSampler(store, split_documents(store, share, seed)[0], length, objective, short, seed)


@pytest.fixture
def places(tmp_path):
    """60 documents of 2 to 14 sentences; returns the sampler's store, document and sentence of each token."""
    rng = np.random.default_rng(3)
    documents, tokens = numbered([rng.integers(2, 15, rng.integers(2, 15)).tolist() for _ in range(60)])
    store = write_store(tmp_path / "store", documents, vocab_size=tokens)
    sentence = np.searchsorted(store.sentence_starts, np.arange(tokens), side="right") - 1
    document = np.searchsorted(store.document_starts, sentence, side="right") - 1
    return store, document, sentence


def examples(one, epochs=3):
    return [one.example(epoch, index) for epoch in range(epochs) for index in range(len(one))]


def test_b_follows_a_exactly_where_the_label_says_so(places):
    store, document, sentence = places
    labels = set()
    for example in examples(sampler(store)):
        assert (np.diff(example.a.astype(int)) == 1).all()
        assert (np.diff(example.b.astype(int)) == 1).all()
        labels.add(example.next_sentence_label)
        starts = store.sentence_starts[sentence[example.b[0]]]
        assert example.b[0] == starts  # B begins with a sentence
        if example.next_sentence_label == IS_NEXT:
            assert document[example.a[0]] == document[example.b[0]]
            a_whole = store.sentence_starts[sentence[example.a[-1]] + 1] - 1
            assert sentence[example.b[0]] == sentence[a_whole] + 1
        else:
            assert document[example.a[0]] != document[example.b[0]]
    assert labels == {IS_NEXT, NOT_NEXT}


def test_sequences_never_exceed_the_room_and_segments_are_never_empty(places):
    store, *_ = places
    for length in (8, 13, 64):
        for example in examples(sampler(store, length, short=0.5), epochs=1):
            segments = [example.a] if example.b is None else [example.a, example.b]
            assert 2 <= sum(map(len, segments)) <= length - 3
            assert min(map(len, segments)) >= 1


@pytest.mark.parametrize("length", [13, 48])
def test_no_segment_goes_on_into_the_next_document(places, length):
    store, document, _ = places
    for example in examples(sampler(store, length)):
        for segment in (example.a, example.b):
            assert len(set(document[segment].tolist())) == 1


def test_labels_are_balanced_on_short_documents(tmp_path):
    store = write_store(tmp_path / "s", random_documents(300, sentences=(2, 3)))
    labels = np.array([example.next_sentence_label for example in examples(sampler(store, 64), epochs=20)])
    z = (labels.mean() - 0.5) / (0.5 / np.sqrt(len(labels)))
    assert abs(z) < 4


def test_lengths_do_not_depend_on_the_label(places):
    """The label is drawn last: with it flipped, every length and A itself stay as they are."""
    store, *_ = places
    one = sampler(store, 48)
    by_label = {0: [], 1: []}
    for example in examples(one, epochs=60):
        by_label[example.next_sentence_label].append((len(example.a), len(example.b)))
    means = [np.mean(by_label[label], axis=0) for label in (0, 1)]
    errors = np.sqrt(sum(np.var(by_label[label], axis=0) / len(by_label[label]) for label in (0, 1)))
    assert (np.abs(means[0] - means[1]) < 4 * errors).all()


def test_no_sentence_is_lost_for_good(places):
    store, _, sentence = places
    seen = set()
    for example in examples(sampler(store, 32), epochs=40):
        seen.update(sentence[example.a].tolist())
        if example.next_sentence_label == IS_NEXT:
            seen.update(sentence[example.b].tolist())
    assert len(seen) == store.info.sentences


@pytest.fixture
def over_long(tmp_path):
    """40 documents of a title and one sentence of 150 to 600 tokens, before some of them a second such sentence."""
    rng = np.random.default_rng(4)
    lengths = [[4, *rng.integers(150, 600, 1 + number % 2).tolist()] for number in range(40)]
    documents, tokens = numbered(lengths)
    return write_store(tmp_path / "store", documents, vocab_size=tokens), tokens


def test_each_token_of_over_long_sentences_is_read_in_pairs_and_no_document_is_left(over_long):
    """The least likely token is the last of a document. A half of the last windows or more end with it, and a half of these
    have the label 0, so that it is read in more than one of 8 epochs; in none of 200 with a probability below 3e-12."""
    store, tokens = over_long
    seen, pairs = np.zeros(tokens, int), 0
    for example in (found := examples(sampler(store, 128), epochs=200)):
        if example.b is not None:
            pairs += 1
            seen[example.a] += 1
            seen[example.b] += 1
            for segment in (example.a, example.b):
                assert (np.diff(segment.astype(int)) == 1).all()
                documents = np.searchsorted(
                    store.sentence_starts[store.document_starts], segment[[0, -1]], side="right"
                )
                assert documents[0] == documents[1]
    assert pairs > 0.95 * len(found)
    assert seen.min() > 0
    assert seen.max() < 5 * seen.mean()


def test_all_of_over_long_sentences_but_their_edges_is_read_in_sentence_order(over_long):
    """The least likely token is the last but one of a document. The last window is taken around a token that lies 62 to
    187 before the end, and reaches it in an eighth of the epochs: in none of 200 with a probability below 3e-12."""
    store, tokens = over_long
    seen, lengths = np.zeros(tokens, int), []
    for example in examples(sampler(store, 128, "sop"), epochs=200):
        first, second = (example.a, example.b) if example.next_sentence_label == 0 else (example.b, example.a)
        assert first[-1] < second[0]
        seen[first] += 1
        seen[second] += 1
        if len(set(np.searchsorted(store.sentence_starts, [first[0], second[-1]], side="right"))) == 1:
            assert first[-1] + 1 == second[0]
            assert first[0] not in store.sentence_starts
            assert second[-1] + 1 not in store.sentence_starts
            lengths.append([len(first), len(second)])
    inner = np.setdiff1d(np.arange(tokens), [store.sentence_starts[:-1], store.sentence_starts[1:] - 1])
    assert seen[inner].min() > 0
    ours, others = np.array(lengths, float).T
    assert abs(ours.mean() - others.mean()) < 4 * np.sqrt((ours.var() + others.var()) / len(ours))


def test_neither_where_segments_lie_nor_how_long_they_are_tells_the_label_in_over_long_sentences(over_long):
    """Each figure has the same mean with both labels, within 4 standard errors."""
    store, _ = over_long
    edges = [store.sentence_starts, store.sentence_starts[store.document_starts]]
    by_label = {IS_NEXT: [], NOT_NEXT: []}
    for example in examples(sampler(store, 128, short=0.1), epochs=60):
        if example.b is not None:
            ends = [int(segment[place]) + (place < 0) for segment in (example.a, example.b) for place in (0, -1)]
            at_edges = [end in edge for end in ends for edge in edges]
            by_label[example.next_sentence_label].append([len(example.a), len(example.b), *at_edges])
    ours, others = (np.array(by_label[label], float) for label in (IS_NEXT, NOT_NEXT))
    errors = np.sqrt(np.var(ours, axis=0) / len(ours) + np.var(others, axis=0) / len(others))
    assert (np.abs(ours.mean(axis=0) - others.mean(axis=0)) <= 4 * errors).all()


def test_a_true_b_goes_on_where_a_ends_inside_an_over_long_sentence(over_long):
    store, _ = over_long
    inside = 0
    for example in examples(sampler(store, 128), epochs=3):
        if example.next_sentence_label == IS_NEXT and example.b[0] not in store.sentence_starts:
            assert example.b[0] == example.a[-1] + 1
            inside += 1
    assert inside > 100


def test_one_sentence_documents_have_no_pair(tmp_path):
    documents, tokens = numbered([[9]] * 20 + [[6, 7, 8]] * 3)
    found = examples(sampler(write_store(tmp_path / "s", documents, vocab_size=tokens), 32), epochs=8)
    alone = [example for example in found if example.a[0] < 180]
    assert len(alone) == 160
    assert all(example.b is None and example.next_sentence_label == NO_PAIR for example in alone)


def test_no_random_b_begins_a_document_where_others_are_there(tmp_path):
    """A true B never does, so that the label could be read off it."""
    documents, tokens = numbered([[9]] * 40 + [[6, 7, 8]] * 40)
    store = write_store(tmp_path / "s", documents, vocab_size=tokens)
    begin = store.sentence_starts[store.document_starts]
    random_bs = [e.b[0] for e in examples(sampler(store, 32), epochs=8) if e.next_sentence_label == NOT_NEXT]
    assert len(random_bs) > 100
    assert not np.isin(random_bs, begin).any()


def test_a_document_of_one_sentence_is_the_random_b_where_nothing_else_is_there(tmp_path):
    documents, tokens = numbered([[9]] * 20 + [[6, 7, 8]])
    found = examples(sampler(write_store(tmp_path / "s", documents, vocab_size=tokens), 32), epochs=40)
    random_bs = [e.b[0] for e in found if e.next_sentence_label == NOT_NEXT]
    assert len(random_bs) > 5
    assert all(b < 180 for b in random_bs)


def test_a_single_document_takes_its_random_b_from_far_away(tmp_path):
    documents, tokens = numbered([[10] * 300])
    store = write_store(tmp_path / "s", documents, vocab_size=tokens)
    random = [e for e in examples(sampler(store, 32), epochs=3) if e.next_sentence_label == NOT_NEXT]
    assert len(random) > 100
    for example in random:
        distance = min(abs(int(example.b[0]) - int(example.a[-1])), abs(int(example.b[-1]) - int(example.a[0])))
        assert distance > 29  # farther than A's true continuation can reach


def test_examples_are_a_function_of_seed_epoch_and_index(places):
    store, *_ = places
    first, again, other = sampler(store), sampler(store), sampler(store, seed=2)
    assert all(
        np.array_equal(first.example(1, i).a, again.example(1, i).a)
        and first.example(1, i).key == again.example(1, i).key
        for i in range(len(first))
    )
    assert any(first.example(0, i).key == first.example(1, i).key for i in range(len(first))) is False
    assert any(first.example(0, i).key == other.example(0, i).key for i in range(len(first))) is False


def test_an_epoch_visits_every_example_once(places):
    store, *_ = places
    one = sampler(store)
    assert sorted(map(one.epoch_order(0), range(len(one)))) == list(range(len(one)))


def test_sentence_order_swaps_two_adjacent_segments(places):
    store, *_ = places
    labels = []
    for example in examples(sampler(store, 32, "sop")):
        first, second = (example.a, example.b) if example.next_sentence_label == 0 else (example.b, example.a)
        assert first[-1] < second[0]
        assert len(first) + len(second) <= 29
        labels.append(example.next_sentence_label)
    assert abs(np.mean(labels) - 0.5) < 4 * 0.5 / np.sqrt(len(labels))


def test_lengths_do_not_tell_which_of_two_cut_segments_came_first(tmp_path):
    """Both are cut to a half of 29 tokens: the longer one comes first in every other pair, within 4 standard deviations."""
    documents, tokens = numbered([[25] * 48] * 20)
    store = write_store(tmp_path / "s", documents, vocab_size=tokens)
    found = examples(sampler(store, 32, "sop"), epochs=3)
    assert {len(example.a) + len(example.b) for example in found} == {29}
    longer_first = np.array([(len(e.a) > len(e.b)) == (e.next_sentence_label == 0) for e in found])
    assert abs(longer_first.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(found))


def test_a_segment_that_is_too_long_loses_as_often_in_front_as_at_its_end(tmp_path):
    """Sentences of 25 tokens are cut to 14 or 15 of them. Of 15, the 11 places to begin at are equally likely: the chi-square
    of 10 degrees of freedom is within 4 standard deviations of its mean."""
    documents, tokens = numbered([[25] * 48] * 20)
    store = write_store(tmp_path / "s", documents, vocab_size=tokens)
    segments = [segment for example in examples(sampler(store, 32, "sop")) for segment in (example.a, example.b)]
    counts = np.bincount([int(segment[0]) % 25 for segment in segments if len(segment) == 15], minlength=11)
    chi_square = ((counts - counts.mean()) ** 2 / counts.mean()).sum()
    assert len(counts) == 11
    assert counts.mean() > 20
    assert abs(chi_square - 10) < 4 * np.sqrt(2 * 10)


@pytest.fixture
def single_tokens(tmp_path):
    """Four documents of 2,000 sentences of one token each, so that every length can be reached exactly."""
    documents, tokens = numbered([[1] * 2000] * 4)
    return write_store(tmp_path / "s", documents, vocab_size=tokens)


def lengths_of(store, short):
    """The lengths of segments in room for 32 tokens, without the last window of a document, which may end before."""
    one = sampler(store, 34, "none", short=short)
    kept = [index for index in range(len(one)) if (index + 1) % (len(one) // 4)]
    return np.array([len(one.example(epoch, index).a) for epoch in range(8) for index in kept])


def test_short_lengths_are_uniform_from_two_tokens_to_the_whole_room(single_tokens):
    """31 lengths: the chi-square of 30 degrees of freedom is within 4 standard deviations of its mean."""
    counts = np.bincount(lengths_of(single_tokens, 1.0))
    assert (len(counts), counts[:2].sum()) == (33, 0)
    expected = counts.sum() / 31
    assert abs(((counts[2:] - expected) ** 2 / expected).sum() - 30) < 4 * np.sqrt(2 * 30)


def test_as_many_lengths_are_short_as_asked_for(single_tokens):
    """Of those that are drawn anew one in 31 is the whole room, too: the binomial's 4 standard deviations."""
    lengths = lengths_of(single_tokens, 0.1)
    share = 0.1 * 30 / 31
    excess = (lengths < 32).sum() - len(lengths) * share
    assert abs(excess) < 4 * np.sqrt(len(lengths) * share * (1 - share))


def test_windows_move_back_as_often_as_on(tmp_path):
    """The first of ten windows of 32 tokens holds its document's first token where it moves by less than one of them: by -16
    up to 16, so that 17 of 32 epochs read it, within 4 standard deviations of the binomial."""
    documents, tokens = numbered([[1] * 320] * 4)
    store = write_store(tmp_path / "s", documents, vocab_size=tokens)
    seen = np.zeros(tokens, int)
    for example in examples(sampler(store, 34, "none"), epochs=200):
        seen[example.a] += 1
    share = 17 / 32
    assert (np.abs(seen[::320] - 200 * share) < 4 * np.sqrt(200 * share * (1 - share))).all()


def test_without_a_sentence_objective_one_segment_fills_the_room(places):
    store, *_ = places
    long_enough = [e for e in examples(sampler(store, 16, "none"), epochs=1) if len(e.a) == 14]
    assert all(e.b is None and e.next_sentence_label == NO_PAIR for e in examples(sampler(store, 16, "none"), 1))
    assert len(long_enough) > 100
