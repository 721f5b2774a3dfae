"""The collator as people use it: its own format, transformers' format, a DataLoader, the Trainer."""

import numpy as np
import pytest
import torch
from helpers.stores import toy_tokenizer
from torch.utils.data import DataLoader
from transformers import DataCollatorForLanguageModeling

from bertkit.errors import BertkitError
from bertkit.models.bert import new_bert
from bertkit.pretraining.collator import DataCollatorForBertPretraining
from bertkit.settings.schema import ModelSettings

PAIR = {"a": [10, 11, 12], "b": [20, 21], "next_sentence_label": 1, "key": 3}
ALONE = {"a": [30], "b": None, "next_sentence_label": -100, "key": 4}


def test_layout_by_hand():
    batch = DataCollatorForBertPretraining(toy_tokenizer())([PAIR, ALONE])
    true_ids = torch.where(batch["labels"] == -100, batch["input_ids"], batch["labels"])
    assert true_ids.tolist() == [[2, 10, 11, 12, 3, 20, 21, 3], [2, 30, 3, 0, 0, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1] * 8, [1, 1, 1, 0, 0, 0, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0, 0, 0, 1, 1, 1], [0] * 8]
    assert batch["next_sentence_label"].tolist() == [1, -100]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_names_and_shapes_are_those_of_transformers_collator():
    tokenizer = toy_tokenizer()
    features = [{"input_ids": [2, 10, 11, 3], "token_type_ids": [0] * 4}, {"input_ids": [2, 12, 3]}]
    theirs = DataCollatorForLanguageModeling(tokenizer)([{"input_ids": f["input_ids"]} for f in features])
    ours = DataCollatorForBertPretraining(tokenizer)(features)
    assert set(theirs) <= set(ours)
    assert all(ours[name].shape == theirs[name].shape and ours[name].dtype == theirs[name].dtype for name in theirs)


def test_a_tokenizers_output_gives_the_same_as_segments():
    collate = DataCollatorForBertPretraining(toy_tokenizer())
    whole = {"input_ids": [2, 10, 11, 12, 3, 20, 21, 3], "token_type_ids": [0] * 5 + [1] * 3}
    one, other = collate([PAIR]), collate([{**whole, "next_sentence_label": 1, "key": 3}])
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("side", ["right", "left"])
def test_ids_that_are_padded_already_give_the_same_as_without_padding(side):
    """As a tokenizer writes them with padding="max_length", with a mask and, as some data sets keep them, without."""
    collate = DataCollatorForBertPretraining(toy_tokenizer())
    ids, types, padding = [2, 10, 11, 3, 20, 3], [0] * 4 + [1] * 2, [0] * 3
    padded = [one + padding if side == "right" else padding + one for one in (ids, types, [1] * 6)]
    names = ("input_ids", "token_type_ids", "attention_mask")
    plain = collate([{"input_ids": ids, "token_type_ids": types, "key": 3}])
    for given in (names, names[:2]):
        feature = dict(zip(given, padded, strict=False))
        batch = collate([{**feature, "key": 3}])
        assert all(torch.equal(batch[name], plain[name]) for name in plain)


def test_segments_of_a_tokenizers_output_stay_where_they_are():
    """Of three parts, the first and the last in segment 0, as some who fine-tune have them."""
    types = [0, 0, 0, 1, 1, 0, 0]
    feature = {"input_ids": [2, 10, 3, 11, 3, 12, 3], "token_type_ids": types}
    assert DataCollatorForBertPretraining(toy_tokenizer())([feature])["token_type_ids"].tolist() == [types]


@pytest.mark.parametrize(
    "rates", [{"mask_replace_prob": -0.5, "random_replace_prob": 1.5}, {"random_replace_prob": -0.1},
              {"mask_replace_prob": float("nan")}, {"mask_replace_prob": 0.95}, {"mlm_probability": 0.0}]
)  # fmt: skip
def test_rates_that_are_no_shares_are_refused(rates):
    with pytest.raises(BertkitError, match=r"mlm_probability must be in \(0, 1\].* add up to at most 1") as caught:
        DataCollatorForBertPretraining(toy_tokenizer(), **rates)
    assert str(next(iter(rates.values()))) in str(caught.value)


