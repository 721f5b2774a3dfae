"""Choices: what their logits come to, by hand."""

import math

import numpy as np
import pytest

from bertkit.finetuning.features import Features, Split
from bertkit.finetuning.heads.choice import ChoiceHead


def test_the_probabilities_of_a_rows_choices_are_the_softmax_of_their_logits():
    split = Split("", [{"question": "q", "choices": ["a", "b"]}], None)
    [row] = ChoiceHead().decode([np.array([0.0, math.log(3)])], Features([], None, np.zeros(0)), split)
    assert row["probabilities"] == pytest.approx([0.25, 0.75])
    assert (row["prediction"], row["choice"]) == (1, "b")
