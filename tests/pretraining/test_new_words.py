"""``--add-words`` in a whole run: said, saved, gone on with, and refused in one line."""

import json

import pytest
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bertkit.errors import BertkitError
from bertkit.models.tokenizer_loading import load_tokenizer
from bertkit.pretraining.request import PretrainRequest
from bertkit.pretraining.run import pretrain
from bertkit.settings.recipes import Override

TEXT = "the cat sat .\nasss asss the bss cat .\n\n" * 40
SETTINGS = {"train.max_steps": 4, "train.batch_size": 4, "train.save_steps": 2, "train.mixed_precision": "no",
            "data.max_seq_length": 16, "data.max_eval_examples": 4}  # fmt: skip


@pytest.fixture
def asked(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")

    def request(words: int | None = 10, **more) -> PretrainRequest:
        given = {"corpus": [str(tmp_path / "text.txt")], "out": tmp_path / "run", "model": str(tiny_model)}
        settings = [Override(name, value, name) for name, value in SETTINGS.items()]
        return PretrainRequest(**{**given, "overrides": settings, "add_words": words, "device": "cpu", **more})

    return request


def test_a_run_with_new_words_and_its_resume(asked, tmp_path, tiny_model, capfd) -> None:
    run = pretrain(asked())
    said = " ".join(capfd.readouterr().err.split())
    assert (
        "words and signs that were unknown, or cut into three word pieces or more, and get rows of their own (--add-words): 2 of "
        "the 10 that --add-words asks for (no more are frequent and cut so), 1 of [unusedN] and 1 behind all others: asss, bss"
        in said
    )
    assert run.added_words == 2
    theirs, ours = AutoTokenizer.from_pretrained(run.folder), load_tokenizer(str(run.folder))
    before = load_tokenizer(str(tiny_model))
    for text in ("the asss bss .", "assss bs cats"):
        assert theirs(text)["input_ids"] == ours(text)["input_ids"]
    assert theirs("asss bss", add_special_tokens=False)["input_ids"] == [5, len(before)]
    assert theirs("assss cats")["input_ids"] == before("assss cats")["input_ids"]
    assert AutoModelForMaskedLM.from_pretrained(run.folder).config.vocab_size == 64
    assert json.loads((run.folder / "run.json").read_text())["added_words"] == 2
    (run.folder / "run.json").write_text(json.dumps({**run.facts, "finished": False}))
    with pytest.raises(
        BertkitError, match="run without --add-words: it was begun with --add-words 10; give the same, or"
    ):
        pretrain(asked(None, resume=True))
    again = pretrain(asked(resume=True))
    assert again.results == run.results


def test_a_run_that_keeps_general_text(asked, tmp_path, capfd) -> None:
    (tmp_path / "general.txt").write_text("the cat sat . the cats .\n\n" * 50, encoding="utf-8")
    general = str(tmp_path / "general.txt")
    run = pretrain(asked(None, keep=(general, 0.3)))
    said = " ".join(capfd.readouterr().err.split())
    # 4 steps of 4 examples, of which 0.3 · 16 = 4.8 are 5; the text has 50 documents of 8 word pieces, one example each
    assert (
        "general.txt: 50 documents, 400 tokens, all of them trained on (1.2 kB), 30.0% of the examples, read 0.1 times"
        in said
    )
    own, kept = run.mix
    assert (own["share"], kept["source"], kept["share"], kept["passes"]) == (0.7, general, 0.3, 5 / 50)
    assert own["training_tokens"] < own["tokens"]  # what is held out is of the corpus alone
    assert run.held_out_tokens == own["tokens"] - own["training_tokens"]
    began = r"it was begun with --keep \S*general\.txt 0\.3; give the same, or start anew with --overwrite"
    for finished in (True, False):
        (run.folder / "run.json").write_text(json.dumps({**run.facts, "finished": finished}))
        with pytest.raises(BertkitError, match=f"run without --keep: {began}"):
            pretrain(asked(None, resume=True))
        with pytest.raises(BertkitError, match=rf"run with --keep \S*general\.txt 0\.5: {began}"):
            pretrain(asked(None, resume=True, keep=(general, 0.5)))
    assert pretrain(asked(None, resume=True, keep=(general, 0.3))).results == run.results


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"words": 0}, "--add-words must be 1 or more, got 0"),
        ({"words": -3}, "--add-words must be 1 or more, got -3"),
        ({"model": None}, "--add-words goes with --model"),
        ({"words": None, "keep": ("text.txt", 1.0)}, "takes a share of the examples above 0 and below 1, got 1.0"),
        ({"words": None, "keep": ("no-such-text.txt", 0.5)}, "no-such-text.txt"),
    ],
)
def test_what_is_refused_before_the_text_is_read(asked, more, message) -> None:
    with pytest.raises(BertkitError, match=message):
        pretrain(asked(**more))


def test_words_that_are_not_worth_it_are_refused(asked, tmp_path) -> None:
    (tmp_path / "text.txt").write_text("the cat sat .\nasss .\n\n" * 4, encoding="utf-8")
    with pytest.raises(
        BertkitError,
        match="no word or sign in .* occurs 5 times or more and is unknown, or cut into three word pieces or more",
    ):
        pretrain(asked())
    assert not (tmp_path / "run").exists()
