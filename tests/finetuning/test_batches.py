"""Rows as ids against the tokenizer itself; batches of like length lose and repeat no row."""

import numpy as np
import pytest
from helpers.stores import toy_tokenizer

from bertkit.finetuning.batches import FinetunePlan, by_length, collate
from bertkit.finetuning.features import Split
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.registry import HEADS
from bertkit.finetuning.windows import RowEncoder
from bertkit.settings.schema import FinetuneDataSettings

HEAD = OneClass(["a", "b"])


def encoder(tokenizer, most):
    return RowEncoder.of(tokenizer, FinetuneDataSettings(max_seq_length=most))


def labelled(texts):
    split = Split("", [(one,) for one in texts], np.zeros(len(texts), np.int64))
    return HEAD.features(split, encoder(toy_tokenizer(), 128))


def text(n):
    return " ".join(f"w{5 * i % 95}" for i in range(n))


def test_ids_are_those_of_the_tokenizer_with_the_longer_text_truncated_first():
    tokenizer = toy_tokenizer()
    rows = [(text(3), text(20)), (text(30), text(4)), (text(2), text(2))]
    encoded = encoder(tokenizer, 16)(rows)
    for number, (first, second) in enumerate(rows):
        expected = tokenizer(first, second, truncation="longest_first", max_length=16)
        assert encoded.ids[number] == expected["input_ids"]
        assert encoded.types[number] == expected["token_type_ids"]


def test_a_batch_equals_the_tokenizers_padding():
    tokenizer = toy_tokenizer()
    texts = [text(3), text(9), ""]
    encoded = encoder(tokenizer, 32)([(one,) for one in texts])
    batch = collate(encoded, [0, 1, 2], tokenizer.pad_token_id, HEAD)
    expected = tokenizer(texts, padding=True, return_tensors="pt")
    assert all((batch[name] == expected[name]).all() for name in expected)


@pytest.mark.parametrize("rows", [1, 31, 32, 333])
def test_each_row_is_seen_once_an_epoch_in_another_order(rows):
    features = labelled([text(1 + number % 40) for number in range(rows)])
    plan = FinetunePlan(features, HEAD, 0, 8, 1000, seed=3, micro_batch_size=8)
    epochs = [
        [plan.examples(epoch * plan.steps_per_epoch + step) for step in range(plan.steps_per_epoch)] for epoch in (0, 1)
    ]
    for epoch in epochs:
        assert sorted(row for batch in epoch for row in batch) == list(range(rows))
    assert rows == 1 or epochs[0] != epochs[1]
    again = FinetunePlan(features, HEAD, 0, 8, 1000, seed=3, micro_batch_size=8)
    assert again.examples(plan.steps_per_epoch) == epochs[1][0]


def test_hardly_any_padding_is_computed():
    rng = np.random.default_rng(0)
    features = labelled([text(int(n)) for n in rng.integers(1, 60, 2000)])
    plan = FinetunePlan(features, HEAD, 0, 32, 1000, seed=3, micro_batch_size=32)
    real = padded = 0
    for step in range(plan.steps_per_epoch):
        batch = plan.fetch(plan.examples(step))
        real += int(batch["attention_mask"].sum())
        padded += batch["attention_mask"].numel()
    assert real / padded > 0.95  # in random batches of 32 it is 52 %


def test_where_words_count_a_batch_is_a_random_sample_of_the_rows():
    """Batches of similar length would count the words of short rows more than those of long ones."""

    class OfWords(OneClass):
        counts_words = True

    rng = np.random.default_rng(0)
    features = labelled([text(int(n)) for n in rng.integers(1, 60, 2048)])
    plan = FinetunePlan(features, OfWords(["a", "b"]), 0, 32, 1000, seed=3, micro_batch_size=32)
    lengths = [features.tokens[plan.examples(step)] for step in range(plan.steps_per_epoch)]
    # The mean of 32 rows drawn at random varies by sigma / sqrt(32). The variance of 64 such means, over its expectation, lies
    # within 0.51 and 1.70 with a probability of 99.9 % (chi-squared, 63 degrees of freedom).
    means = np.array([one.mean() for one in lengths])
    assert 0.51 < means.var(ddof=1) / (features.tokens.var(ddof=1) / 32) < 1.70


def test_tags_are_counted_by_words_and_other_answers_by_rows():
    assert [name for name, head in HEADS.items() if head.counts_words] == ["token"]


def test_prediction_batches_cover_all_rows_longest_first():
    lengths = np.array([3, 9, 4, 9, 1])
    batches = list(by_length(lengths, 2))
    assert batches == [[1, 3], [2, 0], [4]]
