"""Tagged text in every form that people keep it in, by hand."""

import pytest

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.entities import Entity
from bertkit.finetuning.features import Split
from bertkit.finetuning.heads.token import TokenHead
from bertkit.finetuning.rows.tagged_rows import (
    TaggedRow,
    marked_entities,
    of_entities,
    of_tokens,
    tag_names,
    tagged_row,
    with_words,
)
from bertkit.settings.schema import TaskSettings


def test_lists_of_tokens_and_tags():
    row = of_tokens("a:1", ["in", "New", "York"], [0, 1, 2], ["O", "B-LOC", "I-LOC"])
    assert row == TaggedRow("a:1", "in New York", [(0, 2), (3, 6), (7, 11)], ["O", "B-LOC", "I-LOC"])
    assert of_tokens("a:1", [], []).words == []


@pytest.mark.parametrize(
    ("tokens_", "tags", "said"),
    [
        (["a", "b"], ["O"], "a:3 has 2 tokens and 1 tag"),
        (["a", 5], ["O", "O"], "the token 5 is no text"),
        (["a", None], ["O", "O"], "the token None is no text"),
        (["a"], [3], "the tag 3 has no name"),
        (["a"], [None], "the tag None is no name"),
        (["a"], [True], "the tag True is no name"),
    ],
)
def test_tokens_that_cannot_be_read_are_named(tokens_, tags, said):
    with pytest.raises(BertkitError, match=said):
        of_tokens("a:3", tokens_, tags, ["O"])


TEXT = "Ana moved to New York."
MARKED = [Entity(0, 3, "PER"), Entity(13, 21, "LOC")]


@pytest.mark.parametrize(
    "row",
    [
        {"text": TEXT, "entities": [{"start": 13, "end": 21, "label": "LOC"}, {"start": 0, "end": 3, "label": "PER"}]},
        {"text": TEXT, "label": [[0, 3, "PER"], [13, 21, "LOC"]]},
        {"text": TEXT, "entities": [{"id": 1, "start_offset": 0, "end_offset": 3, "label": "PER"}, [13, 21, "LOC"]]},
        {"text": TEXT, "spans": [{"start": 0, "end": 3, "label": "PER"}, {"start": 13, "end": 21, "label": "LOC"}]},
        {
            "text": TEXT,
            "label": [{"start": 0, "end": 3, "labels": ["PER"]}, {"start": 13, "end": 21, "labels": ["LOC"]}],
        },
        {
            "data": {"text": TEXT},
            "annotations": [
                {
                    "result": [
                        {"value": {"start": 0, "end": 3, "text": "Ana", "labels": ["PER"]}, "type": "labels"},
                        {"value": {"start": 13, "end": 21, "labels": ["LOC"]}, "type": "labels"},
                        {"value": {"choices": ["good"]}, "type": "choices"},
                    ]
                }
            ],
        },
    ],
    ids=["plain", "doccano", "doccano-relations", "prodigy", "label-studio-min", "label-studio"],
)
def test_entities_marked_by_characters(row):
    tagged = of_entities("a:1", row)
    assert (tagged.text, tagged.marked, tagged.overlapping) == (TEXT, MARKED, 0)
    words = with_words(tagged, [(0, 3), (4, 9), (10, 12), (13, 16), (17, 21), (21, 22)])
    assert (words.tags, words.widened) == (["B-PER", "O", "O", "B-LOC", "I-LOC", "O"], 0)


def test_of_overlapping_entities_the_longest_stays():
    row = {"text": TEXT, "label": [[13, 16, "ADJ"], [13, 21, "LOC"], [0, 3, "PER"]]}
    tagged = of_entities("a:1", row)
    assert (tagged.marked, tagged.overlapping) == (MARKED, 1)


def test_marks_of_further_annotators_and_second_labels_are_counted():
    def marks(*labels):
        return {"result": [{"value": {"start": 0, "end": 3, "labels": list(labels)}}, {"value": {"choices": ["good"]}}]}

    row = {"data": {"id": "a17", "text": "Ana left"}, "annotations": [marks("PER", "ORG"), marks("LOC"), marks("LOC")]}
    row["annotations"].insert(0, {**marks("LOC"), "was_cancelled": True})
    tagged = of_entities("a:1", row)
    assert (tagged.text, tagged.marked, tagged.further) == ("Ana left", [Entity(0, 3, "PER")], 3)
    head = TokenHead(["O", "B-PER", "I-PER"], "BIO")
    told = ["marks of further annotators, or second labels, left out in train: 6"]
    assert head.left_out([], {}, Split("train", [], [tagged, tagged])) == told
    assert of_entities("a:1", {"text": "Ana left", "label": [[0, 3, "PER"]]}).further == 0
    for unmarked in ({"annotations": []}, {}):  # exported before anybody has seen it
        row = {"data": {"id": "a17", "review": "Ana left"}, **unmarked}
        assert of_entities("a:1", row).text == "Ana left"
        assert tagged_row(("a:1", row), {"text": ("data",)}, ()).text == "Ana left"
    with pytest.raises(BertkitError, match="a:1: 'data' has no text"):
        of_entities("a:1", {"data": {"id": 17}})


