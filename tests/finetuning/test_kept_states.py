"""Runs on features of a frozen encoder: computed once, the same as computed anew, saved so that only bertkit loads them."""

import json
import re

import pytest
import torch
from helpers.interrupted import cut_off
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification, pipeline
from transformers.models.bert.modeling_bert import BertEmbeddings

import bertkit
from bertkit.errors import BertkitError
from bertkit.finetuning import kept_states
from bertkit.finetuning.predict import evaluate
from bertkit.finetuning.predictor import open_predictor
from bertkit.finetuning.request import FinetuneRequest
from bertkit.finetuning.run import finetune
from bertkit.io.memory import memory_rows
from bertkit.models.folder import FEATURE_WEIGHTS, WEIGHTS
from bertkit.settings.recipes import Override

WORDS = ["the", "cat", "cats", "sat", "a", "b", "."]
BILSTM = {"data.layers": "concat-last-4", "train.classifier": "bilstm"}
SENTENCES = [[WORDS[(number * step) % 7] for step in range(1, 3 + number % 6)] for number in range(40)]
TAGGED = [
    {"tokens": words, "tags": ["B-ANIMAL" if word.startswith("cat") else "O" for word in words]} for words in SENTENCES
]
SORTED = [
    {"text": " ".join(words), "label": "cats" if any(word.startswith("cat") for word in words) else "none"}
    for words in SENTENCES
]
CHOSEN = [{"question": "the cat", "choices": [" ".join(words), "b ."], "answer": 0} for words in SENTENCES]


