import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
import typer
from helpers.loud import loud
from transformers import AutoTokenizer, BertForPreTraining, BertModel, pipeline
from typer.testing import CliRunner

import bertkit
from bertkit.cli.mask_fill import mask_fill
from bertkit.errors import BertkitError
from bertkit.inference.mask_filling import filler as module
from bertkit.inference.mask_filling.filler import MaskFiller
from bertkit.io import hub

TEXTS = ["The cats [MASK].", "[MASK]", "a b c d e f g h [MASK] j", "the cat sat.[MASK]", "[MASK] cat [MASK] the"]
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(mask_fill)


@pytest.fixture(scope="module")
def model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with larger weights, so that its guesses differ, and padding rows that want to come out."""
    folder = tmp_path_factory.mktemp("fill") / "model"
    bert = loud(tiny_model, folder, BertForPreTraining, seed=1, std=0.5)
    with torch.no_grad():
        bert.cls.predictions.bias[21:] = 9.0
    bert.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def filler(model: Path) -> MaskFiller:
    return MaskFiller(model, "cpu")


def as_pipeline(filled: list[list[module.Candidate]]) -> list[list[dict[str, object]]]:
    keys = ("score", "token", "token_str", "sequence")
    return [[{key: getattr(guess, key) for key in keys} for guess in guesses] for guesses in filled]


def test_guesses_are_those_of_the_pipeline_without_padding_rows(filler: MaskFiller, model: Path) -> None:
    theirs = pipeline("fill-mask", str(model), device="cpu")
    ours = filler.fill(TEXTS, top_k=100)
    for text, filled in zip(TEXTS, ours, strict=True):
        expected = theirs(text, top_k=64)
        by_mask = expected if isinstance(expected[0], list) else [expected]
        assert by_mask[0][0]["token"] >= 21  # the pipeline itself puts a padding row first
        for guesses, wanted in zip(as_pipeline(filled), by_mask, strict=True):
            words = [guess for guess in wanted if guess["token"] < 21]
            assert [guess.pop("score") for guess in guesses] == pytest.approx(
                [guess.pop("score") for guess in words], abs=1e-5
            )
            assert guesses == words
            assert len(guesses) == 21


@pytest.mark.parametrize(("max_pieces", "targets"), [(1, None), (2, None), (1, ["cat", "the cat"])])
def test_unknown_pieces_are_counted_and_the_text_is_the_pipelines(
    model: Path, filler: MaskFiller, capsys: pytest.CaptureFixture[str], max_pieces: int, targets: list[str] | None
) -> None:
    texts = ["the zebra [MASK] giraffe sat", "[MASK] the [MASK] zebra", "cats [MASK]"]
    tokens = [AutoTokenizer.from_pretrained(model).tokenize(text) for text in texts]
    words = [token for row in tokens for token in row if token != "[MASK]"]
    assert (len(words), words.count("[UNK]")) == (8, 3)
    filler.misread.say("")
    capsys.readouterr()
    filled = filler.fill(texts, 1, targets, max_pieces)
    filler.fill_jointly(texts, 1)  # the same texts again
    filler.say_misread()
    assert " ".join(capsys.readouterr().err.split()).startswith("of 8 word pieces 3 are unknown to")
    filler.fill(["the [MASK]"], 1)
    filler.say_misread()
    assert capsys.readouterr().err == ""
    if max_pieces == 1 and targets is None:
        theirs = pipeline("fill-mask", str(model), device="cpu")(texts[0], targets=[filled[0][0][0].token_str])
        assert theirs[0]["sequence"] == filled[0][0][0].sequence == f"the {filled[0][0][0].token_str} sat"


def test_the_command_and_the_function_say_how_many_pieces_are_unknown(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = CliRunner().invoke(app, ["zebra [MASK]", "the zebra [MASK]", "--model", str(model)], catch_exceptions=False)
    assert "of 3 word pieces 2 are unknown to" in " ".join(done.stderr.split())
    bertkit.load(model).fill("a [MASK] giraffe")
    assert "of 2 word pieces 1 is unknown to" in " ".join(capsys.readouterr().err.split())


def test_targets_are_ranked_as_in_the_pipeline(filler: MaskFiller, model: Path) -> None:
    theirs = pipeline("fill-mask", str(model), device="cpu")("the [MASK] sat", targets=["cat", "a", "##s"])
    [[ours]] = filler.fill(["the [MASK] sat"], top_k=9, targets=["Cat", "a", "##s", "cat"])
    assert [(guess.token, guess.sequence) for guess in ours] == [(g["token"], g["sequence"]) for g in theirs]
    assert [guess.score for guess in ours] == pytest.approx([g["score"] for g in theirs], abs=1e-5)


def test_company_in_a_batch_changes_nothing(filler: MaskFiller) -> None:
    alone = {text: filler.fill([text], top_k=3)[0] for text in TEXTS}
    together = filler.fill(TEXTS * 8, top_k=3)
    for text, filled in zip(TEXTS * 8, together, strict=True):
        assert [[guess.token for guess in guesses] for guesses in filled] == [
            [guess.token for guess in guesses] for guesses in alone[text]
        ]


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("no mask", {}, r"no \[MASK\] in 'no mask': put \[MASK\] where a word should be guessed"),
        ("a " * 40 + "[MASK]", {}, r"has 43 tokens, and .* reads 32 at most"),
        ("[MASK]", {"targets": ["cat zebra"]}, "target 'cat zebra' is unknown to this model"),
        ("[MASK]", {"targets": ["zebra"]}, "target 'zebra' is unknown to this model"),
        ("[MASK]", {"targets": []}, "no targets given"),
        ("[MASK]", {"top_k": 0}, "top_k must be at least 1"),
        ("[MASK]", {"top_k": "3"}, "top_k must be at least 1, a whole number, got '3'"),
        ("[MASK]", {"top_k": 2.0}, "top_k must be at least 1, a whole number, got 2.0"),
        ("[MASK]", {"targets": ["a", None]}, r"targets must be a list of words, got \['a', None\]"),
    ],
)
def test_what_cannot_be_filled_is_one_line(
    filler: MaskFiller, text: str, options: dict[str, object], said: str
) -> None:
    with pytest.raises(BertkitError, match=said):
        filler.fill([text], **options)


def test_a_model_without_the_head_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "encoder")
    BertModel.from_pretrained(folder).save_pretrained(folder)
    with pytest.raises(BertkitError, match="has no masked-word head"):
        MaskFiller(folder, "cpu")


def test_the_command_prints_an_object_a_text(model: Path, filler: MaskFiller) -> None:
    lines = "\n".join([TEXTS[0], "", TEXTS[4]])
    command = [TEXTS[1], "-", "--model", str(model), "--json", "--top-k", "2", "--device", "cpu"]
    done = CliRunner().invoke(app, command, input=lines, catch_exceptions=False)
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    texts = [TEXTS[1], TEXTS[0], TEXTS[4]]
    assert [list(o) for o in objects] == [["text", "predictions"]] * 2 + [["text", "predictions", "joint"]]
    assert [o["text"] for o in objects] == texts
    for object_, filled in zip(objects, filler.fill(texts, top_k=2), strict=True):
        expected = as_pipeline(filled)
        for guesses, wanted in zip(object_["predictions"], expected, strict=True):
            assert [list(guess) for guess in guesses] == [["score", "token", "token_str", "sequence"]] * 2
            assert [guess["token"] for guess in guesses] == [guess["token"] for guess in wanted]
    completions = filler.fill_jointly([TEXTS[4]], top_k=2)[0]
    assert objects[2]["joint"] == [
        {
            "score": pytest.approx(one.score, abs=1e-5),
            "tokens": list(one.tokens),
            "token_strs": list(one.token_strs),
            "sequence": one.sequence,
        }
        for one in completions
    ]


def test_several_masks_read_well(taught_model: Path) -> None:
    command = ["g [MASK] h [MASK] .", "--model", str(taught_model), "--top-k", "1"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    lines = [line.strip(" █▉▊▋▌▍▎▏") for line in done.stdout.splitlines()[2:]]
    assert lines[:4] == ["g [MASK] h [MASK] .", "mask 1 of 2", lines[2], "mask 2 of 2"]
    assert re.fullmatch(r"\d\d\.\d%  c  g c h \[MASK\]\.", lines[2])
    assert lines[5] == "all together"
    assert re.fullmatch(r"\d\d\.\d%  (c · d  g c h d|e · f  g e h f)\.", lines[6])


def test_words_of_several_pieces_have_a_list_for_a_token(taught_model: Path) -> None:
    vocab = MaskFiller(taught_model, texts=1).reader.text_encoder.vocab
    for options in (["--targets", "cat, cats"], ["--max-pieces", "2", "--top-k", "2"]):
        command = ["a the [MASK] sat .", "--model", str(taught_model), "--json", *options]
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        [guesses] = json.loads(done.stdout)["predictions"]
        assert {guess["token_str"]: guess["token"] for guess in guesses} == {
            "cat": vocab["cat"],
            "cats": [vocab["cat"], vocab["##s"]],
        }
    command = ["a the [MASK] sat .", "--model", str(taught_model), "--targets", "cats,the sat"]
    assert "% is a target's share" in CliRunner().invoke(app, command, catch_exceptions=False).stderr


def test_all_targets_are_shown(model: Path) -> None:
    command = ["[MASK]", "--model", str(model), "--json", "--targets", "a,b,c,d,e,f,g"]
    for options, count in (([], 7), (["--top-k", "3"], 3)):
        done = CliRunner().invoke(app, [*command, *options], catch_exceptions=False)
        assert len(json.loads(done.stdout)["predictions"][0]) == count
        assert "share its row" not in done.stderr


def test_targets_that_are_one_to_the_model_are_counted(model: Path) -> None:
    command = ["[MASK]", "a [MASK]", "--model", str(model), "--json", "--targets", "Cat,cat, CAT,the,catss"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    for line in done.stdout.splitlines():
        assert {one["token_str"] for one in json.loads(line)["predictions"][0]} == {"cat", "the", "catss"}
    assert " ".join(done.stderr.split()).count("spells as it does another one, and which share its row: 2") == 1


def test_the_embedded_model_answers_where_none_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "EMBEDDED_MODEL", model)
    done = CliRunner().invoke(app, ["a [MASK]"], catch_exceptions=False)
    assert done.stdout.splitlines()[0] == "embedded"


def test_too_many_masks_are_said(model: Path) -> None:
    command = ["[MASK] " * 17, "--model", str(model), "--json", "--top-k", "1"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "joint" not in json.loads(done.stdout)
    assert "17 masks: more than the 16 that are filled together" in done.stderr


def test_targets_are_said_not_to_be_compared_at_several_masks_together(model: Path) -> None:
    command = ["[MASK] [MASK]", "a [MASK]", "[MASK] b [MASK]", "--model", str(model), "--json"]
    done = CliRunner().invoke(app, [*command, "--targets", "a,b"], catch_exceptions=False)
    assert all("joint" not in json.loads(line) for line in done.stdout.splitlines())
    assert (
        "2 texts with several masks are not filled all together: --targets are compared at each mask alone"
        in " ".join(done.stderr.split())
    )
    for other in ([*command], ["a [MASK]", "--model", str(model), "--targets", "a,b"]):
        assert "--targets" not in CliRunner().invoke(app, other, catch_exceptions=False).stderr


def test_lines_of_stdin_are_read_as_text_is_everywhere(model: Path) -> None:
    command = ["-", "x [MASK]", "--model", str(model), "--json", "--top-k", "1"]
    done = CliRunner().invoke(app, command, input=b"caf\xc3\xa9 [MASK]\r\n\n \n[MASK] b", catch_exceptions=False)
    texts = [json.loads(line)["text"] for line in done.stdout.splitlines()]
    assert texts == ["café [MASK]", "[MASK] b", "x [MASK]"]
    with pytest.raises(BertkitError, match="stdin is not UTF-8: 1 of 11 characters"):
        CliRunner().invoke(app, command, input=b"caf\xe9 [MASK]", catch_exceptions=False)


def test_the_table_shows_text_from_outside_as_it_is(model: Path) -> None:
    command = ["[bold]x[/] \x1b[31m [MASK]", "--model", str(model), "--top-k", "1", "--device", "cpu"]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert "[bold]x[/] \ufffd[31m [MASK]" in done.stdout
    assert "%" in done.stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["no mask", "--model", "{}"], r"no \[MASK\] in 'no mask'"),
        (["a [MASK]", "--targets", "a", "--max-pieces", "2"], "leave --max-pieces out"),
        (["a [MASK]", "--model", "./nowhere"], "no folder './nowhere'"),
        (["-", "--model", "{}"], "no text: give a sentence"),
        (["", "--model", "{}"], "no text: give a sentence"),
    ],
)
def test_arguments_are_checked_before_torch_is_needed(
    model: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], said: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it now fails
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BertkitError, match=said):
        CliRunner().invoke(app, [c.format(model) for c in command], input="", catch_exceptions=False)