def test_without_keys_torch_governs_the_masks():
    collate = DataCollatorForBertPretraining(toy_tokenizer())
    features = [{"a": list(range(5, 60)), "b": None}] * 8

    def labels(seed):
        torch.manual_seed(seed)
        return collate(features)["labels"]

    assert torch.equal(labels(1), labels(1))
    assert not torch.equal(labels(1), labels(2))


def test_padding_to_a_fixed_length_changes_nothing_else():
    short = DataCollatorForBertPretraining(toy_tokenizer())([PAIR])
    long = DataCollatorForBertPretraining(toy_tokenizer(), pad_to=16)([PAIR])
    assert long["input_ids"].shape == (1, 16)
    assert torch.equal(long["labels"][:, :8], short["labels"])


def test_unused_pieces_and_special_tokens_never_stand_in():
    from bertkit.models.tokenizer import build_tokenizer

    words = [f"[unused{n}]" for n in range(50)] + [f"w{n}" for n in range(10)]
    tokenizer = build_tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words], lowercase=True)
    collate = DataCollatorForBertPretraining(tokenizer, mask_replace_prob=0.0, random_replace_prob=1.0)
    batch = collate([{"a": [55 + n % 10 for n in range(100)], "b": None, "key": k} for k in range(50)])
    assert batch["input_ids"][batch["labels"] != -100].min() >= 55


def test_it_serves_a_plain_data_loader_and_the_trainer(tmp_path):
    from transformers import Trainer, TrainingArguments

    tokenizer = toy_tokenizer()
    rows = [{"input_ids": [2, *range(5, 25), 3], "next_sentence_label": n % 2} for n in range(8)]
    collate = DataCollatorForBertPretraining(tokenizer)
    assert len(list(DataLoader(rows, batch_size=4, collate_fn=collate))) == 2
    model = new_bert(
        ModelSettings(num_hidden_layers=1, hidden_size=16, num_attention_heads=2, intermediate_size=32), tokenizer, 1
    )
    arguments = TrainingArguments(
        tmp_path, max_steps=2, remove_unused_columns=False, report_to=[], use_cpu=True, disable_tqdm=True
    )
    result = Trainer(model, arguments, data_collator=collate, train_dataset=rows).train()
    assert np.isfinite(result.training_loss)


def test_rows_without_a_key_draw_masks_of_their_own():
    """95 tokens of which about 14 are chosen: two rows in 200 choose the same ones with a probability below 1e-12."""
    torch.manual_seed(0)
    labels = DataCollatorForBertPretraining(toy_tokenizer())([{"a": list(range(5, 100)), "b": None}] * 200)["labels"]
    assert len({tuple(row) for row in labels.tolist()}) == 200


def test_what_does_not_fit_is_refused():
    tokenizer = toy_tokenizer()
    with pytest.raises(BertkitError, match="at most 1"):
        DataCollatorForBertPretraining(tokenizer, mask_replace_prob=0.9, random_replace_prob=0.2)
    with pytest.raises(BertkitError, match=r"must be in \(0, 1\], and is 15%"):
        DataCollatorForBertPretraining(tokenizer, mlm_probability="15%")
    tokenizer.mask_token = None
    with pytest.raises(BertkitError, match=r"no \[MASK\]"):
        DataCollatorForBertPretraining(tokenizer)


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        ({"a": [5, 6, 98765]}, "a feature has the id 98,765, and the tokenizer has those from 0 to"),
        ({"a": [5], "b": [-1]}, "a feature has the id -1, and"),
        ({"input_ids": [2, 98765, 3]}, "a feature has the id 98,765"),
        ({"labels": [1], "key": 3}, "neither input_ids nor a, but labels, key: give token ids"),
    ],
)
def test_features_that_cannot_be_read_are_refused(feature, said):
    with pytest.raises(BertkitError, match=said):
        DataCollatorForBertPretraining(toy_tokenizer())([{"a": [5]}, feature])


def test_padding_of_a_tokenizers_output_is_no_text():
    tokenizer = toy_tokenizer()
    plain = dict(tokenizer("a b c", "d e f"))
    padded = dict(tokenizer("a b c", "d e f", padding="max_length", max_length=20))
    collate = DataCollatorForBertPretraining(tokenizer)
    key = {"key": 7}
    one, other = collate([{**plain, **key}]), collate([{**padded, **key}])
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert "next_sentence_label" not in one  # a batch of -100 alone would make transformers' loss nan
