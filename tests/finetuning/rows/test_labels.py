"""Labels of whole columns, against what a person means by them."""

import numpy as np
import pytest

from bertkit.errors import BertkitError
from bertkit.finetuning.features import Split
from bertkit.finetuning.rows.labels import find_labelling
from bertkit.finetuning.rows.table_check import check_table
from bertkit.settings.schema import TaskSettings

SEVERAL, ONE, NUMBER = "multi_label_classification", "single_label_classification", "regression"


def rows_of(values):
    return [(f"a.csv:{line}", {"label": value}) for line, value in enumerate(values, 2)]


def learned(values, **task):
    rows = rows_of(values)
    labelling = find_labelling(rows, ["label"], TaskSettings(**task))
    return labelling.kind, labelling.names, labelling.encode(rows, ["label"])


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["007", "7", "0010", "10"], ["0010", "007", "10", "7"]),
        (["1_1", "11", "2_1"], ["11", "1_1", "2_1"]),
        (["1E1", "10", "2E0", "2"], ["10", "1E1", "2", "2E0"]),
        (["+1", "1", "١٢", "12"], ["+1", "1", "12", "١٢"]),
        (["10", "9", "-1"], ["-1", "9", "10"]),
        (["1.10", "v2", "1.1"], ["1.1", "1.10", "v2"]),
        ([1.0, 0.0, 2.0], ["0", "1", "2"]),
        (["1.0", "0.0", "10.0", "2.0"], ["0.0", "1.0", "2.0", "10.0"]),
        (["a|b", "a", "b"], ["a", "a|b", "b"]),
        (["[other]", "a"], ["[other]", "a"]),
    ],
)
def test_classes_stay_as_written(values, names):
    kind, found, encoded = learned(values * 2)
    assert (kind, found) == (ONE, names)
    assert [found[id_] for id_ in encoded] == [str(int(one)) if isinstance(one, float) else one for one in values * 2]


def test_decimal_codes_are_numbers_unless_they_are_said_to_be_classes():
    values = ["250.00", "250.0", "401.9", "428.0"]
    assert learned(values)[0] == NUMBER
    assert learned(values, problem_type=ONE)[1] == ["250.0", "250.00", "401.9", "428.0"]
    assert learned(["+1", "007", "1E1"], problem_type=NUMBER)[2].tolist() == [1, 7, 10]


@pytest.mark.parametrize("write", [list, str, tuple, lambda row: str(tuple(row)), lambda row: [float(x) for x in row]])
def test_flags_by_position_are_their_lists(write):
    flags = [[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]]
    kind, names, encoded = learned([write(row) for row in flags])
    assert (kind, names) == (SEVERAL, ["0", "1", "2"])
    assert encoded.tolist() == flags
    assert learned([write(row) for row in flags], labels=("x", "y", "z"))[1] == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (["['b', 'a']", "[]", '["c"]'], {}),
        (["b|a", "", "c"], {"problem_type": SEVERAL}),
        (["b, a", "", "c"], {"problem_type": SEVERAL}),
        (["b;a", "", "c"], {"problem_type": SEVERAL}),
        *(([f"b{mark} a", "", "c"], {"problem_type": SEVERAL}) for mark in "\u060c\u061b\u1363\u3001\uff0c\uff1b"),
    ],
)
def test_several_names_a_cell(values, task):
    kind, names, encoded = learned(values, **task)
    assert (kind, names, encoded.tolist()) == (SEVERAL, ["a", "b", "c"], [[1, 1, 0], [0, 0, 0], [0, 0, 1]])


def test_a_name_that_holds_a_comma_stays_whole_where_bars_separate():
    assert learned(["a, b|c", "c"], problem_type=SEVERAL)[2].tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("empty", [None, "", "nan", float("nan")])