@pytest.fixture(scope="module")
def four_layers(tmp_path_factory):
    from conftest import TINY_VOCAB

    from bertkit.models.bert import new_bert, save_model
    from bertkit.models.tokenizer import build_tokenizer
    from bertkit.settings.schema import ModelSettings

    sizes = {"num_hidden_layers": 4, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    tokenizer = build_tokenizer(TINY_VOCAB, lowercase=True)
    tokenizer.model_max_length = 32
    folder = tmp_path_factory.mktemp("four")
    save_model(new_bert(ModelSettings(**sizes, max_position_embeddings=32), tokenizer, seed=7), tokenizer, folder)
    return folder


def run(model, out, rows=TAGGED, resume=False, **settings):
    given = {"train.max_steps": 6, "train.eval_steps": 2, "train.save_steps": 2, "train.save_total_limit": 9,
             "data.max_seq_length": 32, "data.validation_split": 0.25, "train.batch_size": 8, "train.dropout": 0.1,
             "train.mixed_precision": "no", "train.learning_rate": 1e-2, "train.encoder": "frozen"}  # fmt: skip
    overrides = [Override(name, value, name) for name, value in {**given, **settings}.items()]
    request = FinetuneRequest(
        train=memory_rows("rows", rows), model=str(model), out=out, device="cpu", overrides=overrides, resume=resume
    )
    return finetune(request)


def predictions(out):
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("settings", [{}, BILSTM, {"data.layers": "weighted"}])
def test_states_that_are_kept_are_those_computed_anew(four_layers, tmp_path, settings, monkeypatch, capsys):
    plain, read = BertEmbeddings.forward, []
    monkeypatch.setattr(BertEmbeddings, "forward", lambda *args, **inputs: (read.append(1), plain(*args, **inputs))[1])
    kept = run(four_layers, tmp_path / "kept", **settings, **{"train.max_steps": 12})
    once = len(read)
    told = " ".join(capsys.readouterr().err.split())
    assert "the encoder reads the rows once: its states of" in told
    monkeypatch.setattr(kept_states, "MOST_BYTES", 1000)
    anew = run(four_layers, tmp_path / "anew", **settings, **{"train.max_steps": 12})
    assert "the encoder reads the rows anew in each epoch" in " ".join(capsys.readouterr().err.split())
    assert once == 2 < len(read) - once  # both splits in a batch each, however many epochs
    assert kept.results["eval_loss"] == pytest.approx(anew.results["eval_loss"], rel=1e-4)


@pytest.mark.parametrize("settings", [BILSTM, {"data.layers": "weighted"}])
def test_a_resumed_run_ends_in_the_same_bytes(four_layers, tmp_path, settings):
    run(four_layers, tmp_path, **settings)
    whole = cut_off(tmp_path, after=2, weights=FEATURE_WEIGHTS)
    run(four_layers, tmp_path, **settings, resume=True)
    assert (tmp_path / FEATURE_WEIGHTS).read_bytes() == whole


@pytest.mark.parametrize(
    ("rows", "settings"),
    [(TAGGED, BILSTM), (SORTED, {"data.layers": "sum-last-4"}), (CHOSEN, {"data.layers": "weighted"})],
)
def test_the_folder_is_asked_by_bertkit_and_refused_by_all_else(four_layers, tmp_path, rows, settings):
    record = run(four_layers, tmp_path, rows, **settings)
    said = predictions(tmp_path)
    asked = [{key: row[key] for key in rows[0] if key in row} for row in said]
    answers = open_predictor(str(tmp_path), "cpu")(
        [row["text"] if isinstance(row.get("text"), str) else row["text"][0] for row in said]
        if rows is SORTED
        else asked
    )
    for before, now in zip(said, answers, strict=True):
        assert all(before[key] == pytest.approx(now[key], abs=1e-6) for key in now.keys() & {"tags", "prediction"})
    if rows is not CHOSEN:
        held = tmp_path / "held.jsonl"
        keys = {"tags": "label"} if rows is TAGGED else {}
        told = [{key: row[keys.get(key, key)] for key in rows[0]} for row in said]
        told = [row | ({"text": row["text"][0]} if rows is SORTED else {}) for row in told]
        held.write_text("".join(json.dumps(row) + "\n" for row in told))
        again = evaluate(str(tmp_path), None, None, str(held), [], "cpu")
        assert again["eval_loss"] == pytest.approx(record.results["eval_loss"], rel=1e-5)
    # The encoder is the model's, to the bit.
    before, after = load_file(four_layers / WEIGHTS), load_file(tmp_path / FEATURE_WEIGHTS)
    encoder = [name for name in after if name.startswith("bert.")]
    assert encoder
    assert all(torch.equal(after[name], before[name]) for name in encoder)
    # Nobody else makes a model of it without its head.
    with pytest.raises(OSError, match=WEIGHTS):
        AutoModelForTokenClassification.from_pretrained(tmp_path)
    for other in (lambda: bertkit.load(str(tmp_path)), lambda: run(tmp_path, tmp_path / "more", rows)):
        with pytest.raises(BertkitError, match="for all else give that BERT"):
            other()
    card = (tmp_path / "README.md").read_text()
    assert "library_name: bertkit" in card
    assert "load_predictor" in card


def test_a_linear_layer_on_the_last_state_is_a_plain_folder(four_layers, tmp_path):
    run(four_layers, tmp_path)
    said = predictions(tmp_path)
    tag = pipeline("token-classification", model=str(tmp_path), aggregation_strategy="none", ignore_labels=[])
    for row in said:
        plain = tag(" ".join(row["tokens"]))
        first = {one["start"]: one["entity"] for one in plain if not one["word"].startswith("##")}
        assert [first[start] for start in sorted(first)] == row["tags"]
    assert "transformers refuses" not in (tmp_path / "README.md").read_text()


def test_damaged_files_are_one_line(four_layers, tmp_path):
    run(four_layers, tmp_path, **BILSTM)
    weights = load_file(tmp_path / FEATURE_WEIGHTS)
    save_file({name: one for name, one in weights.items() if "lstm" not in name}, tmp_path / FEATURE_WEIGHTS)
    with pytest.raises(BertkitError, match="cannot load the model"):
        open_predictor(str(tmp_path), "cpu")
    save_file(weights, tmp_path / FEATURE_WEIGHTS)
    assert open_predictor(str(tmp_path), "cpu")([TAGGED[0]])
    config = json.loads((tmp_path / "config.json").read_text())
    for damaged in ({"layers": "concat-last-4", "heads": 3}, 7, None, {"layers": "all"}):
        (tmp_path / "config.json").write_text(json.dumps(config | {"bertkit_features": damaged}))
        with pytest.raises(BertkitError):
            open_predictor(str(tmp_path), "cpu")


def test_features_are_of_a_frozen_encoder(four_layers, tmp_path):
    for settings in ({"data.layers": "weighted"}, {"train.classifier": "bilstm"}):
        with pytest.raises(BertkitError, match="encoder=frozen"):
            run(four_layers, tmp_path / "run", **settings, **{"train.encoder": "trained"})


@pytest.mark.parametrize("settings", [BILSTM, {"data.layers": "weighted"}, {"data.layers": "concat-last-4"}])
def test_the_line_of_frozen_parameters_counts_the_classifier_that_is_trained(four_layers, tmp_path, settings, capsys):
    run(four_layers, tmp_path / "run", **settings, **{"train.max_steps": 1})
    line = re.search(r"not trained: ([\d,]+) of ([\d,]+) parameters", " ".join(capsys.readouterr().err.split()))
    frozen, all_ = (int(number.replace(",", "")) for number in line.groups())
    weights = load_file(tmp_path / "run" / "features.safetensors")
    assert all_ == sum(one.numel() for one in weights.values())
    assert frozen == sum(one.numel() for name, one in weights.items() if name.startswith("bert."))
