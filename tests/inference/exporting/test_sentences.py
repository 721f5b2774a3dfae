"""The folder for sentence-transformers: its files by that library's form, its vectors by its arithmetic."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.loud import louder
from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer, BertConfig, BertForSequenceClassification, BertModel

import bertkit
from bertkit.errors import BertkitError
from bertkit.inference.exporting import sentences
from bertkit.inference.exporting.export import export
from bertkit.models.push import model_files

# Of several lengths, nothing at all, what the model does not know, and more than the 32 tokens that it reads.
TEXTS = ["the cat sat .", "cats", "", "a b c d e f g h i j", "中 the ? cat", "the cats sat . " * 20]


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with larger weights, so that its states differ from token to token."""
    return louder(shutil.copytree(tiny_model, tmp_path_factory.mktemp("sentences") / "model"), times=10)


def vectors_of(folder: Path, texts: list[str]) -> np.ndarray:
    """What the library computes from a folder: its Transformer and its Pooling, in plain torch, one text after another.

    Source: sentence-transformers 5 and 6, ``models/Transformer.py`` and ``models/Pooling.py``.
    """
    modules = json.loads((folder / "modules.json").read_text())
    assert [one["type"].rsplit(".", 1)[1] for one in modules] == ["Transformer", "Pooling"]
    limits = json.loads((folder / modules[0]["path"] / "sentence_bert_config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=limits["max_seq_length"])
    encoder = AutoModel.from_pretrained(folder).eval()
    pooling = json.loads((folder / modules[1]["path"] / "config.json").read_text())
    rows = []
    for text in texts:
        inputs = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.no_grad():
            states = encoder(**inputs).last_hidden_state[0]
        parts = [states[0]] if pooling["pooling_mode_cls_token"] else []
        parts += [sum(states) / len(states)] if pooling["pooling_mode_mean_tokens"] else []
        rows.append(torch.cat(parts).numpy())
    assert rows[0].shape == (pooling["word_embedding_dimension"],)
    return np.stack(rows)


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_vectors_are_those_of_embed(model: Path, tmp_path: Path, pooling: str) -> None:
    exported = export(str(model), "sentence-transformers", tmp_path / "o ut", pooling=pooling)
    bert = bertkit.load(str(model))
    expected = bert.embed(TEXTS, pooling=pooling)
    other = bert.embed(TEXTS, pooling={"mean": "cls", "cls": "mean"}[pooling])
    found = vectors_of(exported.folder, TEXTS)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    assert np.abs(found - other).max() > 0.1
    # And the folder is a model of bertkit as well, with a card, which goes to the hub whole.
    np.testing.assert_allclose(bertkit.load(str(exported.folder)).embed(TEXTS, pooling=pooling), expected, atol=1e-5)
    sent = {path.relative_to(exported.folder).as_posix() for path in model_files(exported.folder)}
    assert sent == {p.relative_to(exported.folder).as_posix() for p in exported.folder.rglob("*") if p.is_file()}
    card = (exported.folder / "README.md").read_text()
    assert "library_name: sentence-transformers" in card
    (command,) = [line for line in card.splitlines() if line.startswith("bertkit export")]
    assert shlex.split(command)[2:] == [
        str(model), "--format", "sentence-transformers", "--pooling", pooling, "--out", str(tmp_path / "o ut"),
    ]  # fmt: skip


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_the_library_loads_it_and_says_the_same(model: Path, tmp_path: Path, pooling: str) -> None:
    library = pytest.importorskip("sentence_transformers")
    exported = export(str(model), "sentence-transformers", tmp_path / "out", pooling=pooling)
    loaded = library.SentenceTransformer(str(exported.folder), device="cpu")
    expected = bertkit.load(str(model)).embed(TEXTS, pooling=pooling)
    np.testing.assert_allclose(loaded.encode(TEXTS), expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    assert loaded.max_seq_length == 32


def test_only_the_encoder_is_written_whatever_stands_on_it(model: Path, tmp_path: Path, capfd) -> None:
    folder = shutil.copytree(model, tmp_path / "classifier")
    BertForSequenceClassification(BertConfig.from_pretrained(model, num_labels=3)).save_pretrained(folder)
    exported = export(str(folder), "sentence-transformers", tmp_path / "out")
    assert "left out: the heads, which vectors do not need" in capfd.readouterr().err
    inside = load_file(folder / "model.safetensors")
    assert {f"bert.{name}" for name in load_file(exported.weights)} == {n for n in inside if n.startswith("bert.")}
    assert BertConfig.from_pretrained(exported.folder).architectures == ["BertModel"]


def test_half_precision_is_computed_in_full(model: Path, tmp_path: Path) -> None:
    """The library computes in the precision of the weights: a folder of 16 bits would say something else than embed."""
    half = export(str(model), "half", tmp_path / "half")
    exported = export(str(half.folder), "sentence-transformers", tmp_path / "out")
    assert BertModel.from_pretrained(exported.folder, dtype="auto").dtype == torch.float32
    expected = bertkit.load(str(half.folder)).embed(TEXTS)
    np.testing.assert_allclose(vectors_of(exported.folder, TEXTS), expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("form", "pooling", "said"),
    [
        ("sentence-transformers", "word", "holds one vector a text: pooling must be mean or cls, got 'word'"),
        ("half", "cls", "pooling is for the format sentence-transformers"),
    ],
)
def test_poolings_that_it_cannot_hold_are_refused(tmp_path: Path, form: str, pooling: str, said: str) -> None:
    with pytest.raises(BertkitError, match=said):
        export("no/such/model", form, tmp_path / "out", pooling=pooling)
    assert list(tmp_path.iterdir()) == []


def test_other_vectors_are_not_written(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = sentences.sentence_files
    monkeypatch.setattr(
        sentences,
        "sentence_files",
        lambda *given: files(*given) | {"sentence_bert_config.json": {"max_seq_length": 8}},
    )
    with pytest.raises(BertkitError, match="says something else than the original, so nothing was written"):
        export(str(model), "sentence-transformers", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_page_trains_it(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    pytest.importorskip("sentence_transformers")
    page = (Path(__file__).parents[3] / "docs" / "sentences.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.S)
    export(str(model), "sentence-transformers", tmp_path / "vectors")
    rows = "".join(f"{a}\t{b}\t{5.0 if a == b else 0.0}\n" for a in TEXTS for b in TEXTS)
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / name).write_text(f"sentence1\tsentence2\tscore\n{rows}", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    exec(program.replace("num_train_epochs=4", "max_steps=2"), {})
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if "Spearman" in line] == [
        "Spearman before",
        "Spearman after",
    ]
    assert (tmp_path / "vectors-trained" / "modules.json").is_file()
