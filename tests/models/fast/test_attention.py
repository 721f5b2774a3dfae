"""The encoder over texts laid end to end: what transformers computes for the padded batch, where it is wanted."""

import sys

import pytest
import torch
from transformers import BertConfig, BertModel

from bertkit.models.fast import attention, layout
from bertkit.models.fast.attention import attend_unpadded, encode
from bertkit.models.fast.layout import Layout

LENGTHS = torch.tensor([12, 3, 7, 1, 9])
ALL, FIRST, SOME = "all", "first", "some"


@pytest.fixture
def batch():
    torch.manual_seed(0)
    shape = len(LENGTHS), int(LENGTHS.max())
    return {
        "input_ids": torch.randint(5, 99, shape),
        "attention_mask": (torch.arange(shape[1]) < LENGTHS[:, None]).long(),
        "token_type_ids": torch.randint(0, 2, shape),
    }


def wanted_of(batch, which):
    inside = batch["attention_mask"].bool()
    if which == ALL:
        return inside
    if which == FIRST:
        return torch.arange(inside.shape[1]).expand_as(inside) == 0
    some = inside & (torch.rand(inside.shape) < 0.3)
    some[3] = False  # of one text nothing
    return some


def model_with(attention, layers=2, **config):
    config = BertConfig(
        num_hidden_layers=layers, hidden_size=32, num_attention_heads=4, intermediate_size=64, vocab_size=99,
        attn_implementation=attention, **config,
    )  # fmt: skip
    torch.manual_seed(1)
    return BertModel(config).eval()


@pytest.mark.parametrize("rows_at_once", [1, 8, 64])  # 32 tokens in a batch of 60: no row more, none, and everything
@pytest.mark.parametrize("which", [ALL, FIRST, SOME])
@pytest.mark.parametrize(("attention", "layers"), [("eager", 2), ("sdpa", 2), ("sdpa", 1)])
def test_states_and_gradients_are_those_of_the_padded_batch(batch, attention, layers, which, rows_at_once, monkeypatch):
    monkeypatch.setitem(layout.ROWS_AT_ONCE, "cpu", rows_at_once)
    model = model_with(attention, layers)
    wanted = wanted_of(batch, which)
    expected = model(**batch).last_hidden_state[wanted]
    weights = torch.randn_like(expected)
    (expected * weights).sum().backward()
    gradients = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()

    attend_unpadded(model)
    attend_unpadded(model)  # once more changes nothing
    hidden = encode(model, **batch, wanted=wanted)
    torch.testing.assert_close(hidden, expected, rtol=1e-5, atol=1e-6)
    (hidden * weights).sum().backward()
    assert len(gradients) >= 5 + 16 * layers
    for name, weight in model.named_parameters():
        if name in gradients:
            torch.testing.assert_close(weight.grad, gradients[name], rtol=1e-4, atol=1e-5, msg=name)


def attend_text_by_text(query, key, value, asking, ends, most, longest, *, scale):
    """What ``torch.nn.attention.varlen.varlen_attn`` is documented to do, which runs on a GPU alone."""
    (q, k), found = (one.diff().tolist() for one in (asking, ends)), []
    assert (max(q), max(k)) == (most, longest)
    for one, key_, value_ in zip(query.split(q), key.split(k), value.split(k), strict=True):
        scores = torch.einsum("qhs,khs->hqk", one, key_) * scale
        found.append(torch.einsum("hqk,khs->qhs", scores.softmax(dim=-1), value_))
    return torch.cat(found)


@pytest.mark.parametrize("which", [ALL, FIRST, SOME])
def test_the_kernel_for_texts_of_several_lengths_is_told_where_each_ends(batch, which, monkeypatch):
    monkeypatch.setitem(layout.ROWS_AT_ONCE, "cpu", 1)  # as on a GPU
    monkeypatch.setattr(attention, "_has_kernel", lambda _: True)
    monkeypatch.setattr(attention, "_KERNEL", attend_text_by_text)
    model, wanted = model_with("sdpa"), wanted_of(batch, which)
    expected = model(**batch).last_hidden_state[wanted]
    attend_unpadded(model)
    torch.testing.assert_close(encode(model, **batch, wanted=wanted), expected, rtol=1e-5, atol=1e-6)


def test_the_kernel_which_draws_no_dropout_is_not_used_where_there_is_a_rate(batch, monkeypatch):
    monkeypatch.setitem(layout.ROWS_AT_ONCE, "cpu", 1)  # as on a GPU
    monkeypatch.setattr(attention, "_has_kernel", lambda _: True)
    used = []
    monkeypatch.setattr(
        attention, "_KERNEL", lambda *inputs, **more: used.append(1) or attend_text_by_text(*inputs, **more)
    )
    model, wanted = model_with("sdpa", attention_probs_dropout_prob=0.5), wanted_of(batch, ALL)
    attend_unpadded(model)
    encode(model.train(), **batch, wanted=wanted)
    assert used == []
    encode(model.eval(), **batch, wanted=wanted)
    assert used == [1, 1]  # a layer each


