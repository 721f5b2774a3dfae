"""Turns questions with their texts into features, and finds the answer in each window."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from bertkit.finetuning.features import Features, Split
from bertkit.finetuning.rows.question_rows import Answers

if TYPE_CHECKING:
    from bertkit.finetuning.windows import RowEncoder

_MOST_ANSWER_TOKENS = 30
BEST_PLACES = 20
"""How many of the most likely beginnings and ends are combined into answers."""


@dataclass(frozen=True)
class SpanTargets:
    """The tokens of each feature that are read, and the place of its answer.

    Attributes:
        read: for each feature the tokens at which an answer may begin or end, int64: first ``[CLS]``, then the text.
        places: int64 ``[features, 2]``: where the answer begins and ends, as indices into ``read``. 0 is ``[CLS]``, for
            windows that do not contain the whole answer. None without labels.
    """

    read: list[np.ndarray]
    places: np.ndarray | None


def answer_features(split: Split, encoder: "RowEncoder", overflow: str) -> Features:
    """The features of a split whose texts are questions and contexts, with ``SpanTargets``."""
    pairs = [(text["question"], text["context"]) for text in split.texts]
    made = encoder(pairs, overflow, shortened="only_second", with_characters=True)
    assert made.texts is not None
    assert made.offsets is not None
    read = [
        np.array([0, *(place for place, text in enumerate(one) if text == 1)], dtype=np.int64) for one in made.texts
    ]
    places = None
    if split.labels is not None:
        offsets = [np.array(one, dtype=np.int64)[own] for one, own in zip(made.offsets, read, strict=True)]
        places = _places(split.labels, made, offsets)
    return replace(made, targets=SpanTargets(read, places))


def what_is_lost(split: Split, features: Features) -> list[str]:
    """Lines that count the texts of which nothing is read, and, if the split has labels, the answers that no window holds
    and those that are longer than any that is said."""
    read = [len(own) - 1 for own in features.targets.read]
    unread = int((np.bincount(features.rows, read, len(split.texts)) == 0).sum())
    rows = f"texts{split.name and f' in {split.name}'}"
    told = [f"{rows} of which the tokenizer reads nothing, so that nothing answers the question: {unread:,}"]
    return (told if unread else []) + ([] if split.labels is None else _answers_lost(split, features))


def _answers_lost(split: Split, features: Features) -> list[str]:
    places = features.targets.places
    held, longest = set[int](), dict[int, int]()
    for row, (begin, end) in zip(features.rows.tolist(), places.tolist(), strict=True):
        if begin:
            held.add(row)
            longest[row] = max(end - begin + 1, longest.get(row, 0))
    lost = sum(bool(answers.texts) and row not in held for row, answers in enumerate(split.labels))
    long = sum(tokens > _MOST_ANSWER_TOKENS for tokens in longest.values())
    told = (
        [f"answers in {split.name} that no window holds whole, so that none is learned or found there: {lost:,}"]
        if lost
        else []
    )
    of_over = (
        f"answers in {split.name} of over {_MOST_ANSWER_TOKENS} tokens, of which as long ones are never said: {long:,}"
    )
    return told + ([of_over] if long else [])


def _places(labels: Sequence[Answers], made: Features, offsets: Sequence[np.ndarray]) -> np.ndarray:
    """``SpanTargets.places``, where the tokens read of each feature have the characters ``offsets`` ``[read, 2]``."""
    of_row: list[list[np.ndarray]] = [[] for _ in labels]
    for row, own in zip(made.rows.tolist(), offsets, strict=True):
        of_row[row].append(own[1:])
    cut = set() if made.windows else made.cut.keys()
    ranges = [
        _range_read(answers, np.concatenate(own), row in cut)
        for row, (answers, own) in enumerate(zip(labels, of_row, strict=True))
    ]
    places = [_place(ranges[row], own) for row, own in zip(made.rows.tolist(), offsets, strict=True)]
    return np.array(places, dtype=np.int64).reshape(-1, 2)


def _range_read(answers: Answers, tokens: np.ndarray, is_cut: bool) -> tuple[int, int]:
    """The characters at which the first answer begins and ends, without what no token stands for at either end: blanks, and
    what the tokenizer drops.

    Args:
        answers: those of a row.
        tokens: the characters of each token of the row's text, in all windows, int64 ``[tokens, 2]``.
        is_cut: whether the text may go on behind them.
    """
    if not answers.texts:
        return 0, 0
    text, start = answers.texts[0], answers.starts[0]
    begin, end = start + len(text) - len(text.lstrip()), start + len(text.rstrip())
    inside = tokens[(tokens[:, 0] < end) & (tokens[:, 1] > begin)]
    if not len(inside):
        return begin, end
    may_go_on = is_cut and inside[:, 1].max() == tokens[:, 1].max()
    return max(begin, int(inside[:, 0].min())), end if may_go_on else min(end, int(inside[:, 1].max()))


def _place(answer: tuple[int, int], offsets: np.ndarray) -> tuple[int, int]:
    """The indices at which an answer begins and ends, among tokens with the characters ``offsets`` ``[read, 2]``."""
    begin, end = answer
    inside = 1 + np.flatnonzero((offsets[1:, 0] < end) & (offsets[1:, 1] > begin))
    whole = len(inside) and offsets[inside[0], 0] <= begin and offsets[inside[-1], 1] >= end
    return (int(inside[0]), int(inside[-1])) if whole else (0, 0)


def likeliest_spans(
    logits: Sequence[np.ndarray], features: Features, rows: int
) -> tuple[list[list[tuple[float, int, int]]], np.ndarray]:
    """The most likely answers of each row, and the score of "no answer".

    Returns:
        For each row its answers, the best first, as (sum of both logits, first character, end); and for each row the
        least sum of both logits at the ``[CLS]`` of its windows, float64 ``[rows]``.
    """
    best: list[list[tuple[float, int, int]]] = [[] for _ in range(rows)]
    none = np.full(rows, np.inf)
    assert features.offsets is not None
    for number, row in enumerate(features.rows.tolist()):
        offsets = np.array(features.offsets[number], dtype=np.int64)[features.targets.read[number]]
        best[row] += [(score, int(offsets[a, 0]), int(offsets[b, 1])) for score, a, b in _spans(logits[number])]
        none[row] = min(none[row], float(logits[number][0].sum()))
    return [_each_once(sorted(spans, key=lambda span: -span[0]))[:BEST_PLACES] for spans in best], none


def _each_once(ranked: Sequence[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
    """Answers without those that stand before at the same place: windows overlap."""
    best: dict[tuple[int, int], float] = {}
    for score, begin, end in ranked:
        best.setdefault((begin, end), score)
    return [(score, begin, end) for (begin, end), score in best.items()]


def _spans(logits: np.ndarray) -> list[tuple[float, int, int]]:
    """The most likely answers of a feature as (sum of both logits, beginning, end), with indices into the tokens read."""
    begins, ends = (1 + np.argsort(-logits[1:, side], kind="stable")[:BEST_PLACES] for side in (0, 1))
    pairs = [(int(a), int(b)) for a in begins for b in ends if a <= b < a + _MOST_ANSWER_TOKENS]
    ranked = sorted(((float(logits[a, 0] + logits[b, 1]), a, b) for a, b in pairs), key=lambda span: -span[0])
    return ranked[:BEST_PLACES]
