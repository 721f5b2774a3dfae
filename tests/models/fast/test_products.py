"""Weights that are laid out for reading: the same numbers in the same places, and the same answers."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, DistilBertConfig, DistilBertModel

from bertkit.models.fast.attention import attend_unpadded, encode
from bertkit.models.fast.products import lay_out_for_reading

SMALL = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}


@pytest.fixture
def read():
    """A BERT as transformers has it, and a batch of two texts with what is wanted of them."""
    torch.manual_seed(2)
    model = BertForMaskedLM(BertConfig(**SMALL)).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)  # biases, too, are something
    ids, mask = torch.randint(60, (2, 9)), torch.ones(2, 9, dtype=torch.int64)
    mask[1, 5:] = 0
    batch = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    wanted = torch.zeros(2, 9, dtype=torch.bool)
    wanted[[0, 0, 1], [2, 8, 4]] = True
    return model, batch, wanted


def test_answers_and_numbers_stay(read):
    model, batch, wanted = read
    with torch.inference_mode():
        expected = model.bert(**batch).last_hidden_state
    numbers = {name: one.clone() for name, one in model.state_dict().items()}
    attend_unpadded(model)
    lay_out_for_reading(model)
    assert all(torch.equal(one, numbers[name]) for name, one in model.state_dict().items())
    with torch.inference_mode():
        torch.testing.assert_close(encode(model.bert, **batch, wanted=wanted), expected[wanted], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(model.bert(**batch).last_hidden_state, expected, rtol=1e-5, atol=1e-6)


def test_query_key_and_value_are_one_product_without_a_copy(read, monkeypatch):
    model, batch, wanted = read
    attend_unpadded(model)
    lay_out_for_reading(model)
    for layer in model.bert.encoder.layer:
        parts = layer.attention.self
        places = {one.untyped_storage().data_ptr() for one in (parts.query.weight, parts.value.weight, parts.joined[0])}
        assert len(places) == 1
    widths = []
    linear = torch.nn.functional.linear
    monkeypatch.setattr(torch.nn.functional, "linear", lambda *given: widths.append(len(given[1])) or linear(*given))
    encode(model.bert, **batch, wanted=wanted)
    # Attention in and out, and the feed-forward; the last layer asks for its few tokens alone.
    assert widths == [96, 32, 64, 32, 96, 32, 64, 32, 32, 64, 32, 64, 32]


def test_another_encoder_is_left_as_it_is():
    model = DistilBertModel(DistilBertConfig(vocab_size=60, dim=32, n_layers=1, n_heads=4, hidden_dim=64))
    lay_out_for_reading(model)
    assert all(one.is_contiguous() for one in model.parameters())
