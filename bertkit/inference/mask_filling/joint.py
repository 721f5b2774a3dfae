"""Several masks filled together: the probability of a whole filling, and the search for the best ones.

A BERT says what stands at one mask, given everything else. A filling of n masks gets its probability by filling them
one after another, reading the text anew each time. The orders to do that in disagree, so it is the mean over them:

    P(x) = mean over the orders o of  P(x[o1] | text) · P(x[o2] | text, x[o1]) · … · P(x[on] | text, all the others)

With each order the fillings' probabilities sum to one, and so they do with the mean (a mixture over orders: Uria,
Murray and Larochelle 2014). With one mask it is what the model says there.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, permutations
from typing import TYPE_CHECKING

import numpy as np

from bertkit.runtime.text import Encoding

if TYPE_CHECKING:
    from bertkit.runtime.base import Bert

ALL_ORDERS_UP_TO = 4
"""Masks. Above that (5! = 120) the mean is over some orders, each from another mask on to the right, and round."""
SOME_ORDERS = 4
MOST_MASKS = 16
"""That are filled together: readings grow with the square of their number."""
BEAM = 12
"""Half-filled texts kept at a time; at least twice as many as are asked for."""
_NUMBERS_AT_ONCE = 2**25  # log-probabilities held at a time: 128 MB
State = tuple[int | None, ...]
"""Of each mask its piece, or None."""


@dataclass(frozen=True, eq=False)
class Gaps:
    """Places of a text that are to be filled."""

    text: Encoding
    places: Sequence[int]
    """Of masks, in the order of the text. Other masks of the text stay."""

    def filled(self, pieces: State) -> Encoding:
        """The text with these pieces at its places, and the mask where there is None."""
        ids = list(self.text.ids)
        for place, piece in zip(self.places, pieces, strict=True):
            if piece is not None:
                ids[place] = piece
        return Encoding(ids, self.text.type_ids)


def log_probabilities(bert: "Bert", fillings: Sequence[tuple[Gaps, Sequence[int]]]) -> list[float]:
    """ln of the probability of each filling, as above, all read together.

    Args:
        bert: with the head "words".
        fillings: gaps, and the id of a word piece for each of their places. They may be of different texts.
    """
    # What is asked: a text half filled → the places and pieces that come next. Orders and fillings share much.
    asked: dict[tuple[int, ...], dict[tuple[int, int], float]] = {}
    types: dict[tuple[int, ...], list[int]] = {}
    ways = [[list(_steps(gaps, pieces, order)) for order in orders(len(pieces))] for gaps, pieces in fillings]
    for (gaps, _), by_order in zip(fillings, ways, strict=True):
        for reading, place, piece in chain.from_iterable(by_order):
            asked.setdefault(reading, {})[place, piece] = 0.0
            types[reading] = gaps.text.type_ids
    questions = list(asked.values())
    places = [sorted({place for place, _ in wanted}) for wanted in questions]
    readings = [Encoding(list(reading), types[reading]) for reading in asked]

    def answer(number: int, logs: np.ndarray) -> None:
        row = {place: row for row, place in enumerate(places[number])}
        for place, piece in questions[number]:
            questions[number][place, piece] = float(logs[row[place], piece])

    each_answer(bert, readings, places, answer)
    return [
        _log_mean([sum(asked[reading][place, piece] for reading, place, piece in steps) for steps in by_order])
        for by_order in ways
    ]


def orders(count: int) -> list[tuple[int, ...]]:
    """In which so many masks are filled: all orders, or of many masks some.

    Example:
        >>> orders(2)
        [(0, 1), (1, 0)]
    """
    numbers = tuple(range(count))
    if count <= ALL_ORDERS_UP_TO:
        return list(permutations(numbers))
    some = min(count, SOME_ORDERS)
    starts = [count * number // some for number in range(some)]
    return [numbers[start:] + numbers[:start] for start in starts]


def best_fillings(
    bert: "Bert", gaps: Gaps, allowed: Sequence[np.ndarray], beam: int = BEAM
) -> list[tuple[float, tuple[int, ...]]]:
    """The best fillings that a beam search over orders and pieces finds, the best first.

    A half-filled text grows by one piece at any of its masks; what several orders lead to is kept once, with their
    probabilities added. What the masks would hold one by one is always among those compared at the end, so that the
    first is never worse than it.

    Args:
        bert: with the head "words".
        gaps: what is to be filled.
        allowed: for each place, the ids that may stand there.
        beam: half-filled texts kept at a time; so many fillings come back at most, or one more.

    Returns:
        ln of the probability, as above, and the pieces.
    """
    states: dict[State, float] = {(None,) * len(gaps.places): 0.0}
    alone: tuple[int, ...] = ()
    for _ in gaps.places:
        guesses = _guesses(bert, gaps, list(states), allowed, beam)
        alone = alone or tuple(there[0][1] for there in guesses[0].values())
        grown: dict[State, float] = {}
        for (state, so_far), by_mask in zip(states.items(), guesses, strict=True):
            for mask, there in by_mask.items():
                for log, piece in there:
                    longer = (*state[:mask], piece, *state[mask + 1 :])
                    grown[longer] = float(np.logaddexp(grown.get(longer, -np.inf), so_far + log))
        states = dict(sorted(grown.items(), key=lambda item: -item[1])[:beam])
    whole = [tuple(piece for piece in state if piece is not None) for state in states]
    found = list(dict.fromkeys([*whole, alone]))
    scores = log_probabilities(bert, [(gaps, pieces) for pieces in found])
    return sorted(zip(scores, found, strict=True), key=lambda item: -item[0])


def _guesses(
    bert: "Bert", gaps: Gaps, states: Sequence[State], allowed: Sequence[np.ndarray], count: int
) -> list[dict[int, list[tuple[float, int]]]]:
    """For each half-filled text: mask → the best pieces there, each with the ln of its probability."""
    masks = [[mask for mask, piece in enumerate(state) if piece is None] for state in states]
    guesses: list[dict[int, list[tuple[float, int]]]] = [{} for _ in states]

    def answer(number: int, logs: np.ndarray) -> None:
        for mask, row in zip(masks[number], logs, strict=True):
            among = row[allowed[mask]]
            best = largest(among[None], min(count, len(among)))[0]
            guesses[number][mask] = list(zip(among[best].tolist(), allowed[mask][best].tolist(), strict=True))

    readings = [gaps.filled(state) for state in states]
    each_answer(bert, readings, [[gaps.places[mask] for mask in open_] for open_ in masks], answer)
    return guesses


def _steps(gaps: Gaps, pieces: Sequence[int], order: Sequence[int]) -> Iterator[tuple[tuple[int, ...], int, int]]:
    """Filling in that order, step by step: the ids that are read, the place that is filled next, and its piece."""
    ids = list(gaps.text.ids)
    for mask in order:
        yield tuple(ids), gaps.places[mask], pieces[mask]
        ids[gaps.places[mask]] = pieces[mask]


def each_answer(
    bert: "Bert",
    readings: Sequence[Encoding],
    places: Sequence[Sequence[int]],
    answer: Callable[[int, np.ndarray], None],
) -> None:
    """Calls ``answer`` with each reading's number and its ``[places, rows]``; few of these are held at a time."""
    begin = held = 0
    for end in range(1, len(readings) + 1):
        held += len(places[end - 1]) * bert.rows
        if held >= _NUMBERS_AT_ONCE or end == len(readings):
            logs = bert.word_log_probabilities(readings[begin:end], places[begin:end])
            for number, found in enumerate(logs, start=begin):
                answer(number, found)
            begin, held = end, 0


def _log_mean(logs: Sequence[float]) -> float:
    return float(np.logaddexp.reduce(logs)) - math.log(len(logs))


def largest(values: np.ndarray, k: int) -> np.ndarray:
    """Column numbers of the ``k`` largest of each row of ``[rows, columns]``, the largest first."""
    some = np.sort(np.argpartition(-values, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(values, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1)
