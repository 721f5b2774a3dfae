"""Folders of others: read whole, or one line before anything is built."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForSequenceClassification,
)

from bertkit.errors import BertkitError
from bertkit.inference.exporting.export import export
from bertkit.inference.mask_filling.filler import MaskFiller
from bertkit.inference.scoring import PairScorer, Scorer
from bertkit.models.bert import load_bert_for_pretraining, save_model
from bertkit.models.folder import bert_folder, checked_folder, own_length, what_it_is
from bertkit.models.headed import load_headed, new_headed
from bertkit.models.loading import load_for
from bertkit.runtime.load import open_reader


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_model, tmp_path / "copy")


def edit(path: Path, remove: tuple[str, ...] = (), **changes: Any) -> None:
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: value for name, value in content.items() if name not in remove}))


def finetune_from(name: str) -> Any:
    return new_headed("AutoModelForSequenceClassification", name, {"num_labels": 2}, None, 0)


EVERYWHERE = {
    "numpy": lambda name: open_reader(name, "words", None, 1),
    "torch": lambda name: open_reader(name, "words", "cpu"),
    "finetune": finetune_from,
    "pretrain": load_bert_for_pretraining,
    "predict": lambda name: load_headed("AutoModelForSequenceClassification", name),
    "export": lambda name: export(name, "half", Path(name).parent / "out"),
}


@pytest.mark.parametrize("where", EVERYWHERE)
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"position_embedding_type": "relative_key"}, "has position_embedding_type relative_key"),
        ({"is_decoder": True}, "has is_decoder in its configuration"),
        ({"add_cross_attention": True}, "has add_cross_attention in its configuration"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers is 1,000,000,000 in config.json, and 2 in model.safetensors"),
        ({"vocab_size": 10**8}, "vocab_size is 100,000,000 in config.json, and 64 in model.safetensors"),
        ({"max_position_embeddings": 10**9}, "max_position_embeddings is 1,000,000,000 in config.json, and 32"),
        ({"type_vocab_size": 10**9}, "type_vocab_size is 1,000,000,000 in config.json, and 2"),
        ({"hidden_size": 10**6}, "hidden_size is 1,000,000 in config.json, and 16"),
        ({"intermediate_size": 10**9}, "intermediate_size is 1,000,000,000 in config.json, and 32"),
        ({"num_labels": 10**9}, "num_labels is 1,000,000,000 in config.json, and 0"),
        ({"num_hidden_layers": "two"}, "num_hidden_layers must be a whole number above 0, and is 'two'"),
        ({"vocab_size": -1}, "vocab_size must be a whole number above 0, and is -1"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be a whole number above 0, and is 0"),
    ],
)
def test_what_cannot_be_computed_is_the_same_line_everywhere(copy, where, changes, said):
    edit(copy / "config.json", **changes)
    with pytest.raises(BertkitError, match=said) as raised:
        EVERYWHERE[where](str(copy))
    assert "\n" not in str(raised.value)
    assert not (copy.parent / "out").exists()


@pytest.mark.parametrize("where", EVERYWHERE)
def test_a_configuration_with_a_byte_order_mark_is_one_line_everywhere(copy, where):
    """transformers reads none of them."""
    (copy / "config.json").write_bytes(b"\xef\xbb\xbf" + (copy / "config.json").read_bytes())
    ask = EVERYWHERE[where] if where != "numpy" else lambda name: MaskFiller(name, texts=1)
    with pytest.raises(BertkitError, match="cannot load the model .*config.json' is not a valid JSON file") as raised:
        ask(str(copy))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("where", EVERYWHERE)
def test_weights_that_are_not_finite_are_said_everywhere(copy, where):
    weights = load_file(copy / "model.safetensors")
    weights["bert.encoder.layer.1.output.dense.weight"].fill_(float("nan"))
    weights["classifier.weight"], weights["classifier.bias"] = torch.zeros(2, 16), torch.zeros(2)
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    ask = EVERYWHERE[where] if where != "numpy" else lambda name: MaskFiller(name, texts=1).fill(["the [MASK]"])
    with pytest.raises(BertkitError, match="not finite"):
        ask(str(copy))


@pytest.mark.parametrize("pickled", [False, True])
def test_a_model_of_many_numbers_in_few_bytes_is_refused_unbuilt(copy, pickled):
    (copy / "model.safetensors").rename(copy / ("pytorch_model.bin" if pickled else "model-00001-of-00001.safetensors"))
    edit(copy / "config.json", num_hidden_layers=10**9)
    with pytest.raises(BertkitError, match="numbers by config.json, and .* bytes in"):
        bert_folder(str(copy))


def test_the_first_configurations_are_read(copy, tiny_model):
    edit(copy / "config.json", ("model_type", "architectures", "transformers_version", "dtype"))
    for device in (None, "cpu"):
        found, expected = (
            MaskFiller(folder, device, 1).fill(["the [MASK] sat"])[0][0][0].score for folder in (copy, tiny_model)
        )
        assert found == expected
    model, _, _ = finetune_from(str(copy))
    assert isinstance(model, BertForSequenceClassification)
    edit(copy / "config.json", ("type_vocab_size",))
    with pytest.raises(BertkitError, match='needs the line "model_type": "bert"'):
        bert_folder(str(copy))


@pytest.mark.parametrize("pickled", [False, True])
def test_weights_of_data_parallel_training_are_read(copy, tiny_model, pickled):
    weights = {f"module.{name}": weight for name, weight in load_file(copy / "model.safetensors").items()}
    if pickled:
        (copy / "model.safetensors").unlink()
        torch.save(weights, copy / "pytorch_model.bin")
    else:
        save_file(weights, copy / "model.safetensors", {"format": "pt"})
    for device in (None, "cpu"):
        found, expected = (
            MaskFiller(folder, device, 1).fill(["the [MASK] sat"])[0][0][0].score for folder in (copy, tiny_model)
        )
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_nested_weights_are_one_line_that_helps(copy, key):
    torch.save({key: load_file(copy / "model.safetensors"), "epoch": 3}, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(BertkitError, match=f"its weights lie under '{key}' in pytorch_model.bin"):
        load_for("BertForMaskedLM", str(copy))


def test_one_segment_is_read_as_one(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    edit(folder / "config.json", type_vocab_size=1)
    weights = load_file(folder / "model.safetensors")
    name = "bert.embeddings.token_type_embeddings.weight"
    weights[name] = weights[name][:1].clone()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    model = BertForPreTraining.from_pretrained(folder).eval()
    ids = torch.tensor([open_reader(str(folder), "pairs").text_encoder.encode("the cat", "sat")[0]])
    with torch.no_grad():
        expected = model(input_ids=ids).seq_relationship_logits.softmax(-1)[0, 0].item()
    for device in (None, "cpu"):
        assert PairScorer(folder, device, 1).probabilities([("the cat", "sat")]) == pytest.approx([expected], abs=1e-6)
    _, tokenizer, _ = finetune_from(str(folder))
    assert "token_type_ids" not in tokenizer("the cat", "sat")
    save_model(model, tokenizer, tmp_path / "saved")
    pair = AutoTokenizer.from_pretrained(tmp_path / "saved")("the cat", "sat", return_tensors="pt")
    with torch.no_grad():  # by transformers alone, whose own tokenizer would give the second text a segment
        found = model(**pair).seq_relationship_logits.softmax(-1)[0, 0].item()
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("objective", "learned"), [("nsp", "nsp"), ("sop", "sop"), ("none", None)])
def test_a_next_sentence_head_says_what_it_was_trained_on(copy, objective, learned):
    (copy / "recipe.toml").write_text(f'[data]\nsentence_objective = "{objective}"\n')
    if learned is None:
        with pytest.raises(BertkitError, match="was pretrained without sentence pairs"):
            PairScorer(copy)
    else:
        assert PairScorer(copy, texts=1).learned == learned


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            ("bert_config.json", "bert_model.ckpt.index"),
            r"is a TensorFlow checkpoint \(bert_model.ckpt.index\).*bertkit import",
        ),
        (("bert_config.json",), r"is a TensorFlow checkpoint \(bert_config.json\)"),
        (("readme.txt",), "is no model folder: it has no config.json"),
    ],
)
def test_a_folder_without_config_json_is_called_what_it_is(tmp_path, files, said):
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(BertkitError, match=said):
        checked_folder(str(tmp_path))


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("BertForPreTraining", {"finetune", "mask-fill", "evaluate"}),
        ("BertForMaskedLM", {"finetune", "mask-fill", "evaluate"}),
        ("BertForNextSentencePrediction", {"finetune", "score"}),
        ("RobertaForMaskedLM", {"finetune"}),
        ("BertForSequenceClassification", {"predict", "evaluate"}),
        ("RobertaForSequenceClassification", {"predict", "evaluate"}),
    ],
)
def test_only_commands_that_take_a_model_are_advised(kind, told):
    config = {"architectures": [kind], "model_type": kind.partition("For")[0].lower()}
    assert {*re.findall(r"bertkit ([a-z-]+)", what_it_is(config, "MODEL"))} == told


def test_the_advice_for_a_next_sentence_model_works(tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    BertForNextSentencePrediction(BertConfig.from_pretrained(tiny_model)).save_pretrained(folder)
    for refused in (MaskFiller, Scorer):
        with pytest.raises(
            BertkitError, match="has no masked-word head: .* as it is, bertkit score .* --next"
        ) as raised:
            refused(str(folder))
        assert "mask-fill" not in str(raised.value)
    assert len(PairScorer(str(folder), texts=1).probabilities([("the cat", "sat")])) == 1


def test_weights_of_other_libraries_are_named(copy):
    (copy / "model.safetensors").rename(copy / "tf_model.h5")
    with pytest.raises(BertkitError, match="it has only tf_model.h5, which has to be converted to PyTorch"):
        bert_folder(str(copy))


@pytest.mark.parametrize("data", [b"", b"\xff" * 20, b"\x08" + b"\0" * 7 + b"[1, 2, 3", b"\x02" + b"\0" * 7 + b"{}"])
def test_a_damaged_header_is_one_line_or_without_weights(copy, data):
    (copy / "model.safetensors").write_bytes(data)
    with pytest.raises(BertkitError, match="cannot load the model|has no"):
        load_for("BertForMaskedLM", str(copy))


def test_a_refused_pickle_does_not_advise_to_trust_it(copy):
    (copy / "model.safetensors").unlink()
    torch.save({"bert.pooler.dense.bias": np.random.default_rng}, copy / "pytorch_model.bin")
    with pytest.raises(BertkitError, match="pickled objects that may run code") as raised:
        load_for("BertForMaskedLM", str(copy))
    assert "weights_only" not in str(raised.value)


@pytest.mark.parametrize(("said", "length"), [(77, 32), (20, 20), (10**30, 32), ("many", 32)])
def test_own_length_is_the_least_that_the_files_say(copy, said, length):
    edit(copy / "tokenizer_config.json", model_max_length=said)
    assert own_length(copy) == length


def test_another_encoder_is_held_against_its_weights_as_well(tmp_path):
    from transformers import ElectraConfig

    config = ElectraConfig(
        vocab_size=20, embedding_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    assert checked_folder(str(tmp_path)) == tmp_path
    edit(tmp_path / "config.json", vocab_size=10**9)
    with pytest.raises(BertkitError, match="vocab_size is 1,000,000,000 in config.json, and 20"):
        checked_folder(str(tmp_path))
