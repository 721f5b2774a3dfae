"""BERT by onnxruntime: what torch says, from one graph for all heads, without importing torch."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
)

from bertkit.errors import BertkitError
from bertkit.inference.exporting.export import export
from bertkit.inference.mask_filling.filler import MaskFiller
from bertkit.runtime import onnx_bert
from bertkit.runtime.batches import of_like_length, padded
from bertkit.runtime.load import open_reader
from bertkit.runtime.numpy_bert import NumpyBert
from bertkit.runtime.onnx_bert import OnnxBert
from bertkit.runtime.text import Encoding, light_text_encoder
from bertkit.runtime.torch_bert import TorchBert

onnxruntime = pytest.importorskip("onnxruntime")

TEXTS = [
    "The cats [MASK].",
    "[MASK]",
    "a b c d e f g h [MASK] j",
    "",
    "the 猫 [MASK] , is n't it \x00?",
    "[MASK] [MASK]",
]
PAIRS = [("a cat", "the cats sat."), ("a", "b"), ("the cat sat . " * 5, "b")]
KINDS = {
    "pretraining": (BertForPreTraining, ["words", "pairs", "none"]),
    "words": (BertForMaskedLM, ["words", "none"]),
    "pairs": (BertForNextSentencePrediction, ["pairs", "none"]),
    "task": (BertForSequenceClassification, ["task", "none"]),
    "encoder": (BertModel, ["none"]),
}


@pytest.fixture(scope="module")
def models(tiny_model, tmp_path_factory):
    """By kind, the folder of a model with weights large enough to tell texts apart, and that of its export."""
    made = {}
    for kind, (cls, _) in KINDS.items():
        folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("models") / kind)
        torch.manual_seed(3)
        model = cls(BertConfig.from_pretrained(tiny_model, num_labels=3 if kind == "task" else 2))
        with torch.no_grad():
            for weight in model.parameters():
                weight.normal_(std=0.3)
        model.save_pretrained(folder)
        made[kind] = folder, export(str(folder), "onnx", folder.with_name(f"{kind}-onnx")).folder
    return made


def encoded(folder):
    pieces = light_text_encoder(folder)
    texts = [pieces.encode(text) for text in TEXTS] + [pieces.encode(*pair) for pair in PAIRS]
    places = [[place for place, id_ in enumerate(one.ids) if id_ == pieces.mask_id] for one in texts]
    assert [len(of_text) for of_text in places] == [1, 1, 1, 0, 1, 2, 0, 0, 0]
    return texts, places


def assert_close(ours, theirs):
    for one, expected in zip(ours, theirs, strict=True):
        assert one.shape == expected.shape
        assert one.dtype == np.float32
        assert one == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("tokens_at_once", [1, 40, 4_096])
@pytest.mark.parametrize("kind", KINDS)
def test_all_heads_say_what_torch_says(models, kind, tokens_at_once, monkeypatch):
    monkeypatch.setattr(onnx_bert, "_TOKENS_AT_ONCE", tokens_at_once)
    original, exported = models[kind]
    texts, places = encoded(exported)
    for head in KINDS[kind][1]:
        ours, theirs = OnnxBert(exported, head), TorchBert(str(original), head, "cpu")
        assert ours.rows == theirs.rows
        if head == "words":
            answers = [bert.word_log_probabilities(texts, places) for bert in (ours, theirs)]
        elif head == "none":
            answers = [bert.hidden_states(texts, [0, -2, 1, -1]) for bert in (ours, theirs)]
        else:
            ask = "next_sentence_logits" if head == "pairs" else "head_logits"
            answers = [getattr(bert, ask)(texts) for bert in (ours, theirs)]
        assert_close(*answers)


def test_the_graph_is_as_its_description_says(models):
    """Asked by onnxruntime alone, with padding and places as the module's docstring has them."""
    original, exported = models["pretraining"]
    model = BertForPreTraining.from_pretrained(original).eval()
    batch = {
        "input_ids": np.array([[2, 6, 4, 8, 3], [2, 4, 3, 0, 0]]),
        "attention_mask": np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]),
        "token_type_ids": np.array([[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]]),
    }
    with torch.no_grad():
        expected = model(**{name: torch.from_numpy(array) for name, array in batch.items()}, output_hidden_states=True)
    session = onnxruntime.InferenceSession(str(exported / "model.onnx"), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    assert names == ["word_logits", "pair_logits", "hidden_0", "hidden_1", "hidden_2"]
    words, pairs, *states = session.run(names, {**batch, "places": np.array([2, 1 * 5 + 1])})
    assert words == pytest.approx(expected.prediction_logits[[0, 1], [2, 1]].numpy(), abs=1e-5)
    assert pairs == pytest.approx(expected.seq_relationship_logits.numpy(), abs=1e-5)
    for found, layer in zip(states, expected.hidden_states, strict=True):
        assert found[0] == pytest.approx(layer[0].numpy(), abs=1e-5)
        assert found[1, :3] == pytest.approx(layer[1, :3].numpy(), abs=1e-5)


@pytest.mark.parametrize(("device", "texts"), [(None, 1), ("cpu", None), ("auto", 1_000)])
def test_an_exported_folder_is_read_by_onnxruntime(models, device, texts):
    original, exported = models["pretraining"]
    assert isinstance(open_reader(str(exported), "words", device, texts).bert, OnnxBert)
    found = MaskFiller(exported, device, texts=texts).fill(["the cat [MASK] ."], top_k=4)[0][0]
    expected = MaskFiller(original, "cpu").fill(["the cat [MASK] ."], top_k=4)[0][0]
    assert [one.sequence for one in found] == [one.sequence for one in expected]
    assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=2e-6)


