"""What is held out: the very rows of scikit-learn where all texts differ, else whole groups of equal texts."""

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from bertkit.errors import BertkitError
from bertkit.finetuning.rows.held_out import held_out, never_held_out


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("several", [False, True])
def test_different_texts_are_drawn_as_ever(seed, several):
    labels = np.arange(80) % 3
    given = np.eye(3, dtype=np.float32)[labels] if several else labels
    kept, held = train_test_split(
        np.arange(80), test_size=0.25, random_state=seed, stratify=None if several else labels
    )
    assert held_out([(f"t{n}",) for n in range(80)], given, 0.25, seed) == (sorted(kept), sorted(held))


@pytest.mark.parametrize("seed", range(5))
def test_equal_texts_are_on_one_side_and_the_share_is_kept_in_each_class(seed):
    rng = np.random.default_rng(seed)
    texts = [(f"t{n}",) for n in rng.integers(0, 400, size=1_000)]
    labels = np.array([int(text[1:]) % 4 == 0 for (text,) in texts], dtype=np.int64)
    kept, held = held_out(texts, labels, 0.2, seed)
    assert sorted(kept + held) == list(range(1_000))
    assert not {texts[row] for row in kept} & {texts[row] for row in held}
    largest = max(map(texts.count, texts))
    for class_ in (0, 1):
        assert abs((labels[held] == class_).sum() - 0.2 * (labels == class_).sum()) <= largest
    assert held_out(texts, labels, 0.2, seed) == (kept, held)
    assert held_out(texts, labels, 0.2, seed + 1) != (kept, held)


def test_a_text_that_is_most_of_the_rows_is_trained_on():
    kept, held = held_out([("same",)] * 80 + [(f"t{n}",) for n in range(20)], np.arange(100) % 2, 0.1, 1)
    assert len(held) == 10
    assert min(held) >= 80
    with pytest.raises(
        BertkitError, match=r"cannot hold out 0\.1 of 9 rows, whose different texts are 1: give a larger share"
    ):
        held_out([("same",)] * 9, np.zeros(9, dtype=np.int64), 0.1, 1)


def test_classes_of_a_single_row_are_named():
    names = ["a", "b", "c"]
    assert never_held_out(np.array([0, 1, 0]), np.array([1, 0]), names) == ""
    said = never_held_out(np.array([0, 0, 1, 2]), np.array([0]), names)
    assert said == "classes of a single row, which is trained on, so that none is held out (2): b, c"
    many = never_held_out(np.arange(1, 31), np.array([0]), [f"c{n}" for n in range(31)])
    assert many.endswith(" (30): " + ", ".join(f"c{n}" for n in range(1, 13)) + ", …")
    assert never_held_out([["a"]], [["b"]], names) == ""  # several labels a row, or tags
    assert never_held_out(np.array([0, 1]), np.array([2]), []) == ""  # the numbers of choices


def test_questions_that_differ_in_their_id_alone_are_equal_texts():
    texts = [{"question": f"who is {n // 6}?", "context": "he", "id": str(n)} for n in range(60)]
    kept, held = held_out(texts, [None] * 60, 0.5, 1)
    assert not {n // 6 for n in kept} & {n // 6 for n in held}
    assert kept
    assert held


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("repeats", [False, True])
def test_a_class_of_one_row_is_trained_on_and_the_others_are_stratified(seed, repeats):
    labels = np.array([0] * 80 + [1] * 20 + [2])
    texts = [(f"t{n % 100 // (2 if repeats else 1) if n < 100 else n}",) for n in range(101)]
    kept, held = held_out(texts, labels, 0.5, seed)
    assert np.bincount(labels[held], minlength=3).tolist() == [40, 10, 0]
    assert sorted(kept + held) == list(range(101))
    told = "classes of a single row, which is trained on, so that none is held out (1): c"
    assert never_held_out(labels[kept], labels[held], ["a", "b", "c"]) == told
    flags = np.eye(3, dtype=np.float32)[labels]  # the same as one of several classes a row
    assert never_held_out(flags[kept], flags[held], ["a", "b", "c"]) == told


def test_too_many_classes_for_the_share_are_disregarded_and_that_is_said(capsys):
    labels = np.array([*range(20), *range(20), 20])
    kept, held = held_out([(f"t{n}",) for n in range(41)], labels, 0.1, 1)
    assert (len(kept), len(held)) == (36, 5)
    assert "held out without regard to classes: with one of each to train on, too few rows would be left" in " ".join(
        capsys.readouterr().err.split()
    )
    # The only class of two rows has equal ones, of which a tenth cannot be held out.
    texts = [*((f"t{n}",) for n in range(18)), ("same",), ("same",)]
    kept, held = held_out(texts, np.array([*range(18), 18, 18]), 0.1, 1)
    assert 1 <= len(held) <= 3
    assert sorted(kept + held) == list(range(20))
    assert "held out without regard to classes" in " ".join(capsys.readouterr().err.split())
