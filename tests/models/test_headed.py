"""A head that comes with a model is gone on with where it is for the same labels, and made new otherwise, which is said."""

import pytest
import torch
import transformers

from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.predictor import Predictor
from bertkit.finetuning.unread import Reach
from bertkit.finetuning.windows import RowEncoder
from bertkit.models.headed import new_headed, positions_of
from bertkit.settings.schema import FinetuneRecipe

AUTO = "AutoModelForSequenceClassification"


def config(*names, kind="single_label_classification"):
    labels = dict(enumerate(names))
    return {"num_labels": len(names), "id2label": labels, "label2id": {name: at for at, name in labels.items()},
            "problem_type": kind}  # fmt: skip


@pytest.fixture
def classifier(tiny_model, tmp_path):
    """A folder with a classifier of "happy" and "sad", whose head is nothing like a new one."""
    model, tokenizer, _ = new_headed(AUTO, str(tiny_model), config("happy", "sad"), None, 1)
    torch.nn.init.constant_(model.classifier.weight, 7.0)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return str(tmp_path)


def test_a_head_for_the_same_classes_is_kept(classifier):
    model, _, notes = new_headed(AUTO, classifier, config("happy", "sad"), None, 1)
    assert (model.classifier.weight == 7).all()
    assert any("is kept and learns on" in told for told in notes)


@pytest.mark.parametrize(
    "wanted",
    [config("sad", "happy"), config("no", "yes"), config("LABEL_0", kind="regression"), config("a", "b", "c")],
    ids=["other order", "other classes", "a number", "other sizes"],
)
def test_any_other_head_is_new_and_the_encoder_is_kept(classifier, wanted):
    model, _, notes = new_headed(AUTO, classifier, wanted, None, 1)
    assert model.classifier.weight.abs().max() < 0.2  # drawn with a deviation of 0.02
    old = transformers.BertModel.from_pretrained(classifier).state_dict()
    assert all(torch.equal(one, old[name]) for name, one in model.bert.state_dict().items())
    again = new_headed(AUTO, classifier, wanted, None, 1)[0]
    assert torch.equal(model.classifier.weight, again.classifier.weight)
    assert sum("the head is new: that of" in told for told in notes) == 1


def test_a_number_is_learned_by_a_new_head(tiny_model, tmp_path):
    model, tokenizer, _ = new_headed(AUTO, str(tiny_model), config("LABEL_0", kind="regression"), None, 1)
    torch.nn.init.constant_(model.classifier.weight, 7.0)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model, _, notes = new_headed(AUTO, str(tmp_path), config("LABEL_0", kind="regression"), None, 1)
    assert model.classifier.weight.abs().max() < 0.2
    assert any("the head is new" in told for told in notes)


def test_roberta_reads_two_tokens_fewer_than_it_has_places():
    """Its positions begin behind the padding's id, 1 (transformers, create_position_ids_from_input_ids)."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    places = {"max_position_embeddings": 34, "vocab_size": 64}
    roberta = transformers.RobertaForSequenceClassification(transformers.RobertaConfig(**sizes, **places))
    bert = transformers.BertForSequenceClassification(transformers.BertConfig(**sizes, **places))
    assert (positions_of(roberta), positions_of(bert)) == (32, 34)
    assert Predictor(SequenceHead(), FinetuneRecipe(), RowEncoder, roberta).reach == Reach(32, False)
    roberta(torch.full((1, 32), 5))
    with pytest.raises(RuntimeError, match="out of bounds"):
        roberta(torch.full((1, 33), 5))
