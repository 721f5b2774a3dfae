"""Compares words and phrases of different lengths at the same place of a text.

The more pieces a filling has, the smaller is the product of their probabilities, and a BERT that was trained on single
masked pieces gives low probabilities to words of several. So the whole texts are compared, by their mean log-probability
per word piece. It is the pseudo-log-likelihood (Salazar et al. 2020) with the correction of Kauf & Ivanova (2023):
together with a piece the later pieces of its word are masked. Together with a piece of the filling all later pieces of
the filling are masked, or else *hong* and *kong* would support each other. For a single word that gives the score per
piece of ``bertkit score``.
"""

from collections.abc import Sequence

import numpy as np

from bertkit.inference.mask_filling.joint import each_answer
from bertkit.runtime.base import Bert
from bertkit.runtime.numpy_bert import softmax
from bertkit.runtime.text import Encoding, TextEncoder

CONTEXT = 32
"""How many word pieces before and after the filling count: in long texts more would cost much, and tell nothing more."""


def shares(bert: Bert, text_encoder: TextEncoder, fillings: Sequence[tuple[Encoding, Sequence[int]]]) -> np.ndarray:
    """The probability of each filling of a text, given that one of them is right.

    Each text gets its mean log-probability per piece, times the number of pieces of the shortest text: so the texts are
    compared as if they had the same length.

    Args:
        bert: has the head "words".
        text_encoder: its text encoder.
        fillings: for each filling the filled text, and the places of the filling, ascending.

    Returns:
        fp64 ``[fillings]``; they sum to one.
    """
    logs = log_probabilities(bert, text_encoder, fillings)
    common = min(len(one) for one in logs)
    whole = np.array([common * sum(one) / len(one) for one in logs])
    return softmax(whole)


def log_probabilities(
    bert: Bert, text_encoder: TextEncoder, fillings: Sequence[tuple[Encoding, Sequence[int]]]
) -> list[list[float]]:
    """The log-probability (nats) of each piece of each filled text, as described above.

    Special tokens, and masks that are not filled, do not count.
    """
    copies: list[Encoding] = []
    scored: list[tuple[int, int]] = []
    for number, (text, filled) in enumerate(fillings):
        for place in range(max(0, filled[0] - CONTEXT), min(len(text.ids), filled[-1] + 1 + CONTEXT)):
            if text.ids[place] not in text_encoder.special_ids or place in filled:
                later = [other for other in filled if other > place]
                rest = later if place in filled else text_encoder.rest_of_word(text, place)
                copies.append(text_encoder.masked(text, [place, *rest]))
                scored.append((number, place))
    logs_of: list[list[float]] = [[] for _ in fillings]

    def answer(copy: int, logs: np.ndarray) -> None:
        number, place = scored[copy]
        logs_of[number].append(float(logs[0, fillings[number][0].ids[place]]))

    each_answer(bert, copies, [[place] for _, place in scored], answer)
    return logs_of
