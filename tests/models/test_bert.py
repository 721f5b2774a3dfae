import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForPreTraining, BertForPreTraining, BertModel, pipeline

from bertkit.errors import BertkitError
from bertkit.models.bert import load_bert_for_pretraining, new_bert, save_model
from bertkit.models.loading import load_for
from bertkit.models.tokenizer import build_tokenizer
from bertkit.models.tokenizer_loading import load_tokenizer
from bertkit.settings.schema import ModelSettings

SETTINGS = ModelSettings(
    num_hidden_layers=1, hidden_size=8, num_attention_heads=2, intermediate_size=16, max_position_embeddings=16
)
HEADS = ("cls.predictions.", "cls.seq_relationship.", "bert.pooler.")


@pytest.fixture
def copy(tiny_model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_model, tmp_path / "copy")


def pieces_of(folder: Path) -> list[str]:
    return (folder / "vocab.txt").read_text(encoding="utf-8").split()


def edit_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_new_model_pads_its_vocabulary_and_follows_the_seed(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_model))
    torch.manual_seed(0)
    expected_draw = torch.rand(1)
    torch.manual_seed(0)
    first, second, other = (new_bert(SETTINGS, tokenizer, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected_draw)  # the caller's random numbers are untouched
    weights = [model.bert.encoder.layer[0].output.dense.weight for model in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    config = first.config
    assert len(tokenizer) == 21
    assert (config.vocab_size, config.pad_token_id, config.type_vocab_size) == (64, 0, 2)
    assert config.hidden_size == 8


def test_a_saved_model_loads_with_plain_transformers(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(tiny_model))
    ours = new_bert(SETTINGS, tokenizer, seed=3)
    save_model(ours, tokenizer, tmp_path)
    theirs = AutoModelForPreTraining.from_pretrained(tmp_path)
    assert isinstance(theirs, BertForPreTraining)
    assert theirs.state_dict().keys() == ours.state_dict().keys()
    assert all(torch.equal(theirs.state_dict()[name], value) for name, value in ours.state_dict().items())
    assert "cls.predictions.decoder.weight" not in load_file(tmp_path / "model.safetensors")
    assert {"config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt"} < {
        path.name for path in tmp_path.iterdir()
    }
    assert pipeline("fill-mask", str(tmp_path), top_k=1)("the [MASK]")[0]["score"] > 0


def test_going_on_starts_from_the_same_weights_and_tokenizer(tiny_model: Path) -> None:
    model, tokenizer, notes, _ = load_bert_for_pretraining(str(tiny_model))
    saved = load_file(tiny_model / "model.safetensors")
    assert all(torch.equal(model.state_dict()[name], value) for name, value in saved.items())
    assert len(tokenizer) == 21
    assert notes == []


def test_old_names_load_and_missing_heads_are_told(copy: Path) -> None:
    saved = load_file(copy / "model.safetensors")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value + 1
        for name, value in saved.items()
        if not name.startswith(("bert.pooler", "cls.seq_relationship"))
    }
    save_file(old, copy / "model.safetensors")
    model, _, notes, _ = load_bert_for_pretraining(str(copy), seed=5)
    loaded = model.state_dict()
    assert torch.equal(loaded["bert.embeddings.LayerNorm.weight"], old["bert.embeddings.LayerNorm.gamma"])
    kept = [name for name in saved if not name.startswith(("bert.pooler", "cls.seq_relationship"))]
    assert all(torch.equal(loaded[name], saved[name] + 1) for name in kept)
    assert notes == [f"the next-sentence head is new: {copy} has none", f"the pooler is new: {copy} has none"]
    again = load_bert_for_pretraining(str(copy), seed=5).model
    assert torch.equal(loaded["bert.pooler.dense.weight"], again.state_dict()["bert.pooler.dense.weight"])


def test_a_model_with_old_names_is_saved_with_those_of_today(copy: Path, tmp_path: Path) -> None:
    saved = load_file(copy / "model.safetensors")
    old = {name.replace("LayerNorm.weight", "LayerNorm.gamma"): value for name, value in saved.items()}
    save_file(old, copy / "model.safetensors")
    model, tokenizer, *_ = load_bert_for_pretraining(str(copy))
    save_model(model, tokenizer, tmp_path / "again")
    # A checkpoint of the run is read back by these names.
    assert load_file(tmp_path / "again" / "model.safetensors").keys() == saved.keys()


def test_an_encoder_without_any_head_loads(tiny_model: Path, copy: Path) -> None:
    encoder = BertModel.from_pretrained(tiny_model)
    encoder.save_pretrained(copy)  # its weights have no leading "bert."
    model, _, notes, _ = load_bert_for_pretraining(str(copy))
    assert torch.equal(model.bert.pooler.dense.weight, encoder.pooler.dense.weight)
    assert [note.split(" is new")[0] for note in notes] == ["the masked-word head", "the next-sentence head"]


def test_pickled_tensors_load(copy: Path) -> None:
    saved = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    torch.save(saved, copy / "pytorch_model.bin")
    model = load_bert_for_pretraining(str(copy)).model
    assert torch.equal(model.bert.pooler.dense.weight, saved["bert.pooler.dense.weight"])


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_pickled_weights_is_not_run(copy: Path, tmp_path: Path, zipped: bool) -> None:
    (copy / "model.safetensors").unlink()
    bomb = {"bert.pooler.dense.bias": Bomb(tmp_path / "exploded")}
    if zipped:
        torch.save(bomb, copy / "pytorch_model.bin")
    else:
        (copy / "pytorch_model.bin").write_bytes(pickle.dumps(bomb))
    with pytest.raises(BertkitError, match="cannot load the model") as raised:
        load_for("BertForPreTraining", str(copy))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "exploded").exists()


