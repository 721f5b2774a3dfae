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
