"""The encoder over texts laid end to end: what transformers computes for the padded batch, at its tokens."""

import pytest
import torch
from transformers import BertConfig, BertModel

from bertkit.models.unpadded import attend_unpadded, encode

LENGTHS = torch.tensor([12, 3, 7, 1, 9])


@pytest.fixture
def batch():
    torch.manual_seed(0)
    shape = len(LENGTHS), int(LENGTHS.max())
    return {
        "input_ids": torch.randint(5, 99, shape),
        "attention_mask": (torch.arange(shape[1]) < LENGTHS[:, None]).long(),
        "token_type_ids": torch.randint(0, 2, shape),
    }


def model_with(attention):
    config = BertConfig(
        num_hidden_layers=2, hidden_size=32, num_attention_heads=4, intermediate_size=64, vocab_size=99,
        attn_implementation=attention,
    )  # fmt: skip
    torch.manual_seed(1)
    return BertModel(config).eval()


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_hidden_states_and_gradients_are_those_of_the_padded_batch(batch, attention):
    model = model_with(attention)
    inside = batch["attention_mask"].bool()
    expected = model(**batch)
    weights = torch.randn_like(expected.last_hidden_state)
    (expected.last_hidden_state * weights)[inside].sum().backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()

    attend_unpadded(model)
    attend_unpadded(model)  # once more changes nothing
    hidden, first, layout = encode(model, **batch)
    assert layout.ends.tolist() == [0, 12, 15, 22, 23, 32]
    torch.testing.assert_close(hidden, expected.last_hidden_state[inside], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.pooler(first.unsqueeze(1)), expected.pooler_output, rtol=1e-5, atol=1e-6)
    (hidden * weights[inside]).sum().backward()
    assert len(gradients) > 30
    for name, weight in model.named_parameters():
        if name in gradients:
            torch.testing.assert_close(weight.grad, gradients[name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_padded_batches_are_read_as_before(batch, attention):
    model = model_with(attention)
    expected = model(**batch).last_hidden_state
    attend_unpadded(model)
    inside = batch["attention_mask"].bool()
    torch.testing.assert_close(model(**batch).last_hidden_state[inside], expected[inside], rtol=1e-5, atol=1e-6)


def test_what_is_in_the_padding_does_not_matter(batch):
    model = model_with("sdpa")
    attend_unpadded(model)
    expected = encode(model, **batch).hidden
    other = batch["input_ids"].masked_fill(~batch["attention_mask"].bool(), 7)
    assert torch.equal(encode(model, **batch | {"input_ids": other}).hidden, expected)
