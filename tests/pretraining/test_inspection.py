"""What ``inspect`` says of the words of a corpus, by hand."""

import pytest
from typer.testing import CliRunner

import bertkit
from bertkit.cli import app
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.prepare import prepare
from bertkit.corpus.sources import find_sources
from bertkit.errors import BertkitError
from bertkit.models.tokenizer_loading import load_tokenizer

TEXT = "the cat sat .\nasss asss the bss cat .\n\n" * 40


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_how_a_models_words_are_cut(text, tiny_model):
    settings = {"data.max_seq_length": 16, "train.batch_size": 4}
    words = bertkit.inspect(text, model=tiny_model, settings=settings, examples=4)["words"]
    # the, cat, sat: one word piece each; asss = a ##s ##s ##s; bss = b ##s ##s
    assert (words["words"], words["word_pieces"]) == (40 * 8, 40 * (5 + 2 * 4 + 3))
    assert words["word_pieces_a_word"] == 2.0
    assert words["word_pieces_a_word_after"] == {"100": 1.0, "1000": 1.0}
    assert words["worst"] == [
        {"word": "asss", "times": 80, "word_pieces": ["a", "##s", "##s", "##s"], "cost": 4, "is_unknown": False},
        {"word": "bss", "times": 40, "word_pieces": ["b", "##s", "##s"], "cost": 3, "is_unknown": False},
    ]


def test_examples_are_those_of_the_run_and_fill_the_length_of_their_step(text, tiny_model):
    phases = {"data.max_seq_length": [[0.5, 8], [0.5, 16]], "train.batch_size": 4, "train.max_steps": 2}
    seen = bertkit.inspect(text, model=tiny_model, settings=phases, examples=20)["examples"]
    assert seen["examples"] == 8
    # A document has 4 + 12 tokens: segments fill what the first four examples have room for, 8 tokens, and the others, 16.
    assert seen["length_use"] == pytest.approx(seen["mean_length"] / 12)
    assert seen["length_use"] <= 1


@pytest.mark.parametrize(("objective", "warned"), [("nsp", True), ("sop", False), ("none", False)])
def test_a_single_document_is_warned_of_where_segments_are_random(text, tiny_model, objective, warned):
    text.write_text("the cat sat .\nthe cats sat .\n" * 40, encoding="utf-8")
    settings = {"data.max_seq_length": 16, "data.sentence_objective": objective, "train.max_steps": 2}
    told = bertkit.inspect(text, model=tiny_model, settings=settings, examples=4)["warnings"]
    assert any("random second segment" in one for one in told) is warned


def test_words_are_left_out_where_the_tokenizer_is_learned(text):
    settings = {"data.max_seq_length": 16, "train.batch_size": 4, "tokenizer.vocab_size": 24}
    assert "words" not in bertkit.inspect(text, recipe="tiny", settings=settings, examples=4)


def test_people_get_a_table_of_80_columns(text, tiny_model):
    long = "".join(f"{letter}ssssssssssssssssssssssssss " * 6 for letter in "abcdefghij")
    text.write_text(TEXT + long + "\n", encoding="utf-8")
    given = [
        "inspect",
        str(text),
        "--model",
        str(tiny_model),
        "--seq-len",
        "16",
        "--batch-size",
        "4",
        "--examples",
        "0",
    ]
    result = CliRunner().invoke(app, given, env={"COLUMNS": "80", "TERM": "dumb"}, catch_exceptions=False)
    table = result.stdout.splitlines()
    assert any(line.split() == ["bss", "40", "b", "##s", "##s"] for line in table)
    assert max(len(line) for line in table if "##s" in line) <= 80
    assert "with --add-words 100 and" in " ".join(result.stdout.split())


