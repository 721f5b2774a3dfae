"""Which tokens are predicted and how they are shown (Devlin et al. 2018, 3.1, Task 1), for a whole batch at once."""

from dataclasses import dataclass

import numpy as np

from bertkit.draws import uniform_grid
from bertkit.models.bert import IGNORE

_CHOOSE, _COUNT, _SHOW, _REPLACE = range(4)
"""Streams of random numbers: every sequence has a key, and every question about it a stream of its own, so that no answer
changes another (the chosen tokens stay the same whatever is shown in their place)."""


@dataclass(frozen=True)
class MaskingRates:
    """Shares of the tokens that are predicted, and of those that are shown as [MASK] or as a random token."""

    mlm_probability: float = 0.15
    mask_replace_prob: float = 0.8
    random_replace_prob: float = 0.1


@dataclass(frozen=True)
class Vocabulary:
    """What masking has to know of a tokenizer.

    Attributes:
        mask_id: the id of [MASK].
        special: bool ``[rows]``, ids that are never predicted ([CLS], [SEP], [PAD], [UNK], [MASK]).
        continues: bool ``[rows]``, pieces that continue a word (``##ing``).
        replacements: int64 ``[n]``, ids that a random replacement is drawn from.
    """

    mask_id: int
    special: np.ndarray
    continues: np.ndarray
    replacements: np.ndarray


def mask_tokens(
    input_ids: np.ndarray,
    keys: np.ndarray,
    vocabulary: Vocabulary,
    rates: MaskingRates,
    max_predictions_per_seq: int | None = None,
    whole_word_mask: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Chooses the tokens to predict and hides them.

    Of a sequence's ``n`` tokens that are not special, ``n * mlm_probability`` are chosen on average: that number
    rounded down or up at random, so that the rate is exact in expectation, but at least one. (The original rounds
    to nearest, which makes 15.2 % of 125 tokens.) Each chosen token is shown as [MASK], as a random token or as
    itself, independently of all others.

    With ``whole_word_mask`` words are taken in random order; one that is longer than what is still to be chosen
    is skipped, as in the original (where none fits, the shortest is taken). A word is a piece and the continuing
    pieces behind it, which is how BERT's pre-tokenizer cuts: ``house,`` is two words, and so are two Chinese
    characters.

    Args:
        input_ids: int64 ``[batch, length]``; padding counts as special.
        keys: uint64 ``[batch]``, the key of each sequence's draws.
        vocabulary: special ids, word starts, replacements.
        rates: the three shares.
        max_predictions_per_seq: no more than so many in a sequence; with whole words this may leave none.
        whole_word_mask: choose whole words.

    Returns:
        The ids as shown to the model and the labels, both int64 ``[batch, length]``; a label is the true id
        where a token is predicted and -100 elsewhere.
    """
    length = input_ids.shape[1]
    candidates = ~vocabulary.special[input_ids]  # [batch, length]
    wanted = _how_many(candidates.sum(axis=1), keys, rates.mlm_probability, max_predictions_per_seq)
    order = uniform_grid(keys, _CHOOSE, length)
    if whole_word_mask:
        continues = vocabulary.continues[input_ids] & candidates
        chosen = _choose_words(candidates, continues, order, wanted, max_predictions_per_seq or length)
    else:
        chosen = _choose_tokens(candidates, order, wanted)

    shown = input_ids.copy()
    # One number u in [0, 1) a token decides how it is shown, by the paper's 80/10/10:
    #   u < 0.8 → [MASK]     0.8 <= u < 0.9 → a random token     0.9 <= u → itself
    way = uniform_grid(keys, _SHOW, length)
    shown[chosen & (way < rates.mask_replace_prob)] = vocabulary.mask_id
    random = chosen & (way >= rates.mask_replace_prob)
    random &= way < rates.mask_replace_prob + rates.random_replace_prob
    # Drawn for every place and used at few, so that a place's number does not depend on what is chosen elsewhere.
    drawn = uniform_grid(keys, _REPLACE, length)[random] * len(vocabulary.replacements)
    shown[random] = vocabulary.replacements[drawn.astype(np.int64)]
    return shown, np.where(chosen, input_ids, IGNORE)


def _how_many(tokens: np.ndarray, keys: np.ndarray, probability: float, at_most: int | None) -> np.ndarray:
    """int64 ``[batch]``: how many tokens of each sequence are to be chosen."""
    expected = tokens * probability
    # floor(x + u) with u uniform in [0, 1) is x on average: 125 tokens expect 18.75, and get 19 in three cases of four, else 18.
    wanted = np.floor(expected + uniform_grid(keys, _COUNT, 1)[:, 0]).astype(np.int64)
    number: np.ndarray = np.minimum(np.clip(wanted, 1, at_most), tokens)
    return number


def _choose_tokens(candidates: np.ndarray, order: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """bool ``[batch, length]``: the ``wanted`` candidates that come first in a random order."""
    # The n smallest of independent uniform numbers stand at a uniformly drawn set of n places. The numbers are below 1,
    # so that a 2 is behind every candidate.
    order = np.where(candidates, order, 2.0)
    most = int(wanted.max(initial=0))
    if most == 0:
        return np.zeros_like(candidates)
    # A row's threshold is its wanted-th smallest number. Only the smallest `most` of a row are sorted: 20 of 128, say.
    first = np.sort(np.partition(order, most - 1, axis=1)[:, :most], axis=1)
    threshold = np.take_along_axis(first, np.maximum(wanted - 1, 0)[:, None], axis=1)
    return candidates & (order <= threshold) & (wanted > 0)[:, None]


def _choose_words(
    candidates: np.ndarray, continues: np.ndarray, order: np.ndarray, wanted: np.ndarray, at_most: int
) -> np.ndarray:
    """bool ``[batch, length]``: whole words in random order, skipping those longer than what is still wanted."""
    batch, length = candidates.shape
    rows = np.arange(batch)
    # The tokens   [CLS]  un  ##want  ##ed  house  [SEP]     A continuing piece behind something special (a word cut in
    # starts          .   1      .      .     1      .       front), or at the first place, begins a word of its own.
    # words          -1   0      0      0     1      1
    # sizes = [3, 1]: what is no candidate is not counted, whatever word it is given.
    starts = candidates.copy()
    starts[:, 1:] &= ~(continues[:, 1:] & candidates[:, :-1])
    words = np.cumsum(starts, axis=1) - 1  # the word each candidate belongs to
    sizes = np.bincount((rows[:, None] * length + words)[candidates], minlength=batch * length).reshape(batch, length)
    # A word's rank is the random number of its first token. Empty words keep 2, and come last.
    ranks = np.full((batch, length), 2.0)
    ranks[np.nonzero(starts)[0], words[starts]] = order[starts]
    taken = np.zeros((batch, length), dtype=bool)
    left = wanted.copy()
    # Word after word in random order, all sequences at once: `word` is int64 [batch], the next one of each sequence.
    for word in np.argsort(ranks, axis=1).T:
        size = sizes[rows, word]
        fits = (size > 0) & (size <= left)
        taken[rows, word] = fits
        left -= size * fits
        if not left.any():
            break
    # Where every word is longer than what is wanted, the shortest one is taken, unless it is longer than is allowed: at least
    # one is predicted.
    lengths = np.where(sizes > 0, sizes, length + 1)
    none = (left == wanted) & (wanted > 0) & (lengths.min(axis=1) <= at_most)
    taken[none, lengths[none].argmin(axis=1)] = True
    chosen: np.ndarray = candidates & taken[rows[:, None], np.maximum(words, 0)]
    return chosen
