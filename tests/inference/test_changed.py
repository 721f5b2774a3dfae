"""What is said of characters that a model's tokenizer changes, against counts by Unicode's own tables."""

import unicodedata

import pytest
from helpers.stores import SPECIAL

from bertkit.inference.changed import ChangedCharacters
from bertkit.models.tokenizer import build_tokenizer


def said(capsys: pytest.CaptureFixture[str], text: str, strip_accents: bool = True, name: str = "") -> str:
    changed = ChangedCharacters(build_tokenizer(SPECIAL, True, strip_accents=strip_accents).backend_tokenizer)
    for word in text.split():
        changed.add(word)
    changed.say(name)
    told = " ".join(capsys.readouterr().err.split())
    changed.say(name)  # which counts anew
    assert capsys.readouterr().err == ""
    return told


@pytest.mark.parametrize("text", ["Été à Köln", "हैं हूँ माँ", "سأل مَدْرَسَةٌ"])
def test_stripped_marks_are_counted_and_are_a_warning(capsys, text):
    lowered = "".join(text.split()).lower()
    marked = [one for one in lowered if unicodedata.category(unicodedata.normalize("NFD", one)[-1]) == "Mn"]
    told = said(capsys, text, name="train")
    assert told.startswith(
        f"warning: of {len(lowered)} characters in train {len(marked)} are changed by the model's tokenizer"
    )
    assert f"({len(marked) / len(lowered):.2%})" in told
    assert said(capsys, text, strip_accents=False) == ""


def test_a_mark_is_shown_on_a_circle_and_what_is_invisible_by_its_number(capsys):
    told = said(capsys, "\u0939\u0948 \u0939\u0948 a\u200cb")
    assert "\u25cc\u0948 → nothing, U+200C → nothing;" in told
    assert "(a model that learned its own (bertkit pretrain) keeps them)" in told


def test_no_tokenizer_is_promised_for_what_every_one_drops(capsys):
    told = said(capsys, "می\u200cخواهم soft\u00adhyphen", strip_accents=False)
    assert "2 are changed" in told
    assert told.endswith("read alike (as by every BERT tokenizer)")


def test_syllables_that_are_taken_apart_are_not_read_alike(capsys):
    assert said(capsys, "가나다 한국어") == ""


def test_few_are_a_note_and_lone_surrogates_are_left_to_others(capsys):
    told = said(capsys, "caf\u00e9 \ud83d " + "word " * 100)
    assert told.startswith("of 405 characters 1 is changed")
