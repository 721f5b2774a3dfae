"""The figures before and after going on from a model, against plain transformers and by hand."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from bertkit.errors import BertkitError
from bertkit.models.bert import load_bert_for_pretraining, save_model
from bertkit.models.new_words import save_with_words
from bertkit.models.tokenizer_loading import load_tokenizer
from bertkit.pretraining import before_after
from bertkit.pretraining.before_after import Reading, bits_per_character, hidden_words
from bertkit.pretraining.prepare import prepare_for_training
from bertkit.pretraining.request import PretrainRequest
from bertkit.pretraining.run import pretrain
from bertkit.pretraining.texts import AskedText
from bertkit.settings.recipes import Override, load
from bertkit.settings.schema import PretrainRecipe

TEXT = "the cat sat .\nasss asss the bss cat .\n\n" * 40


@pytest.fixture
def made(tmp_path, tiny_model, monkeypatch):
    """The tiny model's tokenizer, one that reads two words whole, and the text as that one reads it."""
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    (tmp_path / "grown").mkdir()
    own = load_tokenizer(str(tiny_model))
    save_with_words(own, ["asss", "bss"], tmp_path / "grown")
    grown = load_tokenizer(str(tmp_path / "grown"))
    given = [Override("data.max_seq_length", 32, ""), Override("model.max_position_embeddings", 32, "")]
    recipe = load(PretrainRecipe, "pretrain", "tiny", given).settings
    return own, grown, prepare_for_training([AskedText([str(tmp_path / "text.txt")])], [], grown, recipe), recipe


def test_the_same_words_are_hidden_from_both(made) -> None:
    own, grown, corpus, recipe = made
    hidden = hidden_words(corpus.training, grown, own, recipe, 32)
    assert len(hidden.before) == len(hidden.after) > 20
    characters = 0
    for before, after in zip(hidden.before, hidden.after, strict=True):
        assert len(before.ids) <= 32
        assert own.decode(before.ids) == grown.decode(after.ids)
        words = [own.decode(before.ids[before.hidden]), grown.decode(after.ids[after.hidden])]
        assert words[0] == words[1]
        characters += len(words[0].replace(" ", ""))
        assert not before.hidden[[0, -1]].any()
        # A word is hidden whole: no word piece of it is left to be seen.
        pieces = own.convert_ids_to_tokens(before.ids)
        for place, piece in enumerate(pieces):
            if piece == "##s":
                assert before.hidden[place] == before.hidden[place - 1]
    assert hidden.characters == characters > 0
    tokens = sum(len(one.hidden) - 2 for one in hidden.after)
    share = sum(one.hidden.sum() for one in hidden.after) / tokens
    assert abs(share - 0.15) < 4 * math.sqrt(0.15 * 0.85 / tokens)


def test_a_word_that_the_model_before_does_not_know_is_not_hidden_but_counted(tmp_path, tiny_model, own_cache) -> None:
    (tmp_path / "text.txt").write_text("the cat sat .\n\u12f5\u1218\u1275 the bss cat .\n\n" * 40, encoding="utf-8")
    (tmp_path / "grown").mkdir()
    own = load_tokenizer(str(tiny_model))
    save_with_words(own, ["\u12f5\u1218\u1275"], tmp_path / "grown")
    grown = load_tokenizer(str(tmp_path / "grown"))
    given = [Override("data.max_seq_length", 32, ""), Override("model.max_position_embeddings", 32, "")]
    recipe = load(PretrainRecipe, "pretrain", "tiny", given).settings
    corpus = prepare_for_training([AskedText([str(tmp_path / "text.txt")])], [], grown, recipe)
    hidden = hidden_words(corpus.training, grown, own, recipe, 32)
    there = sum((one.ids[1:-1] == own.unk_token_id).sum() for one in hidden.before)
    assert there > 20
    assert not any(one.hidden[one.ids == own.unk_token_id].any() for one in hidden.before)
    share = 0.15
    assert abs(hidden.left_out - share * there) < 4 * np.sqrt(there * share * (1 - share))


def test_without_new_words_both_are_the_same(made) -> None:
    _, grown, corpus, recipe = made
    hidden = hidden_words(corpus.training, grown, grown, recipe, 32)
    for before, after in zip(hidden.before, hidden.after, strict=True):
        assert np.array_equal(before.ids, after.ids)
        assert np.array_equal(before.hidden, after.hidden)


def test_bits_a_character_as_plain_transformers_computes_them(tiny_model) -> None:
    tokenizer, model = load_tokenizer(str(tiny_model)), AutoModelForMaskedLM.from_pretrained(tiny_model).eval()
    texts = ["the cats sat .", "a b c the cat", "cat"]
    places = [[2, 3], [1, 5], [1]]
    readings, nats = [], 0.0
    for text, masked in zip(texts, places, strict=True):
        ids = torch.tensor(tokenizer(text)["input_ids"])
        hidden = torch.zeros(len(ids), dtype=torch.bool)
        hidden[masked] = True
        readings.append(Reading(ids.numpy(), hidden.numpy()))
        with torch.no_grad():
            logs = model(ids.masked_fill(hidden, tokenizer.mask_token_id)[None]).logits[0].log_softmax(-1)
        nats -= sum(float(logs[place, ids[place]]) for place in masked)
    found = bits_per_character(model, readings, 12, tokenizer)
    assert found == pytest.approx(nats / math.log(2) / 12, rel=1e-5)