def test_word_pieces_that_are_added_get_rows(copy: Path) -> None:
    grown = build_tokenizer([*pieces_of(copy), *(f"new{i}" for i in range(60))], lowercase=True)
    before = load_file(copy / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
    model, tokenizer, notes, _ = load_bert_for_pretraining(str(copy), grown)
    assert len(tokenizer) == 81
    rows = model.bert.embeddings.word_embeddings.weight
    assert rows.shape == (128, 16)
    assert torch.equal(rows[:64], before)
    assert model.cls.predictions.decoder.weight is rows
    assert model.cls.predictions.decoder.bias is model.cls.predictions.bias
    assert model.cls.predictions.bias.shape == (128,)
    assert model.config.vocab_size == 128
    told = "60 word pieces are new, and their rows untrained"
    assert notes == [f"{told}: {copy} was trained with 21"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (0, []),
        (1, ["1 word piece is new, and its row untrained"]),
        (43, ["43 word pieces are new, and their rows untrained"]),  # 64 in all: the rows that pad the vocabulary
        (44, ["44 word pieces are new, and their rows untrained"]),
    ],
)
def test_word_pieces_in_rows_that_were_padding_are_counted_as_new(copy: Path, more: int, told: list[str]) -> None:
    grown = build_tokenizer([*pieces_of(copy), *(f"new{i}" for i in range(more))], lowercase=True)
    _, _, notes, new_parts = load_bert_for_pretraining(str(copy), grown)
    assert new_parts == []
    assert notes == [f"{one}: {copy} was trained with 21" for one in told]
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):  # a model that says its rows alone
        (copy / name).unlink()
    beyond = [f"1 word piece is new, and its row untrained: {copy} was trained with 64"] if more == 44 else []
    assert load_bert_for_pretraining(str(copy), grown).notes == beyond


def test_another_vocabulary_is_refused(tiny_model: Path) -> None:
    pieces = pieces_of(tiny_model)
    other = build_tokenizer([*pieces[:-2], pieces[-1], pieces[-2]], lowercase=True)
    with pytest.raises(BertkitError, match=r"is not that of .*: piece 'sat' has id 19 there and 20 here"):
        load_bert_for_pretraining(str(tiny_model), other)


def test_a_model_without_the_wanted_head_is_refused(copy: Path) -> None:
    BertModel.from_pretrained(copy).save_pretrained(copy)
    with pytest.raises(BertkitError, match="has no masked-word head: give a model that was trained with it"):
        load_for("BertForMaskedLM", str(copy))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "roberta"}, "is a model of type 'roberta': bertkit works with 'bert'"),
        ({"hidden_size": 8}, "hidden_size is 8 in config.json, and 16 in model.safetensors"),
        ({"num_hidden_layers": 3}, "num_hidden_layers is 3 in config.json, and 2 in model.safetensors"),
        ({"hidden_act": "nope"}, "cannot load the model"),
    ],
)
def test_a_configuration_that_does_not_fit_is_one_line(copy: Path, config: dict[str, Any], said: str) -> None:
    edit_config(copy, **config)
    with pytest.raises(BertkitError, match=said) as raised:
        load_for("BertForPreTraining", str(copy), HEADS)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("config.json", None, "is no model folder: it has no config.json"),
        ("config.json", "{", "config.json is not valid JSON"),
        ("config.json", "[]", "config.json holds no JSON object"),
        ("model.safetensors", None, "cannot load the model"),
        ("model.safetensors", "short", "cannot load the model"),
    ],
)
def test_a_broken_folder_is_one_line(copy: Path, file: str, content: str | None, said: str) -> None:
    (copy / file).unlink()
    if content is not None:
        (copy / file).write_text(content)
    with pytest.raises(BertkitError, match=said) as raised:
        load_for("BertForPreTraining", str(copy), HEADS)
    assert "\n" not in str(raised.value)


def test_transformers_says_nothing_of_its_own(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    BertModel.from_pretrained(copy).save_pretrained(copy)
    capfd.readouterr()
    model, tokenizer, *_ = load_bert_for_pretraining(str(copy))
    save_model(model, tokenizer, copy)
    assert capfd.readouterr() == ("", "")


def test_a_model_learns_to_read_longer_texts_from_copies_of_the_places_it_has(tiny_model, tmp_path):
    model, tokenizer, notes, _ = load_bert_for_pretraining(str(tiny_model), positions=70)
    assert notes == [f"the positions 32 to 69 are new, copied from the first: {tiny_model} has 32"]
    known = load_file(tiny_model / "model.safetensors")["bert.embeddings.position_embeddings.weight"]
    longer = model.bert.embeddings.position_embeddings.weight
    assert torch.equal(longer, torch.cat([known, known, known[:6]]))
    assert longer.requires_grad
    ids = torch.randint(5, 21, (2, 70))
    assert model(input_ids=ids).prediction_logits.shape[:2] == (2, 70)
    save_model(model, tokenizer, tmp_path / "longer")
    again, _, notes, _ = load_bert_for_pretraining(str(tmp_path / "longer"), positions=64)
    assert notes == []
    assert torch.equal(again.bert.embeddings.position_embeddings.weight, longer)


@pytest.mark.parametrize(
    "kind", ["SequenceClassification", "TokenClassification", "QuestionAnswering", "MultipleChoice"]
)
def test_the_head_of_a_task_that_is_not_gone_on_with_is_said(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    with_head = getattr(transformers, f"BertFor{kind}").from_pretrained(tiny_model)
    with_head.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path)
    notes = load_bert_for_pretraining(str(tmp_path)).notes
    assert f"the head of {tmp_path} for its task (BertFor{kind}) is left out" in notes
    assert not any("for its task" in told for told in load_bert_for_pretraining(str(tiny_model))[2])