def test_an_entity_within_a_word_is_widened_and_counted():
    tagged = of_entities("a:1", {"text": "the Yorkers", "entities": [[4, 8, "LOC"]]})
    words = with_words(tagged, [(0, 3), (4, 11)])
    assert (words.tags, words.widened) == (["O", "B-LOC"], 1)


@pytest.mark.parametrize("span", [[0, 99, "X"], [-1, 2, "X"], [3, 3, "X"], [5, 2, "X"]])
def test_an_entity_beyond_its_text_is_refused(span):
    with pytest.raises(BertkitError, match=r"a:1: the entity X from .* is not within its text of 22 characters"):
        of_entities("a:1", {"text": TEXT, "entities": [span]})


@pytest.mark.parametrize(
    "row",
    [
        {"text": TEXT, "label": "happy"},
        {"text": TEXT, "label": ["happy", "sad"]},
        {"text": ["a"], "entities": [[0, 1, "X"]]},
        {"text": TEXT, "entities": [[0, 1]]},
    ],
)
def test_other_rows_are_none_of_it(row):
    assert marked_entities(row) is None


def test_names_of_tags_are_all_of_their_scheme():
    rows = [
        of_tokens("", ["a"] * 3, ["B-PER", "O", "B-LOC"]),
        of_entities("", {"text": "x", "entities": [[0, 1, "A"]]}),
    ]
    assert tag_names(rows, "BIO") == ["O", "B-A", "I-A", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    assert tag_names([of_tokens("", ["a"], ["S-X"])], "BIOES") == ["O", "B-X", "E-X", "I-X", "S-X"]
    assert tag_names([of_tokens("", ["a", "b"], ["VERB", "NOUN"])], "") == ["NOUN", "VERB"]


COLUMNS = {"text": ("tokens",), "label": ("ner_tags",)}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"tokens": ["a"], "ner_tags": "O"}, "'ner_tags' must be a list of as many tags"),
        ({"tokens": 3, "ner_tags": ["O"]}, "'tokens' must be a text, or a list of its words"),
        ({"tokens": "a b", "ner_tags": ["O", "O"]}, "'ner_tags' must be a list of entities"),
        ({}, "'tokens' must be a text"),
    ],
)
def test_a_row_in_no_form_is_refused(row, said):
    with pytest.raises(BertkitError, match=said):
        tagged_row(("a:1", row), COLUMNS, ())


def test_a_row_is_read_in_either_form_or_without_labels():
    listed = tagged_row(("a:1", {"tokens": ["a", "b"], "ner_tags": [1, 0]}), COLUMNS, ["O", "B-X"])
    marked = tagged_row(("a:1", {"tokens": "a b", "ner_tags": [[0, 1, "X"]]}), COLUMNS, ())
    assert listed.tags == with_words(marked, [(0, 1), (2, 3)]).tags == ["B-X", "O"]
    assert tagged_row(("a:1", {"tokens": "a b"}), {"text": ("tokens",)}, ()) == TaggedRow("a:1", "a b")


def test_rows_that_differ_in_their_place_alone_have_equal_labels():
    assert of_tokens("a:1", ["x"], ["O"]) == of_tokens("a:2", ["x"], ["O"]) != of_tokens("a:1", ["x"], ["B-PER"])


def test_bilou_by_number_is_read_as_bioes_and_said_once(capsys):
    console.note_once.cache_clear()
    names = ("O", "B-PER", "I-PER", "L-PER", "U-PER")
    rows = [("a:1", {"tokens": ["Ana", "in", "New", "York"], "ner_tags": [4, 0, 1, 3]})] * 2
    task = TaskSettings(labels=names)
    head = TokenHead.fit(rows, COLUMNS, task)
    assert (head.label_names, head.scheme) == (["O", "B-PER", "I-PER", "E-PER", "S-PER"], "BIOES")
    assert head.labels(rows, COLUMNS)[0].tags == ["S-PER", "O", "B-PER", "E-PER"]
    assert "1 type of entities in BIOES: PER" in head.described(Split("train", [], head.labels(rows, COLUMNS)))
    assert capsys.readouterr().err.count("tags in BILOU") == 1
    of_others = TokenHead.of_model({"id2label": dict(enumerate(names))})
    assert of_others.labels(rows, COLUMNS)[0].tags == ["S-PER", "O", "B-PER", "E-PER"]
    assert (of_others.label_names, of_others.scheme) == (head.label_names, head.scheme)
