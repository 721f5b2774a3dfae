"""Entities and their figures, against seqeval (the field's reference), and by hand."""

import random

import pytest
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities

from bertkit.finetuning.entities import (
    Entity,
    entities,
    entity_scores,
    repaired,
    scheme_of,
    split_tag,
    tags_of,
)
from bertkit.finetuning.features import Split
from bertkit.finetuning.heads.token import TokenHead

TAGS = {
    "BIO": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    "BIOES": ["O"] + [f"{prefix}-{label}" for prefix in "BIES" for label in ("PER", "LOC", "x-y")],
}


def rows(scheme, seed, number=200):
    """Random rows, most of which are not valid by any scheme."""
    draw = random.Random(seed)
    return [[draw.choice(TAGS[scheme]) for _ in range(draw.randint(0, 12))] for _ in range(number)]


@pytest.mark.parametrize("scheme", TAGS)
def test_entities_are_those_of_seqeval(scheme):
    for tags in rows(scheme, 1, 2_000):
        theirs = [(begin, last + 1, label) for label, begin, last in get_entities(tags)]
        assert [(one.begin, one.end, one.label) for one in entities(tags)] == theirs


@pytest.mark.parametrize("scheme", TAGS)
@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_seqeval(scheme, seed):
    right, predicted = rows(scheme, seed), [list(tags) for tags in rows(scheme, seed)]
    draw = random.Random(seed)
    for tags in predicted:
        for place in range(len(tags)):
            if draw.random() < 0.2:
                tags[place] = draw.choice(TAGS[scheme])
    scores = entity_scores([entities(tags) for tags in predicted], [entities(tags) for tags in right])
    report = classification_report(right, predicted, output_dict=True)
    assert scores.keys() == report.keys() - {"micro avg", "macro avg", "weighted avg"}
    for label in scores:
        assert scores[label]["precision"] == pytest.approx(report[label]["precision"], abs=1e-12)
        assert scores[label]["recall"] == pytest.approx(report[label]["recall"], abs=1e-12)
        assert scores[label]["f1"] == pytest.approx(report[label]["f1-score"], abs=1e-12)
        assert scores[label]["support"] == report[label]["support"]


def test_an_entity_may_begin_with_what_goes_on():
    tags = ["I-PER", "O", "B-LOC", "I-LOC", "I-PER"]
    assert entities(tags) == [Entity(0, 1, "PER"), Entity(2, 4, "LOC"), Entity(4, 5, "PER")]


@pytest.mark.parametrize(
    ("tagged", "scheme"),
    [
        ([["B-PER", "I-PER", "O", "B-LOC"]], "BIO"),
        ([["I-PER", "I-PER", "O", "I-LOC", "B-LOC"]], "IOB1"),
        ([["S-PER", "O", "B-LOC", "E-LOC"]], "BIOES"),
        ([["NOUN", "VERB", "ADP-x"]], ""),
        ([["O", "O"]], ""),
        ([["B-PER", "I-PER"]] * 9 + [["O", "I-PER"]], "BIO"),
    ],
)
def test_the_scheme_is_told_from_the_tags(tagged, scheme):
    assert scheme_of(tagged) == scheme


def test_one_entity_in_iob1_and_in_bio_is_the_same():
    iob1, bio = ["I-PER", "I-PER", "B-PER", "O"], ["B-PER", "I-PER", "B-PER", "O"]
    assert entities(iob1) == entities(bio) == [Entity(0, 2, "PER"), Entity(2, 3, "PER")]
    assert tags_of(entities(iob1), 4) == bio


def test_what_goes_on_with_nothing_begins():
    assert repaired(["I-PER", "I-PER", "O", "E-LOC", "I-X", "E-X"], "BIOES") == [
        "B-PER", "I-PER", "O", "S-LOC", "B-X", "E-X"
    ]  # fmt: skip
    for tags in rows("BIO", 4):
        assert repaired(repaired(tags, "BIO"), "BIO") == repaired(tags, "BIO")
        assert entities(repaired(tags, "BIO")) == entities(tags)
        assert repaired(tags, "IOB1") == tags


def test_a_type_may_hold_a_dash():
    assert split_tag("B-geo-loc") == ("B", "geo-loc")


def test_nothing_said_is_no_division_by_zero():
    one = [Entity(0, 1, "PER")]
    for predicted, right, support in (([one], [[]], 0), ([[]], [one], 1)):
        assert entity_scores(predicted, right) == {
            "PER": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": support}
        }
    assert entity_scores([[]], [[]]) == {}


@pytest.mark.parametrize(
    ("tags", "alike"),
    [
        (["O", "B", "I"], True),
        (["B", "I", "O", "E", "S"], True),
        (["o", "b-per", "i-per"], True),
        (["O", "B_PER", "I_PER"], True),
        (["O", "PER-B", "PER-I"], True),
        (["ADJ", "NOUN", "VERB"], False),
        (["NN", "B", "I"], False),
        (["O"], False),
        (["O", "B-PER", "I-PER"], False),  # these are entities
    ],
)
def test_tags_that_only_look_like_entities_are_said_to_be_none(tags, alike):
    head = TokenHead(tags, scheme_of([tags]))
    assert ("no entities, as these are not written PREFIX-TYPE" in head.described(Split("train", [], []))) is alike