def test_missing_labels_are_refused_all_at_once(empty):
    with pytest.raises(BertkitError, match=r"2 of 5 rows have no label in column 'label': a\.csv:3, 6; fill them in"):
        learned([0.5, empty, 1.5, 2.5, empty])
    with pytest.raises(
        BertkitError, match=r"1 of 3 rows .* where a cell holds several, use --set task.problem_type=multi"
    ):
        learned(["a, b", empty, "a"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["0,5", "1,5", "2"], r"a\.csv:2: the label '0,5' is a number with a comma"),
        (["2", "0,5", "2.5"], r"a\.csv:3: the label '0,5' is a number with a comma, and all are numbers"),
        (["1.234,5", "7"], r"a\.csv:2: the label '1\.234,5' is a number with a comma"),
        (["3", "1,200,000"], r"a\.csv:3: the label '1,200,000' is a number with a comma"),
        (["[0 1]", "[1 0]"], r"a\.csv:2: the label \[0 1\] looks like a list, but is none in JSON"),
        (["a", "['b']", "c"], r"a\.csv:3: the label \['b'\] looks like a list, which those of other rows are not"),
        (["a", ["b"], "c"], r"a\.csv:3: the label 'label' is a list of 1, not a class"),
        ([["a"], [["b"]]], r"a\.csv:3: a label in 'label' is a list of 1, not a name"),
    ],
)
def test_labels_that_can_be_read_in_two_ways_are_refused(values, message):
    with pytest.raises(BertkitError, match=message):
        learned(values)


def test_numbers_that_have_names_are_classes_however_many():
    rows = [(f"a.csv:{n}", {"label": n}) for n in range(60)]
    assert find_labelling(rows, ["label"], TaskSettings()).kind == "regression"
    names = tuple(f"intent{n}" for n in range(60))
    labelling = find_labelling(rows, ["label"], TaskSettings(labels=names))
    assert (labelling.kind, labelling.names) == ("single_label_classification", list(names))
    assert labelling.encode(rows, ["label"]).tolist() == list(range(60))


def test_a_name_that_only_looks_like_a_class_is_said_to():
    rows = [("a.csv:2", {"label": "caf\u00e9"}), ("a.csv:3", {"label": "th\u00e9"})]
    labelling = find_labelling(rows, ["label"], TaskSettings())
    with pytest.raises(
        BertkitError, match="b:1: unknown label .* looks like one of them, but consists of other characters"
    ):
        labelling.encode([("b:1", {"label": "cafe\u0301"})], ["label"])
    with pytest.raises(BertkitError) as error:
        labelling.encode([("b:1", {"label": "cafe"})], ["label"])
    assert "looks like" not in str(error.value)


def test_flag_columns_are_zero_and_one_or_true_and_false():
    rows = [("a:2", {"x": "1", "y": "False"}), ("a:3", {"x": "0", "y": "True"}), ("a:4", {"x": 1, "y": True})]
    labelling = find_labelling(rows, ["x", "y"], TaskSettings())
    assert np.array_equal(labelling.encode(rows, ["x", "y"]), [[1, 0], [0, 1], [1, 1]])


def test_classes_with_the_names_0_and_1_are_no_flags_where_one_row_is_none():
    _, names, encoded = learned([[0], [1], [0, 1], [1, 0], []])
    assert (names, encoded.tolist()) == (["0", "1"], [[1, 0], [0, 1], [1, 1], [1, 1], [0, 0]])
    assert learned([[0, 1], [1, 0], [1, 1]])[2].tolist() == [[0, 1], [1, 0], [1, 1]]  # all can be flags: they are


def test_a_number_is_a_class_by_its_place_only_where_no_class_is_a_number():
    labelling = find_labelling(rows_of(["1", "2", "3", "none"]), ["label"], TaskSettings())
    with pytest.raises(BertkitError, match="unknown label '0'"):
        labelling.encode(rows_of(["0"]), ["label"])
    named = find_labelling(rows_of(["no", "yes"]), ["label"], TaskSettings())
    assert named.encode(rows_of(["1", 0]), ["label"]).tolist() == [1, 0]


def test_lists_as_numpy_prints_them_are_refused_and_their_names_not_joined():
    with pytest.raises(BertkitError, match="looks like a list"):
        learned(["['joy' 'love']", "['joy']", "['anger' 'joy']"])


