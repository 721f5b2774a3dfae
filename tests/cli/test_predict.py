"""``bertkit predict``: what it takes for texts and files, and how its answers come out."""

import csv
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import torch
from transformers import BertForSequenceClassification
from typer.testing import CliRunner

import bertkit
from bertkit.cli import app
from bertkit.cli.predict import predict
from bertkit.errors import BertkitError

TEXTS = ["the cat sat .", "the cats\tsat", ""]


@pytest.fixture(scope="module")
def classifier(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = shutil.copytree(tiny_model, tmp_path_factory.mktemp("predict") / "classifier")
    torch.manual_seed(3)
    names = {"id2label": {0: "bad", 1: "[bold]good"}, "label2id": {"bad": 0, "[bold]good": 1}}
    BertForSequenceClassification.from_pretrained(tiny_model, **names).save_pretrained(folder)
    return str(folder)


def run(*arguments: str, text: str | None = None) -> Any:
    return CliRunner().invoke(app, ["predict", *arguments], input=text, catch_exceptions=False)


def lines(done: Any) -> list[dict[str, Any]]:
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_texts_files_and_stdin_are_read_in_the_order_given(classifier: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{text}\n" for text in TEXTS))
    expected = lines(run(classifier, *TEXTS))
    assert [row["index"] for row in expected] == [0, 1, 2]
    assert lines(run(classifier, str(tmp_path / "a.txt"))) == expected
    assert lines(run(classifier, "-", text=(tmp_path / "a.txt").read_text())) == expected
    assert lines(run(classifier, TEXTS[0], "-", "--json", text="\n".join(TEXTS[1:]) + "\n")) == expected


def test_every_form_of_output_says_the_same(classifier: str, tmp_path: Path) -> None:
    expected = lines(run(classifier, *TEXTS))
    for name in ("a.jsonl", "a.csv", "a.tsv", "a.parquet"):
        run(classifier, *TEXTS, "--output", str(tmp_path / name))
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == expected
    flat = [[row["index"], row["prediction"], *row["probabilities"].values()] for row in expected]
    with (tmp_path / "a.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [[str(value) for value in row] for row in flat]
    assert (tmp_path / "a.tsv").read_text() == "".join("\t".join(map(str, row)) + "\n" for row in flat)
    table = pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert [list(row.values()) for row in table] == flat


def test_a_terminal_gets_a_table(
    classifier: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = lines(run(classifier, *TEXTS))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    predict(classifier, [*TEXTS, "word " * 99])
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 4
    for line, row, text in zip(shown, expected, TEXTS, strict=False):
        share = f"{row['probabilities'][row['prediction']]:7.1%}"
        assert line.rstrip() == f"{row['prediction']:10}{share}  {' '.join(text.split())}".rstrip()
    assert shown[3].endswith("…")
    predict(classifier, TEXTS, as_json=True)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.csv"], r"no file nowhere\.csv"),
        (["./no/texts.txt"], r"no file \./no/texts\.txt"),
        (["."], r"\. is a folder"),
        ([], "give a TEXT or FILE to predict"),
        (["a", "--task", "sst2"], "give a TEXT or FILE to predict"),
        (["nowhere.CSV.bz2"], r"no file nowhere\.CSV\.bz2"),
        (["new.docx"], r"no file new\.docx"),
        (["reviews.xlsx"], r"no file reviews\.xlsx"),
        (["my table.csv"], r"no file my table\.csv"),
        (["x.csv.zip"], r"no file x\.csv\.zip"),
        (["./none"], r"no file \./none"),
        (["data/*.csv"], r"no file data/\*\.csv"),
        (["a", "--text-pair", "b"], "--text-pair needs --text"),
        (["a", "--data", "glue"], "--data does not go with TEXT or FILE: it is for --task"),
        (["--task", "sst2", "--abstain-below", "0.6"], "--abstain-below does not go with --task"),
        (["--zip", "x.zip", "--task", "sst2"], "--task does not go with --zip"),
        (["a", "--output", "x.xlsx"], r"ends in \.jsonl"),
        (["a", "--output", "."], r"\. is a folder"),
        (["a", "--output", "x.csv", "--json"], "--json does not go with --output"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_the_model_is_read(arguments: list[str], said: str) -> None:
    with pytest.raises(BertkitError, match=said):
        run("no-such-model", *arguments)


@pytest.mark.parametrize("source", ["-", "empty.txt", "header.csv"])
@pytest.mark.parametrize("options", [[], ["--json"], ["--output", "answers.csv"]])
def test_nothing_to_predict_is_said(
    classifier: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, options: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").touch()
    Path("header.csv").write_text("text\n")
    with pytest.raises(BertkitError, match="no text: nothing but blank lines, or nothing at all"):
        run(classifier, source, *options, text="")
    assert not Path("answers.csv").exists()


def test_what_is_there_is_replaced_only_where_it_is_ours_or_asked_for(classifier: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"text": "my own"}\n')
    with pytest.raises(BertkitError, match="no predictions of bertkit"):
        run(classifier, str(path), "--output", str(path))
    assert path.read_text() == '{"text": "my own"}\n'
    for _ in range(2):
        run(classifier, "a", "--output", str(path), "--overwrite")
    run(classifier, "b", "--output", str(path))
    assert len(path.read_text().splitlines()) == 1


def test_what_is_not_likely_enough_is_left_open(classifier: str, tmp_path: Path) -> None:
    expected = lines(run(classifier, *TEXTS))
    surest = sorted(max(row["probabilities"].values()) for row in expected)
    below = (surest[0] + surest[1]) / 2
    done = run(classifier, *TEXTS, "--abstain-below", str(below))
    said = [row["prediction"] if max(row["probabilities"].values()) > below else None for row in expected]
    assert sum(answer is None for answer in said) == 1
    assert lines(done) == [{**row, "prediction": answer} for row, answer in zip(expected, said, strict=True)]
    assert "1 of 3 rows: no class reaches" in done.stderr
    assert [row["prediction"] for row in bertkit.predict(classifier, TEXTS, abstain_below=below)] == said
    run(classifier, *TEXTS, "--abstain-below", str(below), "--output", str(tmp_path / "a.csv"))
    with (tmp_path / "a.csv").open(newline="") as file:
        assert [row["prediction"] for row in csv.DictReader(file)] == [answer or "" for answer in said]
    with pytest.raises(BertkitError, match="from 0 to 1"):
        run(classifier, *TEXTS, "--abstain-below", "80")


def test_several_classes_are_not_left_open(classifier: str, tmp_path: Path) -> None:
    folder = shutil.copytree(classifier, tmp_path / "several")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"problem_type": "multi_label_classification"}))
    with pytest.raises(BertkitError, match="one class a row"):
        run(str(folder), *TEXTS, "--abstain-below", "0.5")


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("text,label", "looks like the names of columns"),
        ('"id";"Review"', "looks like the names of columns"),
        ("comment_text,toxic", "looks like the names of columns"),
        ("text", "looks like the names of columns"),
        ("the cat\tgood", "has a tab"),
    ],
)
def test_a_table_among_lines_is_said_to_be_read_as_texts(
    classifier: str, tmp_path: Path, first: str, said: str
) -> None:
    told = f"stdin:1 {said}, and is read as a text, as are all lines"
    assert told in " ".join(run(classifier, "-", text=f"{first}\nsat\n").stderr.split())
    (tmp_path / "a.txt").write_text(f"{first}\nsat\n")
    assert f"a.txt:1 {said}" in run(classifier, str(tmp_path / "a.txt")).stderr.replace("\n", "")
    for text in ("a text, and then a review of the label", "Dear Sir, comment", "Yes, content", "\tthe cat\t"):
        assert "as are all lines" not in " ".join(run(classifier, "-", text=f"{text}\nsat\n").stderr.split())


def test_empty_texts_are_counted(classifier: str) -> None:
    done = run(classifier, "-", text="the cat\n\n \n\u200f\u200b\n\x7f\x08\n")
    assert len(lines(done)) == 5
    assert "empty texts, which get a prediction as all others do: 4" in done.stderr


def test_json_lines_on_stdin_are_said_to_be_read_as_text(classifier: str) -> None:
    said = "stdin:1 is a JSON object, and is read as a text, as are all lines"
    done = run(classifier, "-", text='{"text": "the cat"}\n{"text": "sat"}\n')
    assert len(lines(done)) == 2
    assert " ".join(done.stderr.split()).count(said) == 1
    for first in ("{the cat}", '"the"', '[{"a": 1}]', "{" * 100_000):
        assert "JSON" not in run(classifier, "-", text=f'{first}\n{{"text": "sat"}}\n').stderr
