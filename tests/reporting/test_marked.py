"""Errors of tags and answers, marked in their texts, by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.made import finetuning_run
from reporting.test_report import written

from bertkit.reporting.marked import Stretch, marked_mistakes

WORDS = ["Ana", "moved", "to", "New", "York", "."]
TAGGED = {"index": 3, "tokens": WORDS, "tags": ["B-ORG", "O", "O", "B-LOC", "I-LOC", "O"],
          "label": ["B-PER", "O", "O", "B-LOC", "I-LOC", "O"],
          "entities": [{"text": "Ana", "label": "ORG", "start": 0, "end": 3, "score": 0.9},
                       {"text": "New York", "label": "LOC", "start": 13, "end": 21, "score": 0.9}],
          "label_entities": [{"text": "Ana", "label": "PER", "start": 0, "end": 3},
                             {"text": "New York", "label": "LOC", "start": 13, "end": 21}]}  # fmt: skip
ASKED = {"index": 5, "question": "Where?", "context": "Ana moved to New York.", "prediction": "Ana", "start": 0, "end": 3,
         "score": 0.7, "label": ["New York", "York"], "label_starts": [13, 17]}  # fmt: skip


def line(stretches: list[Stretch]) -> str:
    """Right marks in brackets, wrong ones in braces."""
    signs = {True: "[]", False: "{}"}
    return "".join(
        one.text if one.label is None else f"{signs[one.is_right][0]}{one.text}:{one.label}{signs[one.is_right][1]}"
        for one in stretches
    )


def marked(*rows: dict[str, Any]) -> list[tuple[Any, str, str]]:
    return [(one.index, line(one.true), line(one.said)) for one in marked_mistakes(rows) or []]


def test_entities_are_marked_where_they_are_and_where_they_were_said_to_be() -> None:
    assert marked(TAGGED) == [(3, "{Ana:PER} moved to [New York:LOC] .", "{Ana:ORG} moved to [New York:LOC] .")]


def test_tags_that_are_no_entities_are_marked_word_by_word() -> None:
    row = {"index": 0, "tokens": ["we", "run"], "tags": ["PRON", "NOUN"], "label": ["PRON", "VERB"]}
    assert marked(row) == [(0, "[we:PRON] {run:VERB}", "[we:PRON] {run:NOUN}")]


def test_an_answer_is_marked_beside_the_first_right_one() -> None:
    assert marked(ASKED) == [(5, "Ana moved to {New York:}.", "{Ana:} moved to New York.")]
    unanswered = {**ASKED, "start": None, "end": None, "prediction": ""}
    assert marked(unanswered) == [(5, "Ana moved to {New York:}.", "Ana moved to New York.")]


@pytest.mark.parametrize(
    "row",
    [
        {**TAGGED, "entities": TAGGED["label_entities"]},
        {**ASKED, "start": 17, "end": 21},  # the second right answer
        {**ASKED, "start": None, "end": None, "label": [], "label_starts": []},
        {**ASKED, "context": "York is old. York", "start": 0, "end": 4, "label": ["York"], "label_starts": [13]},
        {**ASKED, "context": "the cat", "start": 0, "end": 7, "label": ["cat"], "label_starts": [4]},
        {**ASKED, "context": "The Cat!", "start": 4, "end": 8, "label": ["the cat"], "label_starts": [0]},
    ],
)
def test_what_is_right_is_no_error(row: dict[str, Any]) -> None:
    assert marked_mistakes([row]) == []


def test_the_worst_come_first_and_long_texts_are_shown_around_their_errors() -> None:
    far = {
        **ASKED,
        "context": "x " * 400 + ASKED["context"] + " y" * 900,
        "label_starts": [813, 817],
        "start": 800,
        "end": 803,
    }
    surer = {**far, "index": 6, "score": 0.9}
    rows = marked_mistakes([far, surer])
    assert rows is not None
    assert [row.index for row in rows] == [6, 5]
    assert line(rows[0].true) == "… " + "x " * 100 + "Ana moved to {New York:}." + (" y" * 900)[:199] + " …"


def test_rows_of_classes_and_broken_ones_have_no_marks() -> None:
    assert marked_mistakes([{"label": "a", "prediction": "b", "text": "c"}]) is None
    broken = [{"label_entities": "x"}, {"label_entities": [3, {"start": 9, "end": 2}], "text": 4}, {"tokens": [1], "tags": [2]},
              {"text": "x", "tokens": [1], "tags": ["O"], "label": ["B"]},
              {"context": "c", "label": [2], "label_starts": ["x"]}]  # fmt: skip
    assert marked_mistakes(broken) == []


@pytest.mark.parametrize("row", [TAGGED, ASKED], ids=["token", "span"])
def test_the_page_shows_them(row: dict[str, Any], tmp_path: Path) -> None:
    folder = finetuning_run(tmp_path / "ft")
    nasty = json.loads(json.dumps(row).replace("Ana", "<i>"))
    right = {**row, "index": 1, "entities": TAGGED["label_entities"], "start": 13, "end": 21}
    (folder / "predictions.jsonl").write_text(json.dumps(nasty) + "\n" + json.dumps(right) + "\n")
    page = written(tmp_path, folder)
    assert any("1 of 2 rows are wrong" in cell for cell in page.cells)
    place = page.cells.index("true")
    assert page.cells[place + 1].startswith("<i>")
    assert page.cells[place + 3] == "predicted"
    assert page.count("mark") == 2 + (4 if row is TAGGED else 2)  # two of the legend
    assert page.count("i") == 0
    assert not any("Worst errors" in cell and "given to the truth" in cell for cell in page.cells)
