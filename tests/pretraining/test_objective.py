"""Our loss against ``BertForPreTraining``'s own: value and every gradient."""

import pytest
import torch
from helpers.stores import toy_tokenizer

from bertkit.models.bert import new_bert
from bertkit.pretraining.collator import DataCollatorForBertPretraining
from bertkit.pretraining.objective import BertPretrainingObjective
from bertkit.settings.schema import ModelSettings

SMALL = ModelSettings(num_hidden_layers=2, hidden_size=32, num_attention_heads=2, intermediate_size=64)


@pytest.fixture
def batch():
    collate = DataCollatorForBertPretraining(toy_tokenizer())
    features = [
        {"a": list(range(5, 5 + n)), "b": list(range(40, 40 + m)), "next_sentence_label": n % 2, "key": n}
        for n, m in [(9, 4), (3, 20), (12, 12), (7, 30)]
    ]
    return collate(features)


@pytest.mark.parametrize("pairs", [True, False])
def test_loss_and_gradients_equal_transformers_own(batch, pairs):
    model = new_bert(SMALL, toy_tokenizer(), seed=3).eval()
    if not pairs:
        batch["next_sentence_label"][2:] = -100  # rows without a pair do not count
    model(**batch).loss.backward()
    expected_loss = model(**batch).loss.item()
    expected = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    model.zero_grad()
    objective = BertPretrainingObjective(model)
    counts, sums = objective.counts(batch), objective(**batch)
    loss = sums["mlm_loss"] / counts["mlm"] + sums["nsp_loss"] / counts["nsp"]
    loss.backward()
    assert loss.item() == pytest.approx(expected_loss, rel=1e-6)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-4, atol=1e-7, msg=name)


def test_without_a_sentence_objective_the_pooler_and_its_head_are_left_alone(batch):
    objective = BertPretrainingObjective(new_bert(SMALL, toy_tokenizer(), seed=3), sentence_pairs=False)
    assert objective.counts(batch).keys() == {"mlm"}
    assert objective(**batch).keys() == {"mlm_loss", "mlm_correct"}
    frozen = {name for name, parameter in objective.model.named_parameters() if not parameter.requires_grad}
    assert frozen == {
        "bert.pooler.dense.weight",
        "bert.pooler.dense.bias",
        "cls.seq_relationship.weight",
        "cls.seq_relationship.bias",
    }