def test_random_weights_pay_six_bits_a_word_piece(made, tiny_model, tmp_path) -> None:
    own, grown, corpus, recipe = made
    model = load_bert_for_pretraining(str(tiny_model), grown).model
    save_model(model, grown, tmp_path / "run")
    figures = {}
    hidden = hidden_words(corpus.training, grown, own, recipe, 32)
    for when, folder in (("before", tiny_model), ("after", tmp_path / "run")):
        bert = AutoModelForMaskedLM.from_pretrained(folder).eval()
        figures[when] = bits_per_character(bert, getattr(hidden, when), hidden.characters, own)
    # Random weights guess among 64 rows: 6 bits a word piece.
    for when in figures:
        pieces = sum(one.hidden.sum() for one in getattr(hidden, when))
        assert figures[when] == pytest.approx(6 * pieces / hidden.characters, rel=0.02)


def test_a_run_that_goes_on_ends_with_both(tmp_path, tiny_model, monkeypatch) -> None:
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    settings = {"train.max_steps": 30, "train.batch_size": 16, "train.mixed_precision": "no", "train.learning_rate": 1e-2,
                "data.max_seq_length": 32, "data.max_eval_examples": 40, "train.save_steps": 30}  # fmt: skip
    request = PretrainRequest(
        corpus=[str(tmp_path / "text.txt")],
        out=tmp_path / "run",
        model=str(tiny_model),
        add_words=5,
        overrides=[Override(name, value, name) for name, value in settings.items()],
        device="cpu",
    )
    results = pretrain(request).results
    before, after = results["before"], results["after"]
    assert list(before) == list(after)
    assert list(before) == ["held_out_bits_per_character", "general_bits_per_character", "cloze_top_1", "cloze_top_5"]
    assert after["held_out_bits_per_character"] < 0.8 * before["held_out_bits_per_character"]
    row = f"| held-out text, bits a character | {before['held_out_bits_per_character']:.3f} | "
    assert row in (tmp_path / "run" / "README.md").read_text(encoding="utf-8")


def test_the_text_of_a_model_that_cannot_read_the_cloze_sentences_is_compared_all_the_same(
    tmp_path, tiny_model, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    recipe = load(PretrainRecipe, "pretrain", "tiny", [Override("data.max_seq_length", 32, "")]).settings
    corpus = prepare_for_training(
        [AskedText([str(tmp_path / "text.txt")])], [], load_tokenizer(str(tiny_model)), recipe
    )
    told = "'the two children [MASK] …' has 39 tokens, and m reads 32 at most"

    def too_long(*_):
        raise BertkitError(told)

    monkeypatch.setattr(before_after, "evaluate_cloze", too_long)
    capsys.readouterr()
    found = before_after.before_and_after(str(tiny_model), str(tiny_model), corpus, recipe, "cpu")
    assert {name for one in found.values() for name in one} == {before_after.HELD_OUT, before_after.GENERAL}
    said = " ".join(capsys.readouterr().err.split())
    assert f"no figures before and after of the cloze sentences that come with bertkit: {told}" in said


@pytest.mark.parametrize(("said", "positions"), [(12, 32), (32, 40)])
def test_both_read_no_more_than_the_model_before_had_learned(
    tmp_path, tiny_model, monkeypatch, said, positions
) -> None:
    """By what its tokenizer says, and by its places where the run adds some."""
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text(TEXT.replace("\n\n", "\n"), encoding="utf-8")
    base = shutil.copytree(tiny_model, tmp_path / "base")
    config = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": said}))
    seen: list[int] = []
    whole = before_after.bits_per_character

    def watched(model, sequences, characters, tokenizer):
        seen.extend(len(one.ids) for one in sequences)
        return whole(model, sequences, characters, tokenizer)

    monkeypatch.setattr(before_after, "bits_per_character", watched)
    given = {"data.max_seq_length": 32, "model.max_position_embeddings": positions, "data.max_eval_examples": 40}
    recipe = load(PretrainRecipe, "pretrain", "tiny", [Override(*one, "") for one in given.items()]).settings
    corpus = prepare_for_training([AskedText([str(tmp_path / "text.txt")])], [], load_tokenizer(str(base)), recipe)
    before_after.before_and_after(str(base), str(base), corpus, recipe, "cpu")
    assert max(seen) == said


def test_a_text_of_which_no_word_can_be_hidden_is_said_to_be_without_figures(made, tmp_path, capsys) -> None:
    own, _, _, recipe = made
    (tmp_path / "held.txt").write_text("אב גד\nגד אב\n\n" * 20, encoding="utf-8")
    save_with_words(own, ["אב", "גד"], tmp_path / "grown")
    grown, text, held = load_tokenizer(str(tmp_path / "grown")), tmp_path / "text.txt", tmp_path / "held.txt"
    corpus = prepare_for_training([AskedText([str(text)])], [str(held)], grown, recipe)
    assert before_after.HELD_OUT not in before_after._texts(corpus, own, recipe, 32)
    said = " ".join(capsys.readouterr().err.split())
    assert "held-out text, bits a character: not measured, as no word of the examples is hidden" in said
