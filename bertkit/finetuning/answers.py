"""How right an answer out of a text is: exact match and F1 as SQuAD's official scripts count them, and CMRC's for Chinese.

Rajpurkar et al. 2016 (evaluate-v1.1.py), 2018 (evaluate-v2.0.py); Cui et al. 2019 (cmrc2018_evaluate.py).
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np

from bertkit.intervals import bootstrap_interval, wilson_interval

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_IDEOGRAPH = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_CHINESE_SIGNS = set("，。：？！“”；’《》……·、「」（）－～『』" + "-:_*^/\\~`+=,.?!\";'()[]{}")
_PUNCTUATION = set(string.punctuation)


def normalised(answer: str) -> str:
    """Lower case, without punctuation, English articles and superfluous blanks.

    Example:
        >>> normalised("The  Beatles!")
        'beatles'
    """
    bare = "".join(character for character in answer.lower() if character not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


@cache
def parts_of(answer: str) -> tuple[str, ...]:
    """What the F1 of an answer counts: its words, or in Chinese its characters (and words of other scripts)."""
    if not _IDEOGRAPH.search(answer):
        return tuple(normalised(answer).split())
    spaced = "".join(
        " " if character in _CHINESE_SIGNS else f" {character} " if _IDEOGRAPH.match(character) else character
        for character in answer.lower()
    )
    return tuple(spaced.split())


def exact_match(said: str, right: Sequence[str]) -> float:
    """1 where an answer is one of the right ones after normalising, else 0; no right answer at all is the answer ""."""
    return float(any(_bare(said) == _bare(one) for one in right or [""]))


def _bare(answer: str) -> str:
    return "".join(parts_of(answer)) if _IDEOGRAPH.search(answer) else normalised(answer)


def f1(said: str, right: Sequence[str]) -> float:
    """The harmonic mean of the shares of words in common, of the right answer that fits best.

    Example:
        >>> round(f1("in New York", ["the city of New York"]), 3)
        0.571
    """
    return max(_f1(said, one) for one in right or [""])


def _f1(said: str, right: str) -> float:
    mine, theirs = parts_of(said), parts_of(right)
    if not mine or not theirs:
        return float(mine == theirs)
    is_chinese = _IDEOGRAPH.search(right)
    common = _longest_run(mine, theirs) if is_chinese else (Counter(mine) & Counter(theirs)).total()
    return 2 * common / (len(mine) + len(theirs)) if common else 0.0


def _longest_run(one: Sequence[str], other: Sequence[str]) -> int:
    """Parts of the longest stretch that two answers share."""
    longest, before = 0, [0] * (len(other) + 1)
    for part in one:
        row = [0, *(before[place] + 1 if part == theirs else 0 for place, theirs in enumerate(other))]
        longest, before = max(longest, *row), row
    return longest


def best_threshold(
    no_answer_scores: Sequence[float], said: Sequence[str], right: Sequence[Sequence[str]]
) -> tuple[float, float]:
    """Above which score it is best to say that there is no answer, and the mean F1 with it (evaluate-v2.0.py, find_best_thresh).

    Args:
        no_answer_scores: of each question how much likelier the model finds no answer than its best one.
        said: its best answer to each.
        right: the right answers to each; none where there is no answer.
    """
    if not said:
        return 0.0, 0.0
    order = np.argsort(no_answer_scores, kind="stable")
    gains = np.array([f1(said[row], right[row]) if right[row] else -1.0 for row in order])
    # With every question unanswered those without an answer are right; each one answered brings its F1, or costs 1.
    totals = sum(not answers for answers in right) + np.concatenate([[0.0], np.cumsum(gains)])
    best = int(totals.argmax())
    scores = np.asarray(no_answer_scores, dtype=np.float64)[order]
    # Halfway between two scores, so that rounding elsewhere does not change which side a question is on.
    around = np.concatenate([[scores[0] - 1.0], scores, [scores[-1] + 1.0]])[best : best + 2]
    threshold = around.mean()
    return float(threshold), float(totals[best] / len(said))


METRICS = {"f1": f1, "exact_match": exact_match}


def figures(metric: str, said: Sequence[str], right: Sequence[Sequence[str]]) -> np.ndarray:
    """Of each answer, float64."""
    return np.array([METRICS[metric](one, answers) for one, answers in zip(said, right, strict=True)], dtype=np.float64)


def interval_of(metric: str, each: np.ndarray, seed: int) -> tuple[float, float]:
    """The 95 % interval of the mean of ``figures``."""
    if metric == "exact_match":
        return wilson_interval(int(each.sum()), len(each))
    return bootstrap_interval(np.stack([each, np.ones_like(each)], axis=1), seed)