def test_duplicates_that_were_not_looked_for_are_said(text, tiny_model, monkeypatch):
    settings = {"data.max_seq_length": 16, "train.batch_size": 4}

    def said():
        told = bertkit.inspect(text, model=tiny_model, settings=settings, examples=4)["warnings"]
        return [one for one in told if "duplicates were looked for" in one]

    assert said() == []
    for module in ("corpus_report", "inspection_warnings"):
        monkeypatch.setattr(f"bertkit.pretraining.{module}.DUPLICATES_LOOKED_AT", 50)
    assert said() == ["duplicates were looked for among the first 50 of 80 sentences: the shares are of those"]


def test_what_was_done_already_is_not_advised(text, tiny_model):
    text.write_text(TEXT + "☃ " * 40 + "\n", encoding="utf-8")
    settings = {"data.max_seq_length": 16, "train.batch_size": 4}
    base = {"model": tiny_model}, {"tokenizer": tiny_model, "recipe": "tiny"}
    with_model, without = (bertkit.inspect(text, **how, settings=settings, examples=4)["warnings"] for how in base)
    assert not any("with --model" in one or "--vocab-size" in one for one in with_model)
    assert any("pretrain --add-words N" in one for one in with_model)
    assert any("consider going on from a model with --model" in one for one in without)
    assert any("leave out --tokenizer" in one for one in without)


@pytest.mark.parametrize(("unknown", "is_said"), [(1, False), (3, True)])
def test_unknown_tokens_are_said_from_one_in_a_thousand_on(text, tiny_model, capsys, unknown, is_said):
    # 400 sentences of four words each, and so many that no word piece is for
    text.write_text("the cat sat .\n" * 400 + "☃ " * unknown + "\n", encoding="utf-8")
    settings = {"data.max_seq_length": 16, "train.batch_size": 4}
    share = bertkit.inspect(text, model=tiny_model, settings=settings, examples=4)["corpus"]["unknown_tokens"]
    assert share == unknown / (1600 + unknown)
    assert ("are [UNK]" in capsys.readouterr().err) is is_said


@pytest.mark.parametrize(
    ("language", "is_said"), [("en", False), ("de", False), ("de-AT", False), ("deu", True), ("zz", True)]
)
def test_a_language_without_rules_of_its_own_is_said(text, tiny_model, capsys, language, is_said):
    settings = {"data.max_seq_length": 16, "train.batch_size": 4, "data.language": language}
    bertkit.inspect(text, model=tiny_model, settings=settings, examples=4)
    assert (f"data.language {language}: sentencex has no other rules for it" in capsys.readouterr().err) is is_said


@pytest.mark.parametrize(
    ("setting", "given", "said"),
    [
        (
            {"tokenizer.vocab_size": 99},
            "model",
            "settings tokenizer.vocab_size is about word pieces that are learned, and those of --model",
        ),
        (
            {"lowercase": False},
            "tokenizer",
            "settings lowercase is about word pieces that are learned, and those of --tokenizer",
        ),
        (
            {"tokenizer.strip_accents": True},
            "prepared",
            "and those of the prepared corpus .*prepared are given: leave it out",
        ),
        (
            {"data.language": "de"},
            "prepared",
            "settings data.language is about reading text, and .*prepared is prepared already",
        ),
        ({"column": "body"}, "prepared", "settings column is about reading text"),
    ],
)
def test_settings_without_an_effect_are_refused(text, tiny_model, tmp_path, setting, given, said):
    asked, inputs = {given: tiny_model}, text
    if given == "prepared":
        asked, inputs = {}, tmp_path / "prepared"
        prepare(Preparation(find_sources([str(text)])), load_tokenizer(str(tiny_model)), inputs)
    plain = {"data.max_seq_length": 16, "train.batch_size": 4}
    assert bertkit.inspect(inputs, settings=plain, examples=4, **asked)["corpus"]["tokens"]
    with pytest.raises(BertkitError, match=said):
        bertkit.inspect(inputs, settings=plain | setting, examples=4, **asked)


def test_without_a_corpus_a_line_names_the_one_that_is_read(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    bertkit.inspect(recipe="tiny", examples=1)
    assert "no corpus given: using the embedded one, corpus.txt" in " ".join(capsys.readouterr().err.split())
