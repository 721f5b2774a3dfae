"""Fillings of different lengths, compared at the same place of a text.

The more pieces, the smaller the probability of them all, and a BERT that was trained on single masked pieces hardly
believes in words of several. So it is the whole text that is compared, by the mean log-probability of a word piece:
the pseudo-log-likelihood (Salazar et al. 2020) with the correction of Kauf & Ivanova (2023), that with a piece the
later pieces of its word are masked; and with a piece of the filling all that follows of the filling, lest *hong* and
*kong* vouch for each other. For a word it is what ``bertkit score`` says, a piece.
"""

from collections.abc import Sequence

import numpy as np

from bertkit.inference.mask_filling.joint import each_answer
from bertkit.runtime.base import Bert
from bertkit.runtime.text import Encoding, Pieces

CONTEXT = 32
"""Word pieces before and after the filling that count: long texts would cost much and tell no more."""


def shares(bert: Bert, pieces: Pieces, fillings: Sequence[tuple[Encoding, Sequence[int]]]) -> np.ndarray:
    """How likely each filling of one text is, were it one of these.

    A text counts with its mean log-probability times the pieces of the shortest of them: the probability it would
    have at their common length.

    Args:
        bert: with the head "words".
        pieces: its word pieces.
        fillings: a filled text, and the places of the filling, in the order of the text.

    Returns:
        fp64 ``[fillings]``; they sum to one.
    """
    logs = log_probabilities(bert, pieces, fillings)
    common = min(len(one) for one in logs)
    whole = np.array([common * sum(one) / len(one) for one in logs])
    weights = np.exp(whole - whole.max())
    shared: np.ndarray = weights / weights.sum()
    return shared


def log_probabilities(
    bert: Bert, pieces: Pieces, fillings: Sequence[tuple[Encoding, Sequence[int]]]
) -> list[list[float]]:
    """Of each piece of each filled text, in nats, as above. Special tokens and masks that are left do not count."""
    copies: list[Encoding] = []
    scored: list[tuple[int, int]] = []
    for number, (text, filled) in enumerate(fillings):
        for place in range(max(0, filled[0] - CONTEXT), min(len(text.ids), filled[-1] + 1 + CONTEXT)):
            if text.ids[place] not in pieces.special_ids or place in filled:
                copies.append(_masked(text, place, filled, pieces))
                scored.append((number, place))
    logs_of: list[list[float]] = [[] for _ in fillings]

    def answer(copy: int, logs: np.ndarray) -> None:
        number, place = scored[copy]
        logs_of[number].append(float(logs[0, fillings[number][0].ids[place]]))

    each_answer(bert, copies, [[place] for _, place in scored], answer)
    return logs_of


def _masked(text: Encoding, place: int, filled: Sequence[int], pieces: Pieces) -> Encoding:
    """The text with the piece at a place masked, and what would give it away."""
    ids = list(text.ids)
    rest = (other for other in filled if other > place) if place in filled else pieces.rest_of_word(text, place)
    for hidden in (place, *rest):
        ids[hidden] = pieces.mask_id
    return Encoding(ids, text.type_ids)
