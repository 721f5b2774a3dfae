"""Exact match and F1 of answers, as in the official scripts of SQuAD, and for Chinese in that of CMRC.

See Rajpurkar et al. 2016 (evaluate-v1.1.py), 2018 (evaluate-v2.0.py); Cui et al. 2019 (cmrc2018_evaluate.py).
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np

from bertkit.intervals import bootstrap_interval, wilson_interval
from bertkit.io.text import INVISIBLE

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_IDEOGRAPH = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_CHINESE_SIGNS = set("，。：？！“”；’《》……·、「」（）－～『』" + "-:_*^/\\~`+=,.?!\";'()[]{}")
_PUNCTUATION = set(string.punctuation)
_INVISIBLE_ENDS = re.compile(rf"^[{INVISIBLE}]+|[{INVISIBLE}]+$")


def normalised(answer: str) -> str:
    """The answer in lower case, without punctuation, English articles and superfluous blanks, and without the invisible marks
    of direction and joiners round its words, which the official scripts leave and a tokenizer drops.

    Example:
        >>> normalised("The  Beatles!")
        'beatles'
    """
    bare = "".join(character for character in answer.lower() if character not in _PUNCTUATION)
    return " ".join(_INVISIBLE_ENDS.sub("", word) for word in _ARTICLES.sub(" ", bare).split())


@cache
def parts_of(answer: str) -> tuple[str, ...]:
    """The units that F1 counts: the words of an answer, or in Chinese its characters (and words in other scripts)."""
    if not _IDEOGRAPH.search(answer):
        return tuple(normalised(answer).split())
    spaced = "".join(
        " " if character in _CHINESE_SIGNS else f" {character} " if _IDEOGRAPH.match(character) else character
        for character in answer.lower()
    )
    return tuple(spaced.split())


def exact_match(said: str, right: Sequence[str]) -> float:
    """1 if the normalised answer is one of the right ones, else 0. If there is no right answer, "" is right."""
    return float(any(_bare(said) == _bare(one) for one in right or [""]))


def _bare(answer: str) -> str:
    return "".join(parts_of(answer)) if _IDEOGRAPH.search(answer) else normalised(answer)


def f1(said: str, right: Sequence[str]) -> float:
    """The F1 of an answer's words, with the right answer that fits it best.

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
    """The length of the longest stretch that two answers have in common."""
    longest, before = 0, [0] * (len(other) + 1)
    for part in one:
        row = [0, *(before[place] + 1 if part == theirs else 0 for place, theirs in enumerate(other))]
        longest, before = max(longest, *row), row
    return longest


def best_threshold(
    no_answer_scores: Sequence[float], said: Sequence[str], right: Sequence[Sequence[str]]
) -> tuple[float, float]:
    """The score above which "no answer" is best predicted, and the mean F1 with it (find_best_thresh of evaluate-v2.0.py).

    Args:
        no_answer_scores: for each question, by how much the logits of "no answer" exceed those of the best answer.
        said: the best answer to each question.
        right: the right answers to each question; empty if it has none.
    """
    if not said:
        return 0.0, 0.0
    order = np.argsort(no_answer_scores, kind="stable")
    gains = np.array([f1(said[row], right[row]) if right[row] else -1.0 for row in order])
    # If no question is answered, those without an answer are right. Answering one gains its F1, or loses 1.
    totals = sum(not answers for answers in right) + np.concatenate([[0.0], np.cumsum(gains)])
    best = int(totals.argmax())
    scores = np.asarray(no_answer_scores, dtype=np.float64)[order]
    # Halfway between two scores, so that rounding elsewhere does not move a question to the other side.
    around = np.concatenate([[scores[0] - 1.0], scores, [scores[-1] + 1.0]])[best : best + 2]
    threshold = around.mean()
    return float(threshold), float(totals[best] / len(said))


METRICS = {"f1": f1, "exact_match": exact_match}


def figures(metric: str, said: Sequence[str], right: Sequence[Sequence[str]]) -> np.ndarray:
    """The metric of each answer, float64."""
    return np.array([METRICS[metric](one, answers) for one, answers in zip(said, right, strict=True)], dtype=np.float64)


def interval_of(metric: str, each: np.ndarray, seed: int) -> tuple[float, float]:
    """The 95 % interval of the mean of ``figures``."""
    if metric == "exact_match":
        return wilson_interval(int(each.sum()), len(each))
    return bootstrap_interval(np.stack([each, np.ones_like(each)], axis=1), seed)
