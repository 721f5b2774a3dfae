"""What a run is told of its held-out loss, on losses made up by hand."""

from types import SimpleNamespace

import pytest

from bertkit.pretraining.baselines import Unigrams
from bertkit.pretraining.learning_watch import LearningWatch

PLAN = SimpleNamespace(total_steps=3000, epoch=lambda step: step / 3)


def said(losses, capsys, lengths=None):
    """What is said over losses at steps 500, 1,000, … against word frequencies of 6.53."""
    watch = LearningWatch(Unigrams(6.53, 0.05), PLAN)
    for number, loss in enumerate(losses):
        length = lengths[number] if lengths else 128
        watch({"step": 500 * (number + 1), "eval_mlm_loss": loss, "max_seq_length": length})
        watch({"step": 500 * (number + 1), "loss": 1.0})
    return " ".join(capsys.readouterr().err.split())


def test_a_text_that_is_learned_by_heart_is_told_from_one_that_is_not_learned(capsys):
    heard = said([6.37, 6.21, 6.80, 7.05, 7.66, 7.91], capsys)
    assert "was 6.21 after 1,000 steps and is 6.80 after 1,500: the model learns its text by heart" in heard
    assert "read 500 times" in heard
    assert "--max-steps 1000" in heard
    assert heard.count("warning:") == 1
    assert "not learning" not in heard


def test_of_a_mix_the_epochs_of_its_first_text_are_said_to_be_those(capsys):
    watch = LearningWatch(Unigrams(6.53, 0.05), PLAN, "wiki.txt")
    for step, loss in ((1500, 6.2), (3000, 6.9)):
        watch({"step": step, "eval_mlm_loss": loss, "max_seq_length": 128})
    assert "by heart, of which it has read wiki.txt 1,000 times." in " ".join(capsys.readouterr().err.split())


def test_a_resumed_run_knows_what_was_reached_before(capsys):
    watch = LearningWatch(Unigrams(6.53, 0.05), PLAN)
    logged = [
        {"step": 500 * (n + 1), "eval_mlm_loss": loss, "max_seq_length": 128} for n, loss in enumerate((6.37, 6.21))
    ]
    watch.remember([{"step": 100, "loss": 1.0}, *logged])
    watch({"step": 2000, "eval_mlm_loss": 7.0, "max_seq_length": 128})
    assert "was 6.21 after 1,000 steps and is 7.00 after 2,000" in " ".join(capsys.readouterr().err.split())


def test_a_run_that_never_beats_word_frequencies_is_not_learning(capsys):
    heard = said([9.0, 6.6, 6.55, 6.54], capsys)
    assert "not learning yet: the held-out MLM loss is 6.55 after 1,500 steps" in heard
    assert heard.count("warning:") == 1


@pytest.mark.parametrize(
    ("losses", "lengths"),
    [
        ([5.0, 4.0, 3.9, 3.8], None),
        ([5.0, 4.0, 4.1, 3.8], None),  # a rise within the noise
        ([5.0, 4.0, 4.6, 4.3], [32, 32, 128, 128]),  # longer examples are another measure
    ],
)
def test_nothing_is_said_of_a_run_that_learns(losses, lengths, capsys):
    assert said(losses, capsys, lengths) == ""