def test_weights_beside_a_graph_are_read_as_ever(models, tmp_path):
    folder = shutil.copytree(models["pretraining"][0], tmp_path / "both")
    (folder / "model.onnx").write_bytes(b"of another tool")
    assert isinstance(open_reader(str(folder), "words", None, 1).bert, NumpyBert)


@pytest.mark.parametrize("form", ["pickled", "in parts"])
def test_other_weights_beside_a_graph_are_read_as_ever(models, tmp_path, form):
    original = models["pretraining"][0]
    folder = shutil.copytree(original, tmp_path / "both")
    model = BertForPreTraining.from_pretrained(original)
    (folder / "model.safetensors").unlink()
    if form == "pickled":
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    else:
        model.save_pretrained(folder, max_shard_size="5KB")
        assert (folder / "model.safetensors.index.json").is_file()
    (folder / "model.onnx").write_bytes(b"of another tool")
    found = MaskFiller(folder, texts=1).fill(["the cat [MASK] ."], top_k=4)[0][0]
    expected = MaskFiller(original, "cpu").fill(["the cat [MASK] ."], top_k=4)[0][0]
    assert [one.sequence for one in found] == [one.sequence for one in expected]
    assert [one.score for one in found] == pytest.approx([one.score for one in expected], abs=2e-6)


def test_neither_torch_nor_transformers_is_imported(models):
    code = (
        "import sys; from bertkit.__main__ import main\n"
        "try:\n    main()\n"
        "finally:\n    print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    arguments = ["mask-fill", "--model", str(models["pretraining"][1]), "the cat [MASK] ."]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, encoding="utf-8")
    loaded = set(done.stderr.split())
    assert "onnxruntime" in loaded
    assert loaded & {"torch", "transformers", "onnx", "scipy", "datasets", "accelerate"} == set()


def test_a_head_that_is_not_there_is_one_line(models):
    for kind, head, said in (("words", "pairs", "next-sentence"), ("task", "words", "masked-word")):
        with pytest.raises(BertkitError, match=f"has no {said} head: export a model that was trained with it"):
            open_reader(str(models[kind][1]), head)


def test_an_accelerator_is_refused(models):
    with pytest.raises(BertkitError, match="is an export, and runs on the CPU: leave --device cuda:1 out"):
        open_reader(str(models["words"][1]), "words", "cuda:1")


def test_a_missing_library_is_one_line_with_the_command(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BertkitError, match=r"cannot import onnxruntime .*: pip install 'bertkit\[onnx\]'"):
        open_reader(str(models["words"][1]), "words")


@pytest.mark.parametrize("broken", ["cut off", "empty", "noise", "other layers", "no layers", "a list"])
def test_a_broken_export_is_one_line(models, tmp_path, broken):
    folder = shutil.copytree(models["words"][1], tmp_path / "broken")
    graph, config = folder / "model.onnx", json.loads((folder / "config.json").read_text())
    content = graph.read_bytes()
    if broken in ("cut off", "empty", "noise"):
        graph.write_bytes({"cut off": content[:-100], "empty": b"", "noise": bytes(range(256)) * 9}[broken])
    else:
        config["num_hidden_layers"] = 7 if broken == "other layers" else None
        (folder / "config.json").write_text(json.dumps(config if broken != "a list" else [1]))
    with pytest.raises(BertkitError, match=r"model\.onnx|config\.json"):
        open_reader(str(folder), "words")


def test_a_graph_that_does_not_fit_its_tokenizer_is_one_line(models):
    bert = OnnxBert(models["words"][1], "words")
    with pytest.raises(BertkitError, match=r"cannot run .*model\.onnx: "):
        bert.word_log_probabilities([Encoding([2, 99, 3], [0, 0, 0])], [[1]])


def test_batches_hold_texts_of_like_length_and_padding_that_is_masked():
    texts = [Encoding([2] * length, [0] * length) for length in (3, 9, 1, 8)]
    assert list(of_like_length(texts, 18)) == [[1, 3], [0, 2]]
    assert list(of_like_length(texts, 1)) == [[1], [3], [0], [2]]
    batch = padded([Encoding([2, 7, 3], [0, 0, 1]), Encoding([2, 3], [0, 0])], pad_id=9)
    assert {name: array.tolist() for name, array in batch.items()} == {
        "input_ids": [[2, 7, 3], [2, 3, 9]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
        "token_type_ids": [[0, 0, 1], [0, 0, 0]],
    }
    assert all(array.dtype == np.int64 for array in batch.values())
