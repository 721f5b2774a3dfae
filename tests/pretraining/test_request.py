"""Requests whose parts do not go together."""

import gzip
import os
from pathlib import Path

import pytest
from helpers.stores import random_documents, write_store
from helpers.texts import TEXT

from bertkit.corpus.preparation import Preparation
from bertkit.corpus.prepare import prepare
from bertkit.corpus.sources import find_sources
from bertkit.errors import BertkitError
from bertkit.pretraining.request import PretrainRequest, resolve
from bertkit.settings.recipes import Override


@pytest.fixture
def texts(tmp_path, monkeypatch):
    """A folder of two texts, a third one beside it, and two prepared corpora."""
    monkeypatch.chdir(tmp_path)
    for name in ("d/a.txt", "d/val.txt", "held.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(TEXT, encoding="utf-8")
    for seed, name in enumerate(("one", "two")):
        write_store(tmp_path / name, random_documents(4, seed=seed))
    return tmp_path


def resolved(*corpus, **how):
    return resolve(PretrainRequest(corpus, recipe="tiny", device="cpu", **how))


@pytest.mark.parametrize(
    ("corpus", "how", "message"),
    [
        (["d"], {"validation": ["d/val.txt"]}, "d/val.txt is validation text and in d as well, which is trained on: move it out"),
        (["d/*.txt"], {"validation": ["./d/../d/val.txt"]}, "d/../d/val.txt is validation text and in d/*.txt as well"),
        (["held.txt", "d/a.txt"], {"validation": ["d"]}, "d/a.txt is validation text and in held.txt, d/a.txt as well"),
        (["one"], {"validation": ["./one"]}, "./one is validation text and in one as well"),
        (["one", "two"], {"validation": ["two"]}, "two is validation text and in one, two as well"),
        (["org/name"], {"validation": ["org/name"]}, "org/name is validation text and in org/name as well"),
        (["held.txt"], {"validation": ["d/val.txt"], "keep": ("d", 0.2)}, "d/val.txt is validation text and in d as well"),
    ],
)  # fmt: skip
def test_validation_text_that_is_trained_on_is_refused(texts, corpus, how, message) -> None:
    with pytest.raises(BertkitError) as caught:
        resolved(*corpus, **how)
    assert message.replace("/", os.sep) in str(caught.value).replace("/", os.sep)
    assert str(caught.value).endswith("or leave --validation out, and a share of the text is held out")
    assert "\n" not in str(caught.value)


def test_validation_text_that_is_in_a_mix_is_refused(texts) -> None:
    mix = [{"source": "held.txt", "weight": 1}, {"source": "d", "weight": 1}]
    overrides = [Override("data.mix", mix, "--set data.mix")]
    with pytest.raises(BertkitError, match=r"val\.txt is validation text and in d as well"):
        resolved(overrides=overrides, validation=["d/val.txt"])
    (texts / "own.txt").write_text(TEXT, encoding="utf-8")
    assert resolved(overrides=overrides, validation=["own.txt"]).texts[1].name == "d"


def test_validation_text_of_its_own_is_taken(texts) -> None:
    """By its name, that is: what it holds is compared when it is prepared."""
    assert resolved("d", validation=["held.txt"]).asked.validation == ["held.txt"]
    assert resolved("one", validation=["two"]).asked.validation == ["two"]


@pytest.mark.parametrize("kind", ["a copy", "a prepared folder", "another form"])
def test_validation_text_that_is_the_training_text_by_another_name_is_refused(texts, own_cache, kind) -> None:
    other = "other.txt.gz" if kind == "another form" else "other"
    if kind == "a copy":
        Path("other").mkdir()
        Path("other/copy.txt").write_bytes(Path("held.txt").read_bytes())
    elif kind == "another form":
        Path(other).write_bytes(gzip.compress(Path("held.txt").read_bytes()))
    else:
        tokenizer = resolved("held.txt").prepared().tokenizer
        prepare(Preparation(find_sources(["held.txt"])), tokenizer, Path("other"))
    with pytest.raises(
        BertkitError, match=r"^other\S* is validation text and the same as held\.txt, which is trained on: give"
    ):
        resolved("held.txt", validation=[other]).prepared()


def test_texts_of_a_mix_that_are_the_same_are_refused(texts, own_cache) -> None:
    mix = [{"source": "held.txt", "weight": 1}, {"source": "d/a.txt", "weight": 1}]
    run = resolved(overrides=[Override("data.mix", mix, "--set data.mix")])
    with pytest.raises(
        BertkitError, match=r"^held\.txt and d/a\.txt of the mix are the same text: leave one of them out$"
    ):
        run.prepared()
    Path("d/a.txt").write_text(TEXT + TEXT, encoding="utf-8")
    assert len(run.prepared().stores) == 2


@pytest.mark.parametrize(
    ("setting", "value", "how", "why"),
    [
        ("hidden_dropout_prob", 0.5, {"model": "embedded"}, "--model embedded has its own"),
        ("model.num_hidden_layers", 6, {"model": "embedded"}, "--model embedded has its own"),
        ("validation_split", 0.3, {"validation": ["held.txt"]}, "--validation held.txt is the text that is held out"),
        ("data.validation_split", 0.3, {"validation": ["held.txt"]}, "--validation held.txt is the text that is held out"),
    ],
)  # fmt: skip
def test_settings_that_something_else_decides_are_refused(texts, setting, value, how, why) -> None:
    overrides = [Override(setting, value, f"--set {setting}={value}")]
    with pytest.raises(BertkitError) as caught:
        resolved("d/a.txt", overrides=overrides, **how)
    assert str(caught.value).startswith(f"--set {setting}={value} would change nothing, as {why}")
    assert resolved("d/a.txt", overrides=overrides).recipe


def test_a_model_that_is_gone_on_from_may_be_given_more_places(texts) -> None:
    more = [Override("max_position_embeddings", 640, "--set max_position_embeddings=640")]
    assert resolved("d/a.txt", model="embedded", overrides=more).recipe.model.max_position_embeddings == 640
    fewer = [Override("max_position_embeddings", 64, "--set …=64"), Override("max_seq_length", 32, "--seq-len")]
    with pytest.raises(BertkitError, match="is under the 128 positions of embedded, which are kept: give 128 or more"):
        resolved("d/a.txt", model="embedded", overrides=fewer)
