"""What is said of documents without sentence pairs."""

import pytest
from helpers.run_texts import SHAPES, data_of, text_of

from bertkit.pretraining.pair_notes import say_no_held_out_pairs, say_pairs


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (
            "rows",
            "no document to train on has two sentences, so there are no pairs: the next-sentence head and the pooler",
        ),
        ("rows and short documents", "5 of 7 documents to train on have no second sentence"),
        ("one short document", "is a single document, too short for a random next sentence"),
        ("short documents", ""),
        ("one long document", ""),
    ],
)
def test_a_head_that_learns_nothing_or_little_is_said(tmp_path, capsys, shape, told):
    text = text_of(tmp_path, SHAPES[shape])
    say_pairs([text], data_of("none"))
    assert capsys.readouterr().err == ""
    say_pairs([text], data_of("nsp"))
    said = " ".join(capsys.readouterr().err.split())
    assert told in said if told else said == ""
    assert said.count("--set data.sentence_objective=none") == bool(told)


@pytest.mark.parametrize(
    ("shape", "objective", "told"),
    [
        (
            "one short document",
            "nsp",
            "the text held out is a single document, too short for a random next sentence from a far",
        ),
        (
            "rows",
            "nsp",
            "no document held out has two sentences, so there are no pairs: no next-sentence figures of examples",
        ),
        ("one short document", "sop", ""),
        ("one short document", "none", ""),
        ("one long document", "nsp", ""),
        ("short documents", "nsp", ""),
    ],
)
def test_why_held_out_text_has_no_figures_of_pairs_is_said(tmp_path, capsys, shape, objective, told):
    say_no_held_out_pairs([text_of(tmp_path, SHAPES[shape])], data_of(objective, 512), 24)
    heard = " ".join(capsys.readouterr().err.split())
    assert told in heard if told else heard == ""
    assert heard.count("--validation FILE") == bool(told)
