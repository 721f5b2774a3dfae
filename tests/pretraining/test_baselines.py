"""Baselines of the held-out loss, by hand."""

import math

import numpy as np
import pytest

from bertkit.pretraining.baselines import unigrams


def test_word_frequencies_by_hand():
    """Without the special token 0 the shares are a half and two quarters: entropy 1.5 · ln 2."""
    found = unigrams(np.array([90, 2, 1, 1]), [0])
    assert found.most_frequent == 0.5
    assert found.entropy == pytest.approx(1.5 * math.log(2))


def test_the_shares_of_a_mix_are_frequencies_too():
    """Of two texts in equal shares, each with its special tokens: the others add up to less than 1."""
    counts = 0.5 * np.array([0.2, 0.4, 0.4, 0.0]) + 0.5 * np.array([0.4, 0.3, 0.0, 0.3])
    found = unigrams(counts, [0])
    assert found.most_frequent == pytest.approx(0.5)
    assert found.entropy == pytest.approx(
        -(0.5 * math.log(0.5) + 0.2 / 0.7 * math.log(0.2 / 0.7) + 0.15 / 0.7 * math.log(0.15 / 0.7))
    )
