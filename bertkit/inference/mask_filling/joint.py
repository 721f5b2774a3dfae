"""Several masks filled together: the probability of a whole filling, and the search for the best ones.

A BERT gives the probabilities of the words at one mask, given everything else. The probability of a filling of n masks
comes from filling them one after another, and reading the text again each time. Different orders give different numbers,
so the mean over the orders is taken:

    P(x) = mean over the orders o of  P(x[o1] | text) · P(x[o2] | text, x[o1]) · … · P(x[on] | text, all the others)

For each order the probabilities of all fillings sum to one, and so do the means (a mixture over orders: Uria, Murray and
Larochelle 2014). For a single mask P is the model's own probability.
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
"""With up to so many masks all orders are used. With more (5! = 120) there are ``SOME_ORDERS``: each starts at another mask
and goes on to the right and round."""
SOME_ORDERS = 4
MOST_MASKS = 16
"""The most masks that are filled together: the number of texts to read grows with their square."""
BEAM = 12
"""Half-filled texts that the search keeps at a time; callers use at least twice the number of guesses that is asked for."""
_NUMBERS_AT_ONCE = 2**25  # log-probabilities held at a time: 128 MB
State = tuple[int | None, ...]
"""A half-filled text: for each mask its word piece, or None."""


@dataclass(frozen=True, eq=False)
class Gaps:
    """A text with places that are to be filled."""

    text: Encoding
    places: Sequence[int]
    """The places of the masks to fill, ascending. Other masks of the text stay."""

    def filled(self, pieces: State) -> Encoding:
        """The text with these word pieces at its places; where one is None the mask stays."""
        ids = list(self.text.ids)
        for place, piece in zip(self.places, pieces, strict=True):
            if piece is not None:
                ids[place] = piece
        return Encoding(ids, self.text.type_ids)


def log_probabilities(bert: "Bert", fillings: Sequence[tuple[Gaps, Sequence[int]]]) -> list[float]:
    """The natural logarithm of the probability P of each filling, as defined at the top of this module.

    Args:
        bert: has the head "words".
        fillings: gaps, with the id of a word piece for each of their places. They may belong to different texts.
    """
    # For each half-filled text, which places and pieces come next. Orders and fillings have many of these in common.
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
    """The orders in which ``count`` masks are filled: all, or some if there are many masks.

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
    """Searches for the most probable fillings, by a beam search over orders and word pieces.

    A half-filled text grows by one piece at any of its masks. Texts that several orders lead to are kept once, and their
    probabilities added. The filling that takes the best piece at each mask on its own is always compared as well, so that
    the result is never worse than that.

    Args:
        bert: has the head "words".
        gaps: the text and its masks.
        allowed: for each place, the ids that may stand there.
        beam: how many half-filled texts are kept at a time; at most one filling more is returned.

    Returns:
        Fillings, the best first: the natural logarithm of the probability P, and the pieces.
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
    compared = list(dict.fromkeys([*whole, alone]))
    scores = log_probabilities(bert, [(gaps, pieces) for pieces in compared])
    return sorted(zip(scores, compared, strict=True), key=lambda item: -item[0])


def _guesses(
    bert: "Bert", gaps: Gaps, states: Sequence[State], allowed: Sequence[np.ndarray], count: int
) -> list[dict[int, list[tuple[float, int]]]]:
    """For each half-filled text and each of its masks, the best pieces there: (logarithm of the probability, id)."""
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
    """The steps of filling a text in some order: the ids that are read, the place that is filled next, and its piece."""
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
    """Reads texts, and calls ``answer`` with the number of each and its log-probabilities ``[places, rows]``.

    Only some of the log-probabilities are in memory at a time.
    """
    begin = held = 0
    for end in range(1, len(readings) + 1):
        held += len(places[end - 1]) * bert.rows
        if held >= _NUMBERS_AT_ONCE or end == len(readings):
            logs = bert.word_log_probabilities(readings[begin:end], places[begin:end])
            for number, one in enumerate(logs, start=begin):
                answer(number, one)
            begin, held = end, 0


def _log_mean(logs: Sequence[float]) -> float:
    return float(np.logaddexp.reduce(logs)) - math.log(len(logs))


def largest(values: np.ndarray, k: int) -> np.ndarray:
    """The columns of the ``k`` largest values in each row of ``[rows, columns]``, the largest first."""
    some = np.sort(np.argpartition(-values, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(values, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1)
