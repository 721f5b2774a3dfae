"""Questions and answers in every form that people keep them in, by hand."""

import gzip
import json

import pytest

from bertkit.errors import BertkitError
from bertkit.finetuning.rows.question_rows import answers_of, nested_rows, stands_in

CONTEXT = "Ana moved to Oslo. Oslo is cold."
NESTED = {
    "version": "v2.0",
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": CONTEXT,
                    "qas": [
                        {"id": "q1", "question": "where?", "answers": [{"text": "Oslo", "answer_start": 13}]},
                        {"id": "q2", "question": "why?", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        }
    ],
}


@pytest.mark.parametrize(
    "given",
    [
        {"text": ["Oslo"], "answer_start": [13]},
        {"text": "Oslo", "answer_start": 13},
        [{"text": "Oslo", "answer_start": 13}],
    ],
)
def test_answers_in_each_form(given):
    found = answers_of("a:1", CONTEXT, given)
    assert (found.texts, found.starts, found.moved) == (["Oslo"], [13], 0)


@pytest.mark.parametrize("given", [{"text": [], "answer_start": []}, []])
def test_no_answer_is_an_answer(given):
    assert answers_of("a:1", CONTEXT, given).texts == []


@pytest.mark.parametrize(("said", "there"), [(12, 13), (14, 13), (18, 19), (0, 13), (-5, 13), (99, 19)])
def test_an_answer_that_stands_elsewhere_is_found_at_its_nearest_place(said, there):
    found = answers_of("a:1", CONTEXT, {"text": ["Oslo"], "answer_start": [said]})
    assert (found.starts, found.moved, found.ambiguous) == ([there], 1, 1)
    once = answers_of("a:1", CONTEXT, {"text": ["cold"], "answer_start": [said]})
    assert (once.moved, once.ambiguous) == (1, 0)


@pytest.mark.parametrize(
    ("given", "texts", "starts", "ambiguous"),
    [
        ("Oslo", ["Oslo"], [13], 1),
        (" Ana ", ["Ana"], [0], 0),
        (["cold", "Oslo"], ["cold", "Oslo"], [27, 13], 1),
        ("s", ["s"], [14], 1),
    ],
)
def test_answers_without_a_position_are_taken_where_they_stand_first(given, texts, starts, ambiguous):
    found = answers_of("a:1", CONTEXT, given)
    assert (found.texts, found.starts, found.moved) == (texts, starts, 0)
    assert (found.unplaced, found.ambiguous) == (len(texts), ambiguous)


def test_an_answer_stands_first_where_it_is_a_word_of_its_own():
    found = answers_of("a:1", "I know that no one came", "no")
    assert (found.starts, found.ambiguous) == ([12], 0)
    assert answers_of("a:1", "12 of 2", "2").starts == [6]


@pytest.mark.parametrize(("context", "answer"), [("他第1次去了北京市旅游。", "北京"), ("그는 서울에서 산다.", "서울")])
def test_scripts_without_small_letters_need_no_blanks_around_an_answer(context, answer):
    assert stands_in(answer, context)
    assert answers_of("a:1", context, answer).starts == [context.index(answer)]


def test_an_answer_without_a_position_may_stand_in_an_object():
    assert answers_of("a:1", CONTEXT, {"text": ["cold"]}).starts == [27]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"text": ["Rome"], "answer_start": [0]}, "a:1: the answer 'Rome' is not in its text"),
        ({"text": ["Oslo"], "answer_start": []}, "as many 'answer_start' as 'text'"),
        ({"text": ["Oslo"], "answer_start": ["13"]}, "the number of its first character"),
        ({"text": [""], "answer_start": [0]}, "must be a text"),
        ("Rome", "a:1: the answer 'Rome' is not in its text: .* use --head sequence"),
        (["Oslo", " "], "a:1: the answer '' is not in its text"),
        (["Oslo", 3], "as many 'answer_start' as 'text'"),
        (None, "a:1 has no answer: write \\[\\]"),
        ("", "a:1 has no answer: write \\[\\]"),
    ],
)
def test_what_cannot_be_read_is_named(given, said):
    with pytest.raises(BertkitError, match=said):
        answers_of("a:1", CONTEXT, given)


@pytest.mark.parametrize("name", ["squad.json", "squad.json.gz"])
def test_nested_json_is_read_question_by_question(tmp_path, name):
    data = json.dumps(NESTED).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    rows = list(nested_rows(path))
    assert [row["id"] for _, row in rows] == ["q1", "q2"]
    assert rows[0][1]["answers"] == [{"text": "Oslo", "answer_start": 13}]
    assert rows[1][1]["answers"] == []
    assert rows[0][0].endswith("article 1, question q1")


def test_other_files_are_none_of_it(tmp_path):
    for name, text in (("a.json", '[{"text": "x"}]'), ("a.jsonl", json.dumps(NESTED)), ("b.json", '{"a": 1}')):
        (tmp_path / name).write_text(text)
        assert nested_rows(tmp_path / name) is None


@pytest.mark.parametrize(
    "text", ['{"paragraphs": 1}', '{"data": [{"paragraphs": [{"qas": [{}]}]}]}', '{"data": [{"paragraphs": [{']
)
def test_a_broken_file_is_one_line(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(BertkitError, match=r"a.json is no SQuAD file") as error:
        list(nested_rows(path))
    assert "\n" not in str(error.value)


def test_halves_of_characters_are_replaced_and_said_once(tmp_path, capsys):
    path, halves = tmp_path / "squad.json", json.dumps(NESTED).replace("Ana", "\\ud83dna \\ud83d\\ude00")
    path.write_text(halves)
    rows = [row for _, row in nested_rows(path)]
    assert [row["context"] for row in rows] == ["\ufffdna 😀 moved to Oslo. Oslo is cold."] * 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"half characters (lone surrogates) read as U+FFFD: 1, first at {path}, article 1" in said
