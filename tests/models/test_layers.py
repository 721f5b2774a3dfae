"""Heights, factors and what is not trained, beside what is worked out by hand for models of transformers."""

import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertForTokenClassification,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    RobertaConfig,
    RobertaForTokenClassification,
)

from bertkit.errors import BertkitError
from bertkit.models.layers import freeze, heights, rate_factors, rest_frozen

SMALL = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 4, "num_attention_heads": 1, "intermediate_size": 8}


def bert():
    return BertForSequenceClassification(BertConfig(**SMALL))


def test_the_factors_of_four_layers_by_hand():
    factors = rate_factors(bert(), 0.5)
    assert factors["bert.embeddings.word_embeddings.weight"] == factors["bert.embeddings.LayerNorm.bias"] == 1 / 32
    by_layer = [factors[f"bert.encoder.layer.{number}.attention.self.query.weight"] for number in range(4)]
    assert by_layer == [1 / 16, 1 / 8, 1 / 4, 1 / 2]
    # What is not named learns at the full rate.
    assert not {"bert.pooler.dense.weight", "classifier.weight"} & factors.keys()
    assert rate_factors(bert(), 1.0) == {}


@pytest.mark.parametrize(
    ("model", "embeddings", "layer"),
    [
        (
            RobertaForTokenClassification(RobertaConfig(**SMALL)),
            "roberta.embeddings.word_embeddings.weight",
            "roberta.encoder.layer.3.output.dense.bias",
        ),
        (
            DistilBertForSequenceClassification(
                DistilBertConfig(vocab_size=9, dim=8, n_layers=4, n_heads=1, hidden_dim=8)
            ),
            "distilbert.embeddings.word_embeddings.weight",
            "distilbert.transformer.layer.3.ffn.lin2.bias",
        ),
    ],
)
def test_other_encoders_have_their_layers_numbered_too(model, embeddings, layer):
    found = heights(model)
    assert (found[embeddings], found[layer]) == (0, 4)
    assert not any(name.startswith(("classifier", "pre_classifier")) for name in found)


@pytest.mark.parametrize("layers", [0, 2, 4, None])
def test_what_is_frozen_has_no_gradient_and_no_dropout(layers):
    model = bert()
    told = freeze(model, layers)
    frozen = {name for name, one in model.named_parameters() if not one.requires_grad}
    below = {f"bert.encoder.layer.{number}." for number in range(4 if layers is None else layers)}
    expected = {n for n, _ in model.named_parameters() if n.startswith(("bert.embeddings.", *below))}
    assert frozen == expected
    count = sum(one.numel() for name, one in model.named_parameters() if name in expected)
    assert f"{count:,} of {model.num_parameters():,} parameters" in told
    rest_frozen(model.train())
    assert not model.bert.embeddings.dropout.training
    assert [layer.output.dropout.training for layer in model.bert.encoder.layer] == [
        number >= (4 if layers is None else layers) for number in range(4)
    ]
    assert model.dropout.training
    model(torch.tensor([[1, 2, 3]])).logits.sum().backward()
    assert {name for name, one in model.named_parameters() if one.grad is None} == expected


def test_what_cannot_be_frozen_or_told_apart_is_refused():
    shared = AlbertForTokenClassification(AlbertConfig(**SMALL, embedding_size=8))
    for refused in (lambda: freeze(shared, 1), lambda: rate_factors(shared, 0.9)):
        with pytest.raises(BertkitError, match="AlbertForTokenClassification has no such layers"):
            refused()
    with pytest.raises(BertkitError, match="frozen_layers is 5, and the model has 4"):
        freeze(bert(), 5)
    freeze(shared, None)
    assert [name for name, one in shared.named_parameters() if one.requires_grad] == [
        "classifier.weight",
        "classifier.bias",
    ]
