"""What reads a frozen BERT, beside hidden states of transformers and an LSTM of torch that reads text by text."""

import pytest
import torch
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    RobertaConfig,
    RobertaForTokenClassification,
)

from bertkit.errors import BertkitError
from bertkit.models.fast.attention import attend_unpadded
from bertkit.models.features import FeatureClassifier, Reading, read_features
from bertkit.models.headed import pooled_logits, token_logits

SIZES = {"vocab_size": 50, "hidden_size": 8, "num_hidden_layers": 5, "num_attention_heads": 2, "intermediate_size": 16}
LENGTHS = torch.tensor([6, 2, 4])


def made(cls, reading, **config):
    torch.manual_seed(1)
    model = cls(BertConfig(**SIZES, num_labels=3, **config)).eval()
    read_features(model, reading, seed=3)
    attend_unpadded(model)
    return model.eval()


@pytest.fixture
def batch():
    torch.manual_seed(0)
    shape = len(LENGTHS), int(LENGTHS.max())
    inside = torch.arange(shape[1]) < LENGTHS[:, None]
    return {"input_ids": torch.randint(5, 50, shape), "attention_mask": inside.long()}


def read_by_hand(layers, wanted, reading, head):
    """What Table 7 of the paper calls it, of transformers' hidden states ``[embeddings, layer 1, …, layer 5]``."""
    last_four = [layer[wanted] for layer in layers[-4:]]
    if reading.layers == "weighted":
        shares = torch.softmax(head.shares, 0)
        states = sum(share * layer[wanted] for share, layer in zip(shares, layers[1:], strict=True)) * head.scale
    else:
        states = {"last": last_four[-1], "sum-last-4": sum(last_four), "concat-last-4": torch.cat(last_four, 1)}[
            reading.layers
        ]
    if reading.classifier == "bilstm":
        texts = states.split(wanted.sum(1).tolist())
        states = torch.cat([head.lstm(text.unsqueeze(1))[0].squeeze(1) for text in texts if len(text)])
    return head.linear(states)


@pytest.mark.parametrize("classifier", ["linear", "bilstm"])
@pytest.mark.parametrize("layers", ["last", "sum-last-4", "concat-last-4", "weighted"])
def test_layers_and_classifier_are_what_the_paper_s_table_says(batch, layers, classifier):
    reading = Reading(layers, classifier)
    model = made(BertForTokenClassification, reading)
    if layers == "weighted":
        model.classifier.shares.data.copy_(torch.randn(5))
        model.classifier.scale.data.fill_(1.7)
    wanted = batch["attention_mask"].bool()
    wanted[:, 0] = False
    wanted[1] = False  # nothing is read of the second text
    hidden = model.bert(**batch, output_hidden_states=True).hidden_states
    expected = read_by_hand(hidden, wanted, reading, model.classifier)
    found = token_logits(model, batch, wanted)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    # The same by states that were kept.
    kept = {"states": torch.cat([layer[wanted] for layer in hidden[1:]], 1)} if layers == "weighted" else {}
    if kept:
        torch.testing.assert_close(token_logits(model, batch | kept, wanted), expected, rtol=1e-4, atol=1e-5)
    assert token_logits(model, batch, wanted & False).shape == (0, 3)


def test_an_answer_reads_two_numbers_a_token_and_a_class_reads_cls(batch):
    span = made(BertForQuestionAnswering, Reading("concat-last-4", "bilstm"))
    assert token_logits(span, batch, batch["attention_mask"].bool()).shape == (12, 2)
    sequence = made(BertForSequenceClassification, Reading("sum-last-4"))
    hidden = sequence.bert(**batch, output_hidden_states=True).hidden_states
    expected = sequence.classifier.linear(sum(layer[:, 0] for layer in hidden[-4:]))
    torch.testing.assert_close(pooled_logits(sequence, batch), expected, rtol=1e-4, atol=1e-5)


def test_the_bilstm_is_the_paper_s_two_layers_as_wide_as_the_encoder():
    made = FeatureClassifier(Reading("concat-last-4", "bilstm"), 4, 768, 9, 0.1)
    lstm = torch.nn.LSTM(4 * 768, 768, num_layers=2, bidirectional=True)
    assert {name: one.shape for name, one in made.lstm.named_parameters()} == {
        name: one.shape for name, one in lstm.named_parameters()
    }
    assert made.linear.weight.shape == (9, 2 * 768)


@pytest.mark.parametrize(
    ("model", "reading", "message"),
    [
        (
            BertForTokenClassification(BertConfig(**SIZES | {"num_hidden_layers": 2})),
            Reading("sum-last-4"),
            "has 2: use weighted",
        ),
        (BertForSequenceClassification(BertConfig(**SIZES)), Reading("last", "bilstm"), "reads .CLS. alone"),
        (RobertaForTokenClassification(RobertaConfig(**SIZES)), Reading("weighted"), "RobertaForTokenClassification"),
    ],
)
def test_what_cannot_be_read_is_refused(model, reading, message):
    with pytest.raises(BertkitError, match=message):
        read_features(model, reading, 0)
