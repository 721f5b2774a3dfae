"""``bertkit score`` and ``bertkit embed`` as they are typed."""

import gzip
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import typer
from test_imports import modules_after
from typer.testing import CliRunner

from bertkit import console
from bertkit.cli.embed import embed
from bertkit.cli.mask_fill import mask_fill
from bertkit.cli.score import score
from bertkit.errors import BertkitError
from bertkit.inference.embedding import Embedder
from bertkit.inference.scoring import PairScorer, Scorer

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(score)
app.command()(embed)
app.command()(mask_fill)


def run(*arguments: str, text: str | bytes = "") -> Any:
    return CliRunner().invoke(app, list(arguments), input=text, catch_exceptions=False)


def objects(done: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_sentences_come_from_everywhere_in_order(tiny_model: Path, tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.txt.gz", "wt", encoding="utf-8") as file:
        file.write("the 中文\n\ncats\n")
    (tmp_path / "b.jsonl").write_text('{"n": 1, "text": "a b c"}\n')
    files = ["--file", str(tmp_path / "a.txt.gz"), "--file", str(tmp_path / "b.jsonl")]
    done = run("score", "sat", "-", "cat", *files, "--model", str(tiny_model), "--json", text="the cat\n \nsat .\n")
    texts = ["sat", "the cat", "sat .", "cat", "the 中文", "cats", "a b c"]
    found = objects(done)
    assert [one["text"] for one in found] == texts
    assert [list(one) for one in found] == [["text", "score", "tokens", "score_per_token", "perplexity"]] * 7
    expected = Scorer(tiny_model, texts=1).score(texts)
    assert [one["score"] for one in found] == pytest.approx([one.score for one in expected], abs=1e-5)
    assert [one["perplexity"] for one in found] == pytest.approx([one.perplexity for one in expected], rel=1e-5)
    assert str(tiny_model) in done.stderr.replace("\n", "")


@pytest.mark.parametrize("command", ["score", "embed"])
def test_a_file_is_not_taken_for_a_text(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """predict takes texts and files in the same place, and people expect that here."""
    (tmp_path / "a.txt").write_text("the cat\n")
    model = ["--model", str(tiny_model)]
    with pytest.raises(
        BertkitError, match=r"^/.*a\.txt is a file, and is not read as a text: give files with --file, "
    ):
        run(command, "sat", str(tmp_path / "a.txt"), *model)
    for named, said in ((tmp_path, "is a folder"), (tmp_path / "b.txt", "no file"), ("a b.csv", "no file a b.csv")):
        with pytest.raises(BertkitError, match=said):
            run(command, str(named), *model)
    texts = ["the cat", "the cat " * 1_000, "and/or", "she wrote the readme.md", "it is 5/7 /s", "/r/funny", "//hello"]
    texts += ["I opened the index.html", "https://example.com/index.html", "open index.html"]
    assert run(command, *texts, *model).exit_code == 0
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_text("not this one\n")
    assert "the cat" in run(command, "-", *model, text="the cat\n").stdout


def test_blank_lines_are_counted_where_they_get_no_answer(tiny_model: Path) -> None:
    lines = "the cat\n\n \u200b\nsat\n"
    told = "blank texts that are left out, with no answer of their own: 2"
    done = run("score", "-", "--model", str(tiny_model), "--json", text=lines)
    assert [one["text"] for one in objects(done)] == ["the cat", "sat"]
    assert told in " ".join(done.stderr.split())
    done = run("score", "--next", "-", "--model", str(tiny_model), "--json", text="the\tcat\n\n\nsat\tcat\n")
    assert (len(objects(done)), told in " ".join(done.stderr.split())) == (2, True)
    filled = run("mask-fill", "-", "--model", str(tiny_model), "--json", text="a [MASK]\n\n\nthe [MASK]\n")
    assert (len(objects(filled)), told in " ".join(filled.stderr.split())) == (2, True)
    embedded = run("embed", "-", "--model", str(tiny_model), text=lines)
    assert [one["text"] for one in objects(embedded)] == ["the cat", "", " \u200b", "sat"]
    assert "left out" not in embedded.stderr
    assert "left out" not in run("score", "sat", "--model", str(tiny_model), "--json").stderr


def test_a_text_without_word_pieces_has_no_score_and_comes_last(tiny_model: Path) -> None:
    asked = ["score", "[MASK]", "the cat", "--rank", "--model", str(tiny_model)]
    scored, nothing = objects(run(*asked, "--json"))
    assert (scored["text"], nothing["score"], nothing["tokens"]) == ("the cat", None, 0)
    assert run(*asked).stdout.splitlines()[-1].split() == ["-", "0", "-", "-", "[MASK]"]


def test_bytes_that_are_no_utf8_are_said_once(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertkit.runtime.text._replaced", [])
    done = run("score", "the c\udce9t \ud800", "\udce9", "cat", "--model", str(tiny_model), "--json")
    said = " ".join(done.stderr.split())
    read = "read as U+FFFD, which a BERT drops, here and in what follows: 2 in 'the c\ufffdt \ufffd'"
    assert said.count(read) == said.count("warning") == 1


def test_half_a_character_is_read_alike_from_a_file_and_as_it_is_given(tiny_model: Path, tmp_path: Path) -> None:
    (file := tmp_path / "a.jsonl").write_text(r'{"text": "the \ud83d cat"}', encoding="ascii")
    read = run("embed", "--model", str(tiny_model), "--file", str(file))
    given = run("embed", "--model", str(tiny_model), "the \ud83d cat")
    assert objects(read) == objects(given)


def test_columns_of_files_are_said_where_they_are_guessed_and_refused_where_there_are_none(
    tiny_model: Path, tmp_path: Path
) -> None:
    plain, table = tmp_path / "a.txt", tmp_path / "a.csv"
    plain.write_text("the cat\n")
    table.write_text("n,sentence\n1,sat\n")
    for command in ("score", "embed"):
        console.note_once.cache_clear()
        model = ["--model", str(tiny_model)]
        assert "text: sentence" in run(command, "--file", str(table), *model).stderr
        assert "text: " not in run(command, "--file", str(table), "--text", "sentence", *model).stderr
        with pytest.raises(BertkitError, match="--text does not go with texts and plain lines"):
            run(command, "--file", str(plain), "--text", "sentence", *model)
        assert run(command, "--file", str(plain), "--file", str(table), "--text", "sentence", *model).exit_code == 0


def test_unknown_pieces_are_counted(tiny_model: Path) -> None:
    said = "of 7 word pieces 3 are unknown to"
    done = run("score", "the zebra sat", "cat", "-", "--model", str(tiny_model), "--json", text="the 中文\n")
    assert [one["tokens"] for one in objects(done)] == [3, 1, 3]
    assert said in done.stderr
    assert said in run("embed", "the zebra sat", "cat", "the 中文", "--model", str(tiny_model)).stderr
    assert "unknown" not in run("score", "the cat", "--model", str(tiny_model)).stderr
    assert "unknown" not in run("embed", "the cat", "--model", str(tiny_model)).stderr


@pytest.mark.parametrize("pooling", ["mean", "cls", "word", "none"])
def test_what_a_cut_text_is_told_reads_it_whole(tiny_model: Path, tmp_path: Path, pooling: str) -> None:
    command = [
        "embed",
        "a " * 40,
        "--model",
        str(tiny_model),
        "--output",
        str(tmp_path / "a.parquet"),
        "--pooling",
        pooling,
    ]
    said = " ".join(run(*command).stderr.split())
    hint = re.search(r"cut to that: (--.*) reads all", said)
    assert hint
    advised = run(*command, "--overwrite", *hint[1].replace(" with ", " ").split())
    assert "cut to that" not in advised.stderr


def test_rank_puts_the_likeliest_piece_first(tiny_model: Path) -> None:
    texts = ["the cat sat", "a", "b", "cats cats", ". . ."]
    command = ["score", *texts, "--model", str(tiny_model), "--json"]
    plain, ranked = objects(run(*command)), objects(run(*command, "--rank"))
    assert sorted(ranked, key=lambda one: one["text"]) == sorted(plain, key=lambda one: one["text"])
    by_piece = [one["score_per_token"] for one in ranked]
    assert by_piece == sorted(by_piece, reverse=True) != [one["score_per_token"] for one in plain]
    table = run(*command[:-1], "--rank").stdout.splitlines()
    assert table[0].split() == ["score", "pieces", "a", "piece", "perplexity", "text"]
    assert [line.split(maxsplit=4)[4] for line in table[1:]] == [one["text"] for one in ranked]


def test_pairs_are_typed_or_tabbed_or_columns(tiny_model: Path, tmp_path: Path) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text('premise,hypothesis\nthe cat,"sat, ."\n')
    pairs = [("the cat", "sat, ."), ("a b", "")]
    expected = PairScorer(tiny_model, texts=1).probabilities(pairs)
    model = ["--model", str(tiny_model), "--next", "--json"]
    for done in (
        run("score", *pairs[0], *pairs[1], *model),
        run("score", "-", *model, text="the cat\tsat, .\n\na b\t\n"),
        run("score", "the cat\tsat, .", "-", *model, text="a b\t\n"),
        run("score", "--file", str(table), "-", *model, text="a b\t\n"),
    ):
        found = sorted(objects(done), key=lambda one: -len(one["text"]))
        assert [(one["text"], one["text_pair"]) for one in found] == pairs
        assert [one["next"] for one in found] == pytest.approx(expected, abs=1e-6)
    assert "the cat │ sat, ." in run("score", *pairs[0], *model[:-1]).stdout


def test_text_from_outside_is_shown_as_it_is(tiny_model: Path) -> None:
    assert "[bold]x[/] \ufffd[31m" in run("score", "[bold]x[/] \x1b[31m", "--model", str(tiny_model)).stdout


def test_many_lines_are_embedded_in_order_by_torch(tiny_model: Path, tmp_path: Path) -> None:
    texts = [" ".join("abcdefghij"[: 1 + number % 7]) for number in range(40)]
    texts[5] = ""
    path = tmp_path / "x.npy"
    done = run("embed", "-", "--output", str(path), "--model", str(tiny_model), text="\n".join(texts) + "\n")
    assert done.stdout == f"{path}\n"
    expected = [one.rows[0] for one in next(Embedder(tiny_model, texts=1).chunks(texts))]
    assert np.load(path) == pytest.approx(np.stack(expected), abs=1e-5)


def test_features_are_json_lines_or_parquet(tiny_model: Path, tmp_path: Path) -> None:
    command = ["embed", "the cats", "\udcff?", "--model", str(tiny_model), "--layers", "-2"]
    found = objects(run(*command))
    assert [one["text"] for one in found] == ["the cats", "\ufffd?"]
    assert {len(one["embedding"]) for one in found} == {16}
    run(*command, "--output", str(tmp_path / "x.parquet"))
    assert pyarrow.parquet.read_table(tmp_path / "x.parquet").to_pylist() == found
    words = objects(run(*command, "--pooling", "word"))
    assert [(one["text_index"], one["token"]) for one in words] == [(0, "the"), (0, "cats"), (1, "[UNK]")]


def test_texts_that_are_too_long_are_counted_once(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    long = "a " * 40
    for command in (["score", long, "b", long], ["embed", long, "b", long], ["score", "--next", long, "b"]):
        run(*command, "--model", str(tiny_model))
    assert [line.partition(" longer than the 32 tokens")[0] for line in said] == ["2 texts are"] * 2 + ["1 text is"]


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        (["score"], "", "no text: give sentences, - for lines of stdin, or --file FILE"),
        (["score", "-"], " \n\n", "no text: nothing but blank lines"),
        (["embed", "-"], "", "no text"),
        (["score", "--file", "nowhere.txt"], "", "no file nowhere.txt"),
        (["score", "-"], b"a\0b", "stdin:1 holds a NUL byte"),
        (["score", "--next", "a", "b", "c"], "", "two and two, got 3"),
        (["score", "--next", "-"], "a b\n", "'a b' has 0 tabs"),
        (["score", "a", "--text-pair", "b"], "", "--text-pair is for pairs: add --next"),
        (["score", "a", "--text", "b"], "", "--text does not go with texts and plain lines: it is for tables"),
        (["embed", "-", "--text", "b"], "a\n", "--text does not go with texts and plain lines: it is for tables"),
        (["embed", "a", "--layers", "one"], "", "--layers must be"),
        (["embed", "a", "--pooling", "max"], "", "--pooling must be"),
        (["embed", "a", "--output", "x.txt"], "", "ends in .npy or .parquet"),
        (["score", "a", "--model", "./nowhere"], "", "no folder './nowhere'"),
    ],
)
def test_arguments_are_checked_before_torch_is_needed(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], text: str | bytes, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it now fails
    monkeypatch.setitem(sys.modules, "transformers", None)
    model = [] if "--model" in command else ["--model", str(tiny_model)]
    with pytest.raises(BertkitError) as error:
        run(*command, *model, text=text)
    assert said in str(error.value)


COMMAND = """
import typer
from bertkit.cli.{name} import {name}
app = typer.Typer()
app.command()({name})
app({arguments!r}, standalone_mode=False)
"""


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("score", ["the cat"]), ("score", ["the cat", "sat", "--next"]), ("embed", ["the cat"])],
)
def test_a_few_texts_are_read_without_torch(tiny_model: Path, name: str, arguments: list[str]) -> None:
    code = COMMAND.format(name=name, arguments=[*arguments, "--model", str(tiny_model)])
    loaded = modules_after(code)
    assert "numpy" in loaded
    assert loaded & {"torch", "transformers", "scipy", "sklearn", "datasets", "accelerate", "pyarrow"} == set()
