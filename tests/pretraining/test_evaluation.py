"""Held-out figures by hand, and what a model without pairs is evaluated on."""

import math

import pytest
import torch
from accelerate import Accelerator
from helpers.run_texts import SHAPES, text_of

from bertkit.pretraining.dataset import HeldOutExamples
from bertkit.pretraining.evaluation import Evaluator, as_read
from bertkit.pretraining.pairs import NO_PAIR
from bertkit.settings.schema import DataSettings


class Objective:
    """A loss of 3 for each label, of which none is guessed."""

    def __call__(self, labels):
        return {"mlm_loss": 3.0 * (labels != -100).sum(), "mlm_correct": labels.sum() * 0.0}

    def counts(self, batch):
        return {"mlm": float((batch["labels"] != -100).sum())}


class Examples(list):
    """Rows of four places that all have the one label."""

    def fetch(self, positions):
        return {"labels": torch.tensor([[self[position]] * 4 for position in positions])}


def evaluated(labels):
    evaluate = Evaluator(Accelerator(cpu=True), lambda _: Examples(labels), lambda _: 8, lambda _: 2)
    return evaluate(Objective(), 1)


def test_examples_in_which_nothing_is_predicted_have_no_figures():
    assert evaluated([-100] * 3) == {"eval_loss": 0.0, "max_seq_length": 8}


def test_perplexity_is_e_to_the_loss():
    found = evaluated([7, -100, 9])
    assert found["eval_mlm_loss"] == pytest.approx(3.0)
    assert found["eval_perplexity"] == pytest.approx(math.e**3)


def test_a_model_that_met_no_pairs_reads_the_segments_of_its_training(tmp_path):
    rows, pairs = text_of(tmp_path / "rows", SHAPES["rows"]), text_of(tmp_path / "long", SHAPES["long documents"])
    data = DataSettings(max_seq_length=16)
    assert as_read(data, 16, has_pairs=True) == (data, 16)
    alone, length = as_read(data, 16, has_pairs=False)
    of_training, read = HeldOutExamples([rows], data, 16, 3, 99), HeldOutExamples([rows], alone, length, 3, 99)
    assert len(of_training) == len(read)
    for n in range(len(read)):
        one, other = of_training.example(n)[1], read.example(n)[1]
        assert (one.a.tolist(), one.key, one.b) == (other.a.tolist(), other.key, other.b)
    of_others = HeldOutExamples([pairs], alone, length, 3, 99)
    assert {of_others.example(n)[1].next_sentence_label for n in range(len(of_others))} == {NO_PAIR}
