"""The fine-tuning losses against transformers' own, and balanced weights against scikit-learn's."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from transformers import BertConfig, BertForSequenceClassification

from bertkit.finetuning.objective import ClassificationObjective
from bertkit.finetuning.run import balanced_weights

LABELS = {
    "single_label_classification": (3, torch.tensor([0, 2, 1, 2])),
    "multi_label_classification": (3, torch.tensor([[0.0, 1, 1], [1, 0, 0], [0, 0, 0], [1, 1, 1]])),
    "regression": (1, torch.tensor([0.5, 3.2, -1.0, 0.0])),
}


def classifier(problem_type, classes):
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        num_labels=classes, problem_type=problem_type,
    )  # fmt: skip
    return BertForSequenceClassification(config).eval()


@pytest.mark.parametrize("problem_type", LABELS)
def test_loss_equals_transformers_own(problem_type):
    classes, labels = LABELS[problem_type]
    model = classifier(problem_type, classes)
    inputs = {"input_ids": torch.randint(5, 50, (4, 9)), "attention_mask": torch.ones(4, 9, dtype=torch.int64)}
    objective = ClassificationObjective(model)
    batch = {**inputs, "labels": labels}
    ours = objective(**batch)["loss"] / objective.counts(batch)[""]
    assert ours.item() == pytest.approx(model(**batch).loss.item(), rel=1e-6)


def test_weighted_loss_is_torchs_weighted_mean():
    model = classifier("single_label_classification", 3)
    weights = torch.tensor([0.5, 2.0, 1.0])
    ids = torch.randint(5, 50, (4, 9))
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor([0, 2, 1, 2])}
    objective = ClassificationObjective(model, weights)
    ours = objective(**batch)["loss"] / objective.counts(batch)[""]
    logits = model(input_ids=batch["input_ids"]).logits
    assert ours.item() == pytest.approx(torch.nn.functional.cross_entropy(logits, batch["labels"], weights).item())


def test_balanced_weights_are_scikit_learns():
    labels = np.array([0, 0, 0, 1, 2, 2], dtype=np.int64)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert balanced_weights(labels, 3) == pytest.approx(expected)
