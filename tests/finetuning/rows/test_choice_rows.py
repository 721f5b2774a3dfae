"""Choices and the right one, by hand."""

import pytest

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.heads.choice import ChoiceHead
from bertkit.finetuning.rows.choice_rows import choices_of, refuse_two_readings, right_choice, told_empty
from bertkit.settings.schema import TaskSettings

LISTED = {"choices": ("choices",), "label": ("label",)}
NUMBERED = {"label": ("label",)}


def numbered(*texts):
    return "a:1", {f"ending{at}": text for at, text in enumerate(texts)}


@pytest.mark.parametrize("empty", [None, "", " ", float("nan")])
def test_choices_that_are_empty_at_the_end_are_none(empty):
    row = numbered("a", "b", empty, empty)
    assert choices_of(row, NUMBERED) == ["a", "b"]
    assert choices_of(("a:1", {"choices": ["a", "b", empty]}), LISTED) == ["a", "b"]
    (told,) = told_empty([row, numbered("a", "b", "c")], NUMBERED, "train")
    assert told.endswith("are left out: 1")
    assert told_empty([numbered("a", "b", "c")], NUMBERED, "train") == []
    with pytest.raises(BertkitError, match=r"a:1: 'ending1' is empty, and a choice behind it is not"):
        choices_of(numbered("a", empty, "c"), NUMBERED)
    with pytest.raises(BertkitError, match=r"a:1: 'choices'\[0\] is empty"):
        choices_of(("a:1", {"choices": [empty, "b"]}), LISTED)
    with pytest.raises(BertkitError, match="a:1 has 1 choice: there must be two at least"):
        choices_of(numbered("a", empty), NUMBERED)


def test_a_label_that_is_of_an_empty_choice_is_refused():
    place, row = numbered("a", "b", "", "")
    with pytest.raises(
        BertkitError, match="a:1: the label '2' is none of 2 choices: give a number from 0 to 1, a letter, or its text"
    ):
        right_choice((place, row | {"label": 2}), NUMBERED)
    with pytest.raises(BertkitError, match="the label 'D' is none of 2 choices"):
        right_choice((place, row | {"label": "D"}), NUMBERED)


def named(names, key):
    return "a:1", {"choices": {"text": ["w", "x", "y", "z"], "label": names}, "label": key}


@pytest.mark.parametrize(
    ("names", "key", "number"),
    [
        (["1", "2", "3", "4"], "2", 1),
        (["1", "2", "3", "4"], 2, 1),
        (["1", "2", "3", "4"], 2.0, 1),
        ([1, 2, 3, 4], "4", 3),
        (["A", "B", "C", "D"], "C", 2),
        (["A", "B", "C", "D"], " c", 2),
        (["A", "B", "C", "D"], 2, 2),
    ],
)
def test_a_key_is_found_among_the_names_of_choices_however_it_is_stored(names, key, number):
    assert right_choice(named(names, key), LISTED) == number


@pytest.mark.parametrize(
    ("names", "key"), [(["1", "2", "3", "4"], 0), (["1", "2", "3", "4"], "A"), (["A", "B", "C", "D"], "E")]
)
def test_a_key_that_is_no_name_is_refused(names, key):
    with pytest.raises(BertkitError, match=f"the label '{key}' is none of 4 choices: give one of {', '.join(names)}"):
        right_choice(named(names, key), LISTED)


def test_without_names_a_key_is_a_number_from_0_or_a_letter():
    for key, number in (("1", 1), (1, 1), (1.0, 1), ("b", 1), ("A", 0)):
        assert right_choice(("a:1", {"choices": ["x", "y"], "label": key}), LISTED) == number


FAMILIES = {"question": "what", "ending0": "stone", "ending1": "car", "ending2": "fish", "label": 2}


def test_columns_of_another_name_are_no_further_choices(capsys):
    columns = {"text": ("question",), "label": ("label",)}
    console.note_once.cache_clear()
    alone = "a:1", FAMILIES | {"answer_1": "yes"}
    assert choices_of(alone, columns) == ["stone", "car", "fish"]
    assert ChoiceHead.takes(alone[1], TaskSettings())
    assert ChoiceHead().input(alone, columns)["choices"] == ["stone", "car", "fish"]
    assert ChoiceHead().input(("a:2", {"question": "", "option_2": "b", "option_1": "a"}), columns)["choices"] == [
        "a",
        "b",
    ]
    assert capsys.readouterr().err.splitlines() == ["choices: ending0, ending1, …", "choices: option_1, option_2, …"]
    both = "a:1", FAMILIES | {"answer_2": "no", "answer_1": "yes"}
    assert ChoiceHead.takes(both[1], TaskSettings())
    with pytest.raises(
        BertkitError, match=r"a:1: are the choices ending0 … ending2 or answer_1, answer_2\? leave the others"
    ):
        choices_of(both, columns)


def test_columns_that_are_alone_with_their_names_are_no_choices():
    row = {"question": "what", "ending0": "a", "answer1": "b", "label": 0}
    assert not ChoiceHead.takes(row, TaskSettings())
    with pytest.raises(BertkitError, match="a:1: are the choices ending0 or answer1"):
        choices_of(("a:1", row), NUMBERED)
    with pytest.raises(BertkitError, match="a:1 has 1 choice"):
        choices_of(("a:1", {"ending0": "a", "label": 0}), NUMBERED)


def test_a_choice_may_be_given_by_its_text():
    row = {"choices": ["tea", "a shoe"], "label": "a shoe"}
    columns = {"choices": ("choices",), "label": ("label",)}
    assert right_choice(("a:1", row), columns) == 1
    assert right_choice(("a:1", {"choices": ["10", "12"], "label": 12}), columns) == 1
    named = {"choices": {"text": ["B", "A"], "label": ["A", "B"]}, "label": "A"}
    assert right_choice(("a:1", named), columns) == 0  # a name comes before a text


def test_labels_that_are_numbers_and_texts_of_choices_are_refused():
    columns = {"choices": ("choices",), "label": ("label",)}
    rows = [("a:1", {"choices": ["0", "1"], "label": "1"}), ("a:2", {"choices": ["2", "3", "0"], "label": "2"})]
    with pytest.raises(BertkitError, match="a:2: the label '2' is the text of a choice, .* that of another, '0'"):
        refuse_two_readings(rows, columns)
    rows.append(("a:3", {"choices": ["5", "6"], "label": 0}))
    refuse_two_readings(rows, columns)  # of which one can only be a number


@pytest.mark.parametrize("empty", [None, float("nan"), " "])
def test_a_missing_answer_is_not_the_choice_called_none(empty):
    texts = (("cat", "None", "dog"), ("a", "b", "nan"))
    rows = [(f"r:{number}", {"choices": [*one], "label": empty}) for number, one in enumerate(texts)]
    with pytest.raises(BertkitError, match="2 of 2 rows have no label in column 'label': r:0, 1"):
        ChoiceHead().labels(rows, LISTED)
