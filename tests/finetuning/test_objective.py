"""The fine-tuning losses against transformers' own, and balanced weights by hand."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from bertkit.finetuning.features import Split
from bertkit.finetuning.heads.number import Number
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.several_classes import SeveralClasses
from bertkit.finetuning.objective import FinetuneObjective
from bertkit.models.layers import freeze

NAMES = ["a", "b", "c"]
LABELS = [
    (OneClass(NAMES), torch.tensor([0, 2, 1, 2])),
    (SeveralClasses(NAMES), torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]])),
    (Number(), torch.tensor([0.5, 3.2, -1.0, 0.0])),
]


def classifier(head):
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        **head.model_config(),
    )  # fmt: skip
    return BertForSequenceClassification(config).eval()


@pytest.mark.parametrize(("head", "labels"), LABELS)
def test_loss_equals_transformers_own(head, labels):
    model = classifier(head)
    inputs = {"input_ids": torch.randint(5, 50, (4, 9)), "attention_mask": torch.ones(4, 9, dtype=torch.int64)}
    objective = FinetuneObjective(model, head)
    batch = {**inputs, "labels": labels}
    ours = objective(**batch)["loss"] / objective.counts(batch)[""]
    assert ours.item() == pytest.approx(model(**batch).loss.item(), rel=1e-6)


def test_weighted_loss_is_torchs_weighted_mean():
    rows = np.array([0, 0, 0, 1, 2, 2])
    head = OneClass(NAMES).balanced(Split("train", [("",)] * 6, rows))
    weights = np.array([6 / (3 * 3), 6 / (3 * 1), 6 / (3 * 2)])  # rows / (classes × rows of the class)
    assert head.class_weights == pytest.approx(weights)
    model = classifier(head)
    ids = torch.randint(5, 50, (4, 9))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor([0, 2, 1, 2])}
    objective = FinetuneObjective(model, head)
    ours = objective(**batch)["loss"] / objective.counts(batch)[""]
    logits = model(input_ids=ids).logits
    expected = torch.nn.functional.cross_entropy(logits, batch["labels"], torch.from_numpy(weights).float())
    assert ours.item() == pytest.approx(expected.item())


def test_a_class_without_rows_changes_no_weight_of_the_others():
    rows = np.array([0, 0, 0, 2])
    head = OneClass(NAMES).balanced(Split("train", [("",)] * 4, rows))
    assert head.class_weights[[0, 2]] == pytest.approx([4 / (2 * 3), 4 / (2 * 1)])
    assert head.count({"labels": torch.tensor(rows)}) == pytest.approx(4)


def test_a_frozen_encoder_says_the_same_in_training_and_the_head_is_dropped_out():
    head = OneClass(NAMES)
    model = classifier(head)
    freeze(model, None)
    objective, batch = FinetuneObjective(model, head).train(), {"input_ids": torch.tensor([[1, 2, 3]])}
    first, second = (model.bert(**batch).last_hidden_state for _ in range(2))
    assert torch.equal(first, second)
    assert not first.requires_grad
    assert objective.model.dropout.training
    assert not objective.eval().model.dropout.training
