"""Rows as transformers' scripts read them, by hand; and whole runs of both beside each other."""

import json

import pytest
from typer.testing import CliRunner

from benchmarks.__main__ import app
from benchmarks.plain import Plain
from benchmarks.tasks import Run, _said, as_line
from bertkit.errors import BertkitError
from bertkit.finetuning.features import Split
from bertkit.finetuning.heads.choice import ChoiceHead
from bertkit.finetuning.heads.span import SpanHead
from bertkit.finetuning.heads.token import TokenHead
from bertkit.models.tokenizer_loading import load_tokenizer

LETTERS = [["abcdefgh"[number % 8]] * (1 + number // 8) for number in range(16)]
TOKENS = [
    {"tokens": ["the", "cats", "sat", *more], "ner_tags": ["O", "B-X", "I-X", *("O" for _ in more)]} for more in LETTERS
]
QUESTIONS = [
    {"question": "a b", "context": "the cat sat . " * (1 + number), "answers": {"text": ["cat"], "answer_start": [4]}}
    for number in range(16)
]
CHOICES = [
    {"question": "the cat", "choices": ["sat", " ".join(more)], "answer": number % 2}
    for number, more in enumerate(LETTERS)
]


def plain(head, tiny_model, most=16):
    return Plain(head, load_tokenizer(str(tiny_model)), most, stride=2)


def test_a_tag_stands_at_the_first_word_piece_alone(tiny_model):
    head = TokenHead(["O", "B-X", "I-X"], "BIO")
    columns = {"text": ("tokens",), "label": ("ner_tags",)}
    rows = [("row", TOKENS[0])]
    split = Split("train", [head.input(row, columns) for row in rows], head.labels(rows, columns))
    (row,) = plain(head, tiny_model).rows(split)
    assert row["labels"] == [-100, 0, 1, -100, 2, 0, -100]  # [CLS] the cat ##s sat a [SEP]


def test_windows_without_the_answer_point_to_cls(tiny_model):
    head, columns = SpanHead(False), {name: (name,) for name in ("question", "context")} | {"label": ("answers",)}
    rows = [("row", {**QUESTIONS[2], "answers": {"text": ["cat"], "answer_start": [32]}})]
    split = Split("train", [head.input(row, columns) for row in rows], head.labels(rows, columns))
    made = plain(head, tiny_model, most=10).rows(split)
    # [CLS] a b [SEP], five of the context's twelve pieces, [SEP]; two are shared: 0-4, 3-7, 6-10, 9-11. The answer is the tenth.
    assert [(one["start_positions"], one["end_positions"]) for one in made] == [(0, 0), (0, 0), (7, 7), (4, 4)]


def test_choices_of_unequal_number_are_refused(tiny_model):
    texts = [{"question": "a", "choices": ["b"] * many} for many in (2, 3)]
    with pytest.raises(BertkitError, match=r"equally many choices, and here are \[2, 3\]"):
        plain(ChoiceHead(), tiny_model).rows(Split("train", texts, None))


@pytest.mark.parametrize("rows", [TOKENS, QUESTIONS, CHOICES], ids=["token", "span", "choice"])
def test_both_learn_the_same_rows(rows, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    path = str(tmp_path / "rows.jsonl")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["--train", path, "--validation", path, "--model", str(tiny_model), "--seq-len", "32", "--mixed-precision", "no",
             "--device", "cpu", "--batch-size", "4", "--epochs", "2", "--seeds", "2", "--rows", "12", "--json"]  # fmt: skip
    result = CliRunner().invoke(app, ["tasks", *given])
    assert result.exit_code == 0, result.exception
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["rows"] == {"train": 12, "validation": 16}
    for side in ("bertkit", "trainer"):
        assert len(found[side]["figures"]) == 2
        assert found[side]["low"] <= sorted(found[side]["figures"])[1] <= found[side]["high"]


def test_a_line_has_mean_spread_and_the_interval_of_the_run_in_the_middle():
    said = _said([Run(1, 0.5, (0.4, 0.6), 2.0), Run(2, 0.7, (0.6, 0.8), 4.0), Run(3, 0.6, (0.51, 0.69), 3.0)])
    found = {
        "task": "t",
        "model": "m",
        "metric": "f1",
        "rows": {"train": 1000, "validation": 9},
        "bertkit": said,
        "trainer": said,
    }
    side = "60.0 ± 10.0 (51.0 to 69.0)"  # of 50, 60 and 70 the sample's standard deviation is 10
    assert as_line(found) == f"| t | m | 1,000 / 9 | f1 | {side} | {side} | 3 s / 3 s |"
