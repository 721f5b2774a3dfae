"""Exact match and F1 against the rules of the official scripts, written out by hand, and against ``evaluate``'s copy of them."""

import random
import re
import string
from collections import Counter

import pytest

from bertkit.finetuning.answers import best_threshold, exact_match, f1, normalised, parts_of

WORDS = ["the", "a", "An", "Beatles", "new", "York", "city,", "1990", "U.S.", "--", "don't", "of", ""]


def official_normalize(text):
    """evaluate-v1.1.py, normalize_answer."""
    text = "".join(ch for ch in text.lower() if ch not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def official_f1(prediction, ground_truth):
    """evaluate-v2.0.py, compute_f1."""
    gold, pred = official_normalize(ground_truth).split(), official_normalize(prediction).split()
    same = sum((Counter(gold) & Counter(pred)).values())
    if len(gold) == 0 or len(pred) == 0:
        return int(gold == pred)
    if same == 0:
        return 0
    precision, recall = same / len(pred), same / len(gold)
    return 2 * precision * recall / (precision + recall)


def answers(seed, number=3_000):
    draw = random.Random(seed)
    return [" ".join(draw.choice(WORDS) for _ in range(draw.randint(0, 5))) for _ in range(number)]


def test_english_is_as_in_the_official_script():
    for said, one, other in zip(answers(1), answers(2), answers(3), strict=True):
        assert normalised(said) == official_normalize(said)
        assert f1(said, [one, other]) == pytest.approx(max(official_f1(said, one), official_f1(said, other)), abs=1e-12)
        right = {official_normalize(one), official_normalize(other)}
        assert exact_match(said, [one, other]) == float(official_normalize(said) in right)


@pytest.mark.parametrize(("said", "exact", "share"), [("", 1.0, 1.0), ("something", 0.0, 0.0), ("the", 1.0, 1.0)])
def test_a_question_without_an_answer(said, exact, share):
    assert (exact_match(said, []), f1(said, [])) == (exact, share)


def test_chinese_is_counted_by_characters_and_the_longest_stretch_in_common():
    assert parts_of("在北京，2008 年!") == ("在", "北", "京", "2008", "年")
    assert exact_match("北京。", ["北京"]) == 1.0
    # 北京 in common of 4 and 2 characters: 2 · 2 / 6. 京 and 北 apart would share one alone.
    assert f1("北京大学", ["北京"]) == pytest.approx(2 / 3)
    assert f1("京城在北", ["北京"]) == pytest.approx(2 * 1 / 6)
    assert f1("上海", ["北京"]) == 0.0


def brute_threshold(scores, said, right):
    best = 0.0
    for threshold in [min(scores) - 1, *scores]:
        answered = [one if score <= threshold else "" for one, score in zip(said, scores, strict=True)]
        best = max(best, sum(f1(one, gold) for one, gold in zip(answered, right, strict=True)) / len(said))
    return best


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_is_the_best_of_all(seed):
    draw = random.Random(seed)
    said = [draw.choice(["york", "city", "beatles"]) for _ in range(12)]
    right = [[] if draw.random() < 0.4 else [draw.choice(["york", "city", "beatles", "new york"])] for _ in said]
    scores = [draw.uniform(-3, 3) for _ in said]
    threshold, figure = best_threshold(scores, said, right)
    answered = [one if score <= threshold else "" for one, score in zip(said, scores, strict=True)]
    assert figure == pytest.approx(sum(f1(one, gold) for one, gold in zip(answered, right, strict=True)) / len(said))
    assert figure == pytest.approx(brute_threshold(scores, said, right), abs=1e-12)
