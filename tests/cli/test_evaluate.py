"""``bertkit evaluate`` of pretrained models, and which options go together (classifiers: see test_finetune.py)."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bertkit.cli.evaluate import evaluate
from bertkit.errors import BertkitError

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(evaluate)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments, "--device", "cpu"], catch_exceptions=False)


@pytest.fixture
def cloze(tmp_path: Path) -> str:
    path = tmp_path / "own.tsv"
    path.write_text("sentence\tanswers\nthe [MASK] [bold]sat\tcat|[red]\na \x1b[31m [MASK]\tb\n", encoding="utf-8")
    return str(path)


def test_a_cloze_file_of_ones_own(tiny_model: Path, cloze: str) -> None:
    results = json.loads(run(str(tiny_model), "--cloze", cloze, "--json").stdout)
    assert (results["model"], results["cloze"], results["sentences"]) == (str(tiny_model), cloze, 2)
    assert [len(one["predictions"]) for one in results["guesses"]] == [5, 5]
    shown = run(str(tiny_model), "--cloze", cloze).stdout
    assert f"{results['top_5']:.1%}" in shown
    guess = results["guesses"][0]["predictions"][0]["token_str"]
    assert f"the [{guess}] [bold]sat  cat, [red]" in shown
    assert "\x1b" not in shown


def test_the_cloze_test_that_comes_with_bertkit(tiny_model: Path) -> None:
    results = json.loads(run(str(tiny_model), "--cloze", "--json").stdout)
    assert (results["sentences"], results["cloze"], len(results["guesses"])) == (200, "cloze.tsv", 200)
    # Of all answers this model knows a, i and the: 27 pieces are not English.
    assert 190 < results["unknown"] < 200


def test_figures_on_text_beside_what_no_context_gives(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    paths = [str(tmp_path / name) for name in ("one.txt", "two.txt")]
    for path in paths:
        Path(path).write_text("The cat sat.\nThe cats sat.\na b c.\n\n" * 5)
    results = json.loads(run(str(tiny_model), "--corpus", *paths, "--json", "--max-examples", "7").stdout)
    assert results["corpus"] == paths
    assert (results["examples"], results["documents"], results["max_seq_length"]) == (7, 10, 32)
    shown = run(str(tiny_model), "--corpus", *paths, "--max-examples", "7").stdout
    assert f"7 examples of at most 32 tokens of {paths[0]} and 1 more" in shown.replace("\n", " ")
    for label, name, baseline in (
        ("MLM accuracy", "eval_mlm_accuracy", "most_frequent_token_share"),
        ("NSP accuracy", "eval_nsp_accuracy", None),
    ):
        line = next(line.split() for line in shown.splitlines() if line.startswith(label))
        assert line[2:4] == [f"{results[name]:.1%}", f"{results[baseline] if baseline else 0.5:.1%}"]


@pytest.mark.parametrize("prefix", ["", "data."])
def test_settings_take_the_place_of_what_the_options_are_by_default(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "one.txt").write_text("The cat sat.\nThe cats sat.\na b c.\n\n" * 5)
    asked = [str(tiny_model), "--corpus", str(tmp_path / "one.txt"), "--json"]
    sets = ["--set", f"{prefix}max_seq_length=16", "--set", f"{prefix}max_eval_examples=2"]
    results = json.loads(run(*asked, *sets).stdout)
    assert (results["examples"], results["max_seq_length"]) == (2, 16)
    assert results == json.loads(run(*asked, "--seq-len", "16", "--max-examples", "2").stdout)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cloze", "--corpus"], "give --cloze or --corpus, not both"),
        (["--cloze", "--task", "sst2"], "--task does not go with --cloze: it is for labelled rows"),
        (["--cloze", "--set", "seed=1"], "--set does not go with --cloze: it is for labelled rows or --corpus"),
        (["--cloze", "a.tsv", "b.tsv"], "--cloze takes one file, got 2: a.tsv b.tsv"),
        (["--cloze", "--seq-len", "0"], "--seq-len does not go with --cloze: it is for --corpus"),
        (["--cloze", "nope.tsv"], "no file nope.tsv"),
        (["--corpus"], "--corpus needs text: bertkit evaluate MODEL --corpus FILE..."),
        (["--corpus", "a.txt", "--validation", "b.csv"], "--validation does not go with --corpus"),
        (["--corpus", "nope.txt"], "no corpus at nope.txt"),
        (["--corpus", "nope.txt", "--seq-len", "64"], "data.max_seq_length 64 is over"),
        (
            ["--corpus", "nope.txt", "--seq-len", "16", "--set", "data.max_seq_length=9"],
            "data.max_seq_length is given twice: --seq-len and --set data.max_seq_length=9",
        ),
        (
            ["--corpus", "nope.txt", "--max-examples", "2000", "--set", "max_eval_examples=9"],
            "data.max_eval_examples is given twice: --max-examples and --set max_eval_examples=9",
        ),
        (["rows.csv"], "'rows.csv' does not go with labelled rows: it is for --cloze or --minimal-pairs or --corpus"),
        (
            ["--task", "sst2", "--max-examples", "5"],
            "--max-examples does not go with labelled rows: it is for --corpus",
        ),
    ],
)
def test_arguments_are_checked_before_torch_is_needed(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it now fails
    with pytest.raises(BertkitError) as raised:
        run(str(tiny_model), *arguments)
    assert said in str(raised.value)
