"""Exports: they say what the original says, or are not written."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from helpers.loud import louder
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    BertForNextSentencePrediction,
    BertForSequenceClassification,
)
from typer.testing import CliRunner

import bertkit
from bertkit.assets import EMBEDDED_MODEL
from bertkit.cli.export import export as command
from bertkit.errors import BertkitError
from bertkit.finetuning.predictor import open_predictor
from bertkit.inference.exporting import compare, graph
from bertkit.inference.exporting.export import _folder_of, export
from bertkit.inference.scoring import PairScorer
from bertkit.models.bert import load_bert_for_pretraining
from bertkit.models.card import exported_card
from bertkit.runtime.load import open_reader
from bertkit.runtime.numpy_bert import NumpyBert
from bertkit.runtime.onnx_bert import OnnxBert
from bertkit.settings.recipes import Override, dump, load
from bertkit.settings.schema import PretrainRecipe

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def model(tiny_model, tmp_path_factory):
    """The tiny model with larger weights, a card and a recipe."""
    folder = louder(shutil.copytree(tiny_model, tmp_path_factory.mktemp("export") / "model"), times=10)
    (folder / "README.md").write_text("# My model\n", encoding="utf-8")
    (folder / "recipe.toml").write_text("[data]\n", encoding="utf-8")
    (folder / "optimizer.safetensors").write_bytes(b"x")
    return folder


def changed(model, folder, change):
    """A copy of the model with other weights."""
    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    save_file({name: change(name, weight) for name, weight in weights.items()}, folder / "model.safetensors")
    return str(folder)


def test_half_is_every_weight_in_half_precision(model, tmp_path):
    exported = export(str(model), "half", tmp_path / "half")
    names = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    assert {path.name for path in (tmp_path / "half").iterdir()} == names | {"README.md", "recipe.toml"}
    before, after = load_file(model / "model.safetensors"), load_file(exported.weights)
    assert before.keys() == after.keys()
    assert all(torch.equal(weight.half(), after[name]) for name, weight in before.items())
    assert AutoModelForMaskedLM.from_pretrained(exported.folder).dtype == torch.float16
    assert isinstance(open_reader(str(exported.folder), "pairs", None, 1).bert, NumpyBert)
    card = (exported.folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# My model\n\nExported by bertkit from ")
    assert card.endswith(": the same model with weights of 16 bits.\n")
    assert (exported.folder / "vocab.txt").read_bytes() == (model / "vocab.txt").read_bytes()


@pytest.mark.parametrize("form", ["half", "onnx"])
@pytest.mark.parametrize(
    ("learned", "objective", "pairs"), [("none", "nsp", 0), ("nsp", "none", None), ("sop", "sop", 3), (None, "nsp", 0)]
)
def test_an_export_is_asked_as_its_run_is(model, tmp_path, form, learned, objective, pairs):
    """Whether the next-sentence head answers depends on what the run has learned, which its record alone tells."""
    run = shutil.copytree(model, tmp_path / "run")
    facts = {"kind": "pretrain", "base_model": None, "learned_objective": learned, "documents_with_pairs": pairs}
    (run / "run.json").write_text(json.dumps(facts | {"finished": True, "results": {"eval_loss": 1.0}, "seed": 3}))
    (run / "recipe.toml").write_text(f'[data]\nsentence_objective = "{objective}"\n')
    folder = export(str(run), form, tmp_path / "out").folder
    assert json.loads((folder / "export.json").read_text()) == facts | {
        "out": str(folder),
        "exported_from": str(run),
        "finished": True,
    }
    asked = []
    for one in (run, folder):
        try:
            asked.append(PairScorer(str(one), texts=1).learned)
        except BertkitError as error:
            asked.append(str(error).replace(str(one), "it"))
        with pytest.raises(BertkitError, match=f"^{one} was not fine-tuned for a task"):
            bertkit.load_predictor(str(one))
    assert asked[0] == asked[1]
    assert ("was pretrained without sentence pairs" in str(asked[0])) == (learned in ("none", None))


@pytest.mark.parametrize("written", [None, "[]", '{"max_steps": "ten"}', '{"name": "mine"}'])
def test_a_model_without_a_record_of_bertkit_is_exported_without_one(model, tmp_path, written):
    folder = shutil.copytree(model, tmp_path / "run")
    if written is not None:
        (folder / "run.json").write_text(written)
    assert not (export(str(folder), "half", tmp_path / "out").folder / "export.json").exists()


def test_an_export_is_neither_resumed_nor_replaced_as_a_run(model, tmp_path):
    run = shutil.copytree(model, tmp_path / "run")
    (run / "run.json").write_text('{"kind": "pretrain", "out": "run"}')
    settings = {"model.max_position_embeddings": 128, "train.learning_rate": 1e-3}
    recipe = load(PretrainRecipe, "pretrain", "adapt", [Override(*one, "") for one in settings.items()]).settings
    (run / "recipe.toml").write_text(dump(recipe))
    folder = export(str(run), "half", tmp_path / "out").folder
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the cat sat . the cats sat .\n" * 40)
    assert (
        bertkit.pretrain(str(corpus), out=str(folder), model=str(model), settings=settings, resume=True).folder
        == folder
    )
    with pytest.raises(BertkitError, match="holds 'export.json', which no run of bertkit wrote: nothing was removed"):
        bertkit.pretrain(str(corpus), out=str(folder), model=str(model), overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


def test_differences_are_those_that_are_there(model, tmp_path):
    """A hand-worked pair of tables, and then a real export."""
    found, expected = np.array([[0.0, 2.0], [5.0, 4.0]], np.float32), np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    one = compare.difference("words", found, expected)
    assert (one.largest, one.scale, one.same_choice) == (2.0, 4.0, 0.5)
    assert one.share == pytest.approx((5 / 30) ** 0.5)
    exported = export(str(model), "onnx", tmp_path / "onnx")
    assert exported.texts == 44
    assert exported.tokens[1] == 32
    assert [one.what for one in exported.differences] == [
        "word log-probabilities",
        "next-sentence logits",
        "hidden states",
    ]
    assert all(0 < one.largest <= 1e-5 * one.scale for one in exported.differences)


def test_the_graph_holds_tied_weights_once(model, tmp_path):
    graph = onnx.load(export(str(model), "onnx", tmp_path / "onnx").weights).graph
    sizes = [int(np.prod(tensor.dims)) for tensor in graph.initializer]
    assert sum(size == 64 * 16 for size in sizes) == 1  # the words, for the embeddings and for the head
    # Fewer than in the file: biases that are zero throughout are one as well.
    assert sum(sizes) <= sum(weight.numel() for weight in load_file(model / "model.safetensors").values())


def test_a_text_is_read_by_an_8_bit_graph_as_if_it_were_alone(model, tmp_path):
    small = export(str(model), "onnx", tmp_path / "int8", True).folder
    texts = ["the cat sat .", "a b c d e f g h i j", "cats", "the cats sat . the cat ."]
    bert = bertkit.load(small)
    together, alone = bert.embed(texts), np.concatenate([bert.embed([text]) for text in texts])
    np.testing.assert_array_equal(together, alone)


def number_model(model, folder, largest):
    """A regression whose predictions are about as large as said."""
    config = BertConfig.from_pretrained(model, num_labels=1, problem_type="regression")
    torch.manual_seed(0)
    regression = BertForSequenceClassification.from_pretrained(model, config=config)
    regression.classifier.weight.data *= 1e3
    regression.classifier.bias.data.zero_()
    regression.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(model / name, folder / name)
    with torch.no_grad():
        found = regression(torch.tensor([[2, 5, 6, 7, 3]])).logits.abs().item()
    regression.classifier.weight.data *= largest / found
    regression.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("largest", "is_kept"), [(3.0, True), (1e-7, False)])
def test_small_predicted_numbers_are_held_to_their_own_size(model, tmp_path, largest, is_kept):
    """Half precision holds no more than 6 steps of 6e-8 up to 4e-7."""
    numbers = number_model(model, tmp_path / "numbers", largest)
    if not is_kept:
        with pytest.raises(BertkitError, match="as half the model says something else than the original"):
            export(str(numbers), "half", tmp_path / "half")
        assert not (tmp_path / "half").exists()
        return
    [task, _] = export(str(numbers), "half", tmp_path / "half").differences
    assert task.same_choice is None  # one number is no choice
    assert task.scale > task.largest


def test_credits_go_with_every_copy(tmp_path):
    for form in ("half", "sentence-transformers"):
        folder = export("embedded", form, tmp_path / form).folder
        assert (folder / "CREDITS.tsv").read_bytes() == (EMBEDDED_MODEL / "CREDITS.tsv").read_bytes()
        card = ModelCard.load(folder / "README.md")
        assert (card.data.license, card.data.language) == ("cc-by-sa-4.0", "en")
        assert "bertkit/assets" not in card.text.split("```")[1]


def test_int8_is_smaller_and_near(model, tmp_path):
    whole, small = export(str(model), "onnx", tmp_path / "onnx"), export(str(model), "onnx", tmp_path / "int8", True)
    assert {path.name for path in small.folder.iterdir()} == {path.name for path in whole.folder.iterdir()}
    for one, exact in zip(small.differences, whole.differences, strict=True):
        assert exact.largest < one.largest
        assert one.share < 0.15
    graph = onnx.load(small.weights).graph
    assert {node.op_type for node in graph.node} >= {"MatMulInteger", "DynamicQuantizeLinear"}
    assert isinstance(open_reader(str(small.folder), "words").bert, OnnxBert)


@pytest.mark.parametrize(
    ("kind", "heads"),
    [(BertForMaskedLM, ["word"]), (BertForSequenceClassification, ["class"])],
    ids=["words", "task"],
)
@pytest.mark.parametrize("form", ["onnx", "half"])
def test_what_a_model_was_trained_for_is_exported_and_nothing_else(tiny_model, tmp_path, kind, heads, form):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    kind(BertConfig.from_pretrained(tiny_model, num_labels=4)).save_pretrained(folder)
    exported = export(str(folder), form, tmp_path / "out")
    assert [one.what.split()[0].removesuffix("es") for one in exported.differences] == [*heads, "hidden"]
    if form == "half":
        assert load_file(exported.weights).keys() == load_file(folder / "model.safetensors").keys()


def test_the_card_of_a_half_model_uses_the_half_model():
    code = r'fill = pipeline("fill-mask", model="runs/\"a")'
    own = f"---\ntags: [x]\n---\n\n# Mine\n\nA BERT.\n\n## How to use\n\n```python\n{code}\n```\n"
    expected = own.replace("# Mine\n", "# Mine\n\nAs half.\n").replace(r'"runs/\"a"', '"runs/b"')
    assert exported_card(own, "runs/b", "As half.") == expected
    assert exported_card("", ".", "As half.").startswith(f"# {Path.cwd().name}\n".replace("_", r"\_"))
    onnx = exported_card(own.replace("A BERT.", "A BERT. It loads with plain transformers."), "b", "A graph.", "use()")
    assert "plain transformers" not in onnx
    assert "fill-mask" not in onnx


@pytest.mark.parametrize("with_card", [True, False])
@pytest.mark.parametrize("kind", [BertForMaskedLM, BertForNextSentencePrediction, BertForSequenceClassification])
def test_the_card_of_an_export_says_how_it_is_used(tiny_model, tmp_path, capsys, kind, with_card):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    kind(BertConfig.from_pretrained(tiny_model, num_labels=4)).save_pretrained(folder)
    if with_card:
        own = "---\nlicense: mit\n---\n\n# Mine\n\n## How to use\n\n```python\nimport torch\n```\n\n## Data\n\n```python\n```\n"
        (folder / "README.md").write_text(own, encoding="utf-8")
    exported = export(str(folder), "onnx", tmp_path / "out")
    card = (exported.folder / "README.md").read_text(encoding="utf-8")
    head, usage, rest = re.fullmatch(r"(.*)## How to use\n\n```python\n(.*?)\n```\n(.*)", card, re.DOTALL).groups()
    title = "---\nlicense: mit\n---\n\n# Mine\n\n" if with_card else "# out\n\n"
    assert head.startswith(
        f"{title}Exported by bertkit from {folder}: one ONNX graph, which bertkit runs, and".replace("_", r"\_")
    )
    assert rest == (own.partition("import torch\n```\n")[2] if with_card else "")
    assert usage.count('("out")') == 1
    exec(usage.replace('("out")', f"({str(exported.folder)!r})"))
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            {"problem_type": "ranking", "num_labels": 2},
            "has the problem_type 'ranking', which nobody reads: it is one of",
        ),
        ({"problem_type": "single_label_classification", "num_labels": 1}, "of one class, which would always be right"),
    ],
)
def test_a_classifier_whose_outputs_mean_nothing_is_refused_alike_by_all(tiny_model, tmp_path, config, said):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    BertForSequenceClassification(
        BertConfig.from_pretrained(tiny_model, num_labels=config["num_labels"])
    ).save_pretrained(folder)
    graph_folder = export(str(folder), "onnx", tmp_path / "onnx").folder
    for one in (folder, graph_folder):
        written = json.loads((one / "config.json").read_text()) | config
        (one / "config.json").write_text(json.dumps(written))
    said = f"config.json of {{}}.*{said}"
    for form in ("onnx", "half"):
        with pytest.raises(BertkitError, match=said.format(folder)):
            export(str(folder), form, tmp_path / "never")
    for one, device in ((folder, "auto"), (folder, "cpu"), (graph_folder, "auto")):
        with pytest.raises(BertkitError, match=said.format(one)):
            open_predictor(str(one), device, 1)
    assert not (tmp_path / "never").exists()


def test_a_graph_that_says_something_else_is_not_written(model, tmp_path, monkeypatch):
    trace = graph._trace

    def wrong(loaded, heads, path):
        with torch.no_grad():
            loaded.bert.embeddings.token_type_embeddings.weight[1, 0] += 0.1  # seen in second segments alone
        trace(loaded, heads, path)

    monkeypatch.setattr(graph, "_trace", wrong)
    with pytest.raises(BertkitError, match="says something else than the original, so nothing was written: its"):
        export(str(model), "onnx", tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_for_one_length_is_not_written(model, tmp_path, monkeypatch):
    real = torch.onnx.export
    monkeypatch.setattr(torch.onnx, "export", lambda *args, **named: real(*args, **named | {"dynamic_axes": {}}))
    with pytest.raises(BertkitError, match="cannot run"):
        export(str(model), "onnx", tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["half", "onnx"])
def test_weights_that_do_not_survive_are_refused(model, tmp_path, form):
    """Half precision ends at 65,504; what is no number anywhere cannot be compared."""
    factor = 1e6 if form == "half" else float("nan")
    broken = changed(model, tmp_path / "broken", lambda name, w: w * factor if "layer.1.output.dense" in name else w)
    with pytest.raises(
        BertkitError, match="as half the model says something else" if form == "half" else "are not finite"
    ):
        export(broken, form, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


@pytest.mark.parametrize(
    ("form", "int8", "of_a_weight"),
    [("half", False, 2), ("onnx", False, 4), ("onnx", True, 4), ("sentence-transformers", False, 4)],
)
def test_a_disk_without_room_is_told_before_anything_is_written(model, tmp_path, monkeypatch, form, int8, of_a_weight):
    """Against the size of the weights that are written: with that much free they fit, with less they do not."""
    real = shutil.disk_usage(tmp_path)
    weights = load_file(model / "model.safetensors")
    heads = form == "sentence-transformers"
    size = of_a_weight * sum(one.numel() for name, one in weights.items() if not (heads and name.startswith("cls.")))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=size - 1))
    with pytest.raises(BertkitError, match=rf"^{tmp_path} has 0\.00 GB free, and the weights take 0\.00 GB: free some"):
        export(str(model), form, tmp_path / "new" / "out", int8)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: real._replace(free=2 * size))
    export(str(model), form, tmp_path / "new" / "out", int8)


@pytest.mark.parametrize(
    ("form", "int8", "out", "said"),
    [
        ("torchscript", False, "new", "format must be one of onnx, half, sentence-transformers, got 'torchscript'"),
        ("half", True, "new", "int8 is for the format onnx"),
        ("onnx", False, "", "is there already, and not empty: name another folder with --out"),
        ("onnx", False, "file", "is there already"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_loaded(model, tmp_path, form, int8, out, said):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BertkitError, match=said):
        export("no/such/model", form, tmp_path / out, int8)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("form", ["half", "sentence-transformers"])
def test_an_empty_volume_is_filled(model, tmp_path, form):
    for name in ("lost+found", ".tmp-out-0123456789ab"):
        (tmp_path / "out" / name).mkdir(parents=True)
    assert export(str(model), form, tmp_path / "out").weights.is_file()
    assert not list((tmp_path / "out").glob(".tmp-*"))


@pytest.mark.parametrize("name", ["onnx", "onnxruntime"])
def test_a_missing_library_is_one_line_before_anything_is_loaded(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BertkitError, match=rf"cannot import {name} \(.*\): pip install 'bertkit\[onnx\]'"):
        export("no/such/model", "onnx", tmp_path / "out")


def test_an_export_is_no_model_to_export_or_to_train(model, tmp_path):
    exported = export(str(model), "onnx", tmp_path / "onnx")
    said = "is an ONNX export: it answers, but has no weights"
    with pytest.raises(BertkitError, match=said):
        export(str(exported.folder), "onnx", tmp_path / "again")
    with pytest.raises(BertkitError, match=said):
        load_bert_for_pretraining(str(exported.folder))


def test_the_command_prints_figures_and_json(model, tmp_path):
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [str(model), "--out", str(tmp_path / "a")])
    assert done.exit_code == 0, done.output
    assert "checked against torch on 44 texts of" in done.stdout
    assert "next-sentence logits" in done.stdout
    done = CliRunner().invoke(app, [str(model), "--format", "half", "--out", str(tmp_path / "b"), "--json"])
    facts = json.loads(done.stdout)
    assert facts["bytes"] == (tmp_path / "b" / "model.safetensors").stat().st_size
    assert {one["what"] for one in facts["differences"]} >= {"word log-probabilities", "hidden states"}


def test_the_folder_of_lies_beside_the_model(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    assert _folder_of("run", "onnx").as_posix() == "run-onnx"
    assert _folder_of("./run/", "half").as_posix() == "run-half"
    assert _folder_of(str(tmp_path / "run"), "onnx") == tmp_path / "run-onnx"
    assert _folder_of("org/model", "onnx").as_posix() == "model-onnx"
    monkeypatch.chdir(tmp_path / "run")
    assert _folder_of(".", "onnx") == tmp_path / "run-onnx"


_STRUCK = """
import signal, sys
from pathlib import Path
from bertkit.errors import Interrupted
from bertkit.inference.exporting.export import export
from bertkit.signals import stopped_cleanly

def strike(frame, event, arg):
    if event == "call" and frame.f_code.co_qualname == "OpaqueBaseMeta.__instancecheck__":
        sys.setprofile(None)
        signal.raise_signal(signal.SIGTERM)

try:
    with stopped_cleanly():
        sys.setprofile(strike)
        export(sys.argv[1], "onnx", Path(sys.argv[2]))
except Interrupted as ending:
    sys.exit(ending.exit_code)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_a_signal_in_the_midst_of_the_exporters_compiled_code_is_an_ending_like_others(model, tmp_path):
    """It comes where C++ asks a metaclass written in Python; raised there, it would be a segmentation fault."""
    child = subprocess.run([sys.executable, "-c", _STRUCK, str(model), str(tmp_path / "onnx")], check=False)
    assert child.returncode == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