def test_a_set_is_no_label():
    with pytest.raises(
        BertkitError, match=r"a\.csv:2: the label 'label' is a set of 2 \(make it a list\), not a class"
    ):
        learned([{"a", "b"}, {"a", "c"}])
    with pytest.raises(BertkitError, match=r"a\.csv:2: the label 'label' is a set of 1"):
        learned([frozenset("a"), frozenset("b")], problem_type=ONE)


@pytest.mark.parametrize(
    ("trained", "values", "ids"),
    [
        (
            ["False", "True"],
            [True, False, "False", "true"],
            [1, 0, 0, 1],
        ),  # pandas reads what a CSV has as truth values
        ([False, True], ["TRUE", "False", True], [1, 0, 1]),
        (["0.0", "1.0", "2.0"], [1.0, 2, "0", "1.0"], [1, 2, 0, 1]),
        (["5", "3"], ["3.0", 5.0, "5"], [0, 1, 1]),
        (["1", "1.0", "2"], ["1.0", "1", 2.0], [1, 0, 2]),  # two names are two classes
    ],
)
def test_a_class_is_the_same_as_a_value_and_as_text(trained, values, ids):
    labelling = find_labelling(rows_of(trained), ["label"], TaskSettings(problem_type=ONE))
    assert labelling.encode(rows_of(values), ["label"]).tolist() == ids


def test_an_unknown_truth_value_is_named_as_classes_are():
    with pytest.raises(BertkitError, match="unknown label 'false'; training has no, yes$"):
        find_labelling(rows_of(["no", "yes"]), ["label"], TaskSettings()).encode(rows_of([False]), ["label"])


def test_a_class_without_a_column_is_refused_by_its_name():
    rows = [("a.csv:2", {"joy": 1, "anger": 0, "fear": 1})]
    labelling = find_labelling(rows, ["joy", "anger", "fear"], TaskSettings())
    assert labelling.encode(rows, ["fear", "joy", "anger"]).tolist() == [[1, 0, 1]]
    with pytest.raises(
        BertkitError, match=r"""fear has none that is read: .* --set 'task.label=\["joy", "anger", "fear"\]'"""
    ):
        labelling.encode(rows, ["joy", "anger"])


def test_a_number_in_other_digits_is_refused_with_the_way_to_write_it():
    rows = rows_of(["\u06f1\u066b\u06f3\u06f7"])
    with pytest.raises(BertkitError, match="is no number: write it with the digits 0 to 9, a point and the sign -"):
        find_labelling(rows, ["label"], TaskSettings(problem_type="regression")).encode(rows, ["label"])


def test_the_few_cells_that_are_no_numbers_are_named():
    def described(values):
        labelling = find_labelling(rows_of(values), ["label"], TaskSettings())
        split = Split("train", [("a",)] * len(values), labelling.encode(rows_of(values), ["label"]))
        return check_table([split], labelling.names, labelling.kind).described()

    scores = [f"{1 + n % 41 / 10:.1f}" for n in range(299)]
    assert "all are numbers but 'n/a' (1): without" in described([*scores, "n/a"])
    assert "a regression" in described(scores)
    assert "all are numbers" not in described(["1", "2", "none"] * 5)


@pytest.mark.parametrize("empty", [None, float("nan"), ""])
def test_an_empty_label_in_a_list_is_no_class(empty):
    with pytest.raises(BertkitError, match="a label in the list 'label' is empty"):
        learned([["a"], ["b", empty], ["a", "b"]])
    with pytest.raises(BertkitError, match="a label in the list 'label' is empty"):
        learned([[0, 1], [empty, 1]])


def test_shares_are_no_classes():
    with pytest.raises(BertkitError, match=r"the label 'label' is a list of shares, .*: \[0.2, 0.8\]"):
        learned([[0.2, 0.8], [1, 0.0]])


def test_a_class_called_nan_is_said_to_be_taken_for_an_empty_cell():
    with pytest.raises(BertkitError, match="no label in column 'label': a.csv:3; .*'Nan' is taken for an empty cell"):
        learned(["pita", "Nan", "roti", "pita"])
