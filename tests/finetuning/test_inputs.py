"""Rows to be predicted, by hand."""

import json

import pytest

from bertkit.errors import BertkitError
from bertkit.finetuning import inputs
from bertkit.finetuning.inputs import read_texts


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_texts_to_predict_come_from_lines_and_tables(tmp_path):
    assert list(read_texts(str(write(tmp_path, "a.txt", "one\n\ntwo\n")), ())) == [("one",), ("",), ("two",)]
    table = str(write(tmp_path, "a.csv", "id,sentence\n1,one\n"))
    assert list(read_texts(table, ())) == [("one",)]
    with pytest.raises(BertkitError, match="no column 'body'"):
        list(read_texts(table, ("body",)))


def test_a_list_is_no_text_to_predict(tmp_path):
    with pytest.raises(BertkitError, match="not a text"):
        list(read_texts(str(write(tmp_path, "a.jsonl", json.dumps({"text": ["a"]}))), ("text",)))


@pytest.mark.parametrize("value", ["null", "NaN"])
def test_a_missing_text_is_refused_with_its_place(tmp_path, value):
    table = write(tmp_path, "a.jsonl", f'{{"text": "a"}}\n{{"text": {value}}}\n')
    with pytest.raises(BertkitError, match="a.jsonl:2"):
        list(read_texts(str(table), ()))


def test_a_long_document_on_a_line_is_read_whole_and_an_endless_one_is_cut_and_counted(tmp_path, monkeypatch, capsys):
    words = " ".join(f"word{number}" for number in range(120_000))  # over a megabyte, of which readers hand out parts
    path = str(write(tmp_path, "a.txt", f"one\n\n{words}\ntwo\n"))
    assert list(read_texts(path, ())) == [("one",), ("",), (words,), ("two",)]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(inputs, "LONGEST_LINE_CHARS", 500_000)
    assert list(read_texts(path, ())) == [("one",), ("",), (words[:500_000],), ("two",)]
    assert "lines of over 500,000 characters, of which the beginning is read: 1" in " ".join(
        capsys.readouterr().err.split()
    )
