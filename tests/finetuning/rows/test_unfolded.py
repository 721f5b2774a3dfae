"""Cells of CSV files that hold lists and objects: rows that pandas wrote are read as the rows that it was given."""

import json

import pandas as pd
import pytest

from bertkit.errors import BertkitError
from bertkit.finetuning.alignment import taken_by_number
from bertkit.finetuning.data import load_labelled
from bertkit.finetuning.heads.registry import head_for
from bertkit.finetuning.heads.token import TokenHead
from bertkit.finetuning.inputs import row_inputs
from bertkit.finetuning.labelled import DataRequest
from bertkit.finetuning.rows.tagged_rows import is_unmarked, tagged_row
from bertkit.finetuning.rows.unfolded import unfolded
from bertkit.io.memory import memory_rows
from bertkit.settings.schema import TaskSettings

TAGS = [{"tokens": ["Ana", "said", "it's"], "ner_tags": ["B-PER", "O", "O"]}, {"tokens": ["no"], "ner_tags": ["O"]}]
MARKED = [
    {"text": "Ana ran", "label": [[0, 3, "PER"]]},
    {"text": "no", "label": []},
    {"text": "[1] Bob", "label": [{"start": 4, "end": 7, "labels": ["PER"]}]},
]
STUDIO = [
    {"data": {"text": "Ana"}, "annotations": [{"result": [{"value": {"start": 0, "end": 3, "labels": ["PER"]}}]}]},
    {"data": {"text": "no"}, "annotations": [{"result": []}]},
]
ANSWERS = [
    {"question": "who", "context": "Ana's cat", "answers": {"text": ["Ana's"], "answer_start": [0]}},
    {"question": "why", "context": "no", "answers": {"text": [], "answer_start": []}},
]
SPREAD = [{**ANSWERS[0], "answers": [{"text": "cat", "answer_start": 6}]}, {**ANSWERS[1], "answers": []}]
CHOICES = [
    {"question": "what", "choices": ["it's", "no"], "label": 0},
    {"question": "who", "choices": ["a", "b", "c"], "label": 2},
]
NAMED = [{"question": "what", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}]


def loaded(source):
    data = load_labelled(DataRequest(TaskSettings(), None, source, source, None, seed=0))
    labels = data.train.labels
    return data.head.name, data.train.texts, labels if isinstance(labels, list) else labels.tolist()


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    ("rows", "head"),
    [
        (TAGS, "token"),
        (MARKED, "token"),
        (STUDIO, "token"),
        (ANSWERS, "span"),
        (SPREAD, "span"),
        (CHOICES, "choice"),
        (NAMED, "choice"),
    ],
)
def test_what_pandas_writes_is_read_as_what_it_was_given(tmp_path, rows, head, as_json):
    path, frame = tmp_path / "rows.csv", pd.DataFrame(rows)
    if as_json:
        frame = frame.map(lambda cell: json.dumps(cell) if isinstance(cell, (list, dict)) else cell)
    frame.to_csv(path, index=False)
    assert loaded(str(path)) == loaded(memory_rows("rows", rows))
    assert loaded(str(path))[0] == head


def test_words_to_predict_are_told_from_sentences():
    head = TokenHead(["O", "B-PER", "I-PER"], "BIO")

    def read(name, *cells):
        rows = ((f"a:{at}", {name: cell}) for at, cell in enumerate(cells))
        return list(row_inputs(rows, "a", TaskSettings(), head))

    assert read("tokens", '["Ana", "ran"]', "('Ana', 'ran')", "[]", "Ana ran") == [
        ["Ana", "ran"],
        ["Ana", "ran"],
        [],
        "Ana ran",
    ]
    sentences = [
        "[1] Ana ran",
        "[]",
        "[1, 2]",
        '("no", "yes")',
        '["Go," he said]',
        "{'a': 1}",
        "[MASK]",
        "",
        '{"text": "a"}',
    ]
    assert read("text", "['Ana']", *sentences) == [["Ana"], *sentences]
    assert read("words", "[1] Ana ran", "[1]", "[MASK]") == ["[1] Ana ran", "[1]", "[MASK]"]


def test_lists_as_numpy_prints_them_are_refused():
    for row, said in (
        (
            {"tokens": "['Ana' 'ran']", "tags": "['B-PER' 'O']"},
            "'tokens' looks like a list of words, and is none in JSON",
        ),
        (
            {
                "question": "who",
                "context": "Ana",
                "answers": "{'text': array(['Ana'], dtype=object), 'answer_start': array([0])}",
            },
            "as many 'answer_start' as 'text' in JSON or Python",
        ),
    ):
        with pytest.raises(BertkitError, match=said):
            loaded(memory_rows("rows", [row]))


@pytest.mark.parametrize(
    "row",
    [
        {"text": "Ana ran", "labels": '["a", "b"]'},
        {"text": "['Ana']", "label": "x"},
        {"text": "Ana", "options": '["red"]', "label": 1},
        {"text": "Ana", "options": "[1, 2]", "label": 1},
        {"question": "who", "context": "Ana ran", "answers": "an"},
        {"question": "did she", "context": "we know that Ana ran", "answer": "no"},
        {"question": "who", "context": "Ana", "answers": '["a", "b"]'},
    ],
)
def test_other_rows_stay_those_of_a_classifier(row):
    assert head_for(TaskSettings(), [("a:1", row)]).name == "sequence"


def test_tags_by_number_and_rows_without_entities_are_known_by_what_is_written():
    head = TokenHead(["O", "B-PER"], "BIO")
    assert taken_by_number(head, ["[0, 1]"]) == taken_by_number(head, [[0, 1]]) != ""
    assert is_unmarked({"text": "no", "label": "[]"})
    assert not is_unmarked({"text": "no", "label": "[[0, 2, 'X']]"})
    row = "a:1", {"tokens": '["Ana"]', "tags": "[1]"}
    assert tagged_row(row, {"text": ("tokens",), "label": ("tags",)}, head.label_names).tags == ["B-PER"]


def test_a_classifier_is_not_trained_on_the_text_of_a_list():
    rows = [{"sentence_words": '["Ana", "ran"]', "iob": '["B-PER", "O"]'}]
    task = TaskSettings(text=["sentence_words"], label=["iob"])
    with pytest.raises(BertkitError, match="'iob' has a label for each of the 2 tokens of 'sentence_words': tagging"):
        load_labelled(DataRequest(task, None, memory_rows("rows", rows), None, 0.5, seed=0))
    rows = [{"text": "who", "label": '{"text": ["Ana"]}'}]
    with pytest.raises(BertkitError, match="the label 'label' is an object"):
        load_labelled(DataRequest(TaskSettings(), None, memory_rows("rows", rows), None, 0.5, seed=0))


@pytest.mark.parametrize("cell", ["{1, 2}", "{'a': 1}, {'b': 2}", "{a}", "{}{}", "[a b]", "['a' 'b']", 3, None, ("a",)])
def test_what_is_no_list_and_no_object_stays(cell):
    assert unfolded(cell) is cell