def of_torch_2_10(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False, return_aux=None):
    """The signature of that version's ``varlen_attn``."""


@pytest.mark.parametrize(("there", "is_used"), [(attend_text_by_text, True), (of_torch_2_10, False)])
def test_a_kernel_that_takes_no_scale_is_none(there, is_used, monkeypatch):
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", there)
    assert attention._kernel_of_torch() is (there if is_used else None)


def test_a_torch_without_the_kernel_has_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", None)  # importing it raises an ImportError
    assert attention._kernel_of_torch() is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="the kernel is a GPU's")
@pytest.mark.parametrize("which", [ALL, FIRST, SOME])
def test_the_kernel_itself_is_the_padded_batch_to_bf16(batch, which):
    model, wanted = model_with("sdpa").to("cuda", torch.bfloat16), wanted_of(batch, which).cuda()
    batch = {name: one.cuda() for name, one in batch.items()}
    expected = model(**batch).last_hidden_state[wanted]
    attend_unpadded(model)
    torch.testing.assert_close(encode(model, **batch, wanted=wanted), expected, rtol=0.02, atol=0.02)


def test_a_batch_without_padding(batch):
    model = model_with("sdpa")
    batch["attention_mask"][:] = 1
    expected = model(**batch).last_hidden_state
    attend_unpadded(model)
    hidden = encode(model, **batch, wanted=batch["attention_mask"].bool())
    torch.testing.assert_close(hidden, expected.flatten(0, 1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("has_kernel", [False, True])
def test_nothing_wanted_is_nothing(batch, has_kernel, monkeypatch):
    monkeypatch.setitem(layout.ROWS_AT_ONCE, "cpu", 1)
    monkeypatch.setattr(attention, "_has_kernel", lambda _: has_kernel)
    monkeypatch.setattr(attention, "_KERNEL", attend_text_by_text)
    model = model_with("sdpa")
    attend_unpadded(model)
    assert encode(model, **batch, wanted=torch.zeros_like(batch["attention_mask"], dtype=bool)).shape == (0, 32)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_padded_batches_are_read_as_before(batch, attention):
    model = model_with(attention)
    expected = model(**batch).last_hidden_state
    attend_unpadded(model)
    assert torch.equal(model(**batch).last_hidden_state, expected)


def test_what_is_in_the_padding_does_not_matter(batch):
    model = model_with("sdpa")
    attend_unpadded(model)
    wanted = wanted_of(batch, ALL)
    expected = encode(model, **batch, wanted=wanted)
    other = batch | {"input_ids": batch["input_ids"].masked_fill(~wanted, 7)}
    assert torch.equal(encode(model, **other, wanted=wanted), expected)


def test_the_last_layer_s_feed_forward_sees_the_wanted_tokens_alone(batch):
    model = model_with("sdpa")
    attend_unpadded(model)
    seen = []
    for layer in model.encoder.layer:
        layer.intermediate.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    encode(model, **batch, wanted=wanted_of(batch, FIRST))
    assert seen == [60, 5]  # rows are filled up to 64, or to the whole batch


def test_dropout_of_shares_is_drawn_where_there_is_a_rate(batch):
    model = model_with("sdpa", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.5)
    attend_unpadded(model)
    wanted = wanted_of(batch, ALL)
    evaluated = encode(model, **batch, wanted=wanted)
    model.train()
    one, other = encode(model, **batch, wanted=wanted), encode(model, **batch, wanted=wanted)
    assert not torch.allclose(one, evaluated, atol=1e-3)
    assert not torch.allclose(one, other, atol=1e-3)
    # Dropped shares are no bias: over many draws the last layer's context comes near to that without.
    torch.manual_seed(3)
    mean = torch.stack([encode(model, **batch, wanted=wanted).detach() for _ in range(400)]).mean(dim=0)
    assert (mean - evaluated).abs().mean() < 0.2 * (one - evaluated).abs().mean()


def test_shares_are_dropped_and_not_what_they_are_shares_of():
    """In a text of one token its share is 1, which is dropped whole, or kept and doubled, whatever the size of the state."""
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 400, 2, 1, 8)
    factors = (attention._attend_plainly(query, key, value, None, 1.0, 0.5) / value).flatten(0, 2)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors))
    assert set(factors[:, 0].round(decimals=3).tolist()) == {0.0, 2.0}


def test_a_layout_says_where_each_text_ends(batch, monkeypatch):
    monkeypatch.setitem(layout.ROWS_AT_ONCE, "cpu", 1)
    tokens = Layout.of(batch["attention_mask"].bool())
    assert tokens.ends.tolist() == [0, 12, 15, 22, 23, 32]
    assert tokens.places.tolist() == batch["attention_mask"].flatten().nonzero().squeeze(1).tolist()
