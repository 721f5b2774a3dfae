"""The plan of a pretraining run: phases, epochs, static masking, evaluation that stays the same."""

import numpy as np
import pytest
import torch
from helpers.stores import random_documents, toy_tokenizer, write_store

from bertkit.pretraining.dataset import EvaluationSet, PretrainingPlan, collator_for, sampler_for
from bertkit.pretraining.split import split_documents
from bertkit.pretraining.texts import RunText
from bertkit.settings.schema import DataSettings
from bertkit.training.schedule import Course


def plan(tmp_path, steps=20, batch_size=8, **settings):
    store = write_store(tmp_path / "store", random_documents(12))
    data = DataSettings(**{"max_seq_length": ((0.75, 16), (0.25, 24)), **settings})
    collate = collator_for(toy_tokenizer(), data)
    texts = [RunText(store, split_documents(store, 0, 1)[0])]
    return PretrainingPlan(texts, data, collate, batch_size, steps, 1, lambda _: batch_size)


def test_phases_share_the_steps(tmp_path):
    one = plan(tmp_path)
    assert [one.max_seq_length(step) for step in range(20)] == [16] * 15 + [24] * 5
    assert one.stretches() == [range(15), range(15, 20)]
    assert one.fetch(one.examples(3))["input_ids"].shape[1] <= 16 < one.fetch(one.examples(16))["input_ids"].shape[1]


def test_steps_that_are_fitted_anew_leave_those_before_as_they_are(tmp_path):
    one = plan(tmp_path, steps=40)
    before = [one.examples(step) for step in range(40)]
    one.refit(Course(40, ((10, 30),)))  # 30 planned steps in 20
    assert one.stretches() == [range(24), range(24, 30)]  # 10 + 20 planned ones in 10 + 14, of which the last is over
    assert [one.examples(step) for step in range(20)] == before[:20]
    one.refit(Course(40, ((10, 30), (26, 32))))
    assert one.stretches() == [range(24), range(24, 32)]
    later = [reference for step in range(24, 32) for reference in one.examples(step)]
    assert len({(reference.epoch, reference.number) for reference in later}) == len(later)
    assert one.examples(24)[0].epoch > one.examples(23)[-1].epoch


def test_steps_walk_through_whole_epochs(tmp_path):
    one = plan(tmp_path, steps=200)
    references = [reference for step in range(150) for reference in one.examples(step)]
    size = sum(1 for reference in references if reference.epoch == 0)
    for epoch in range(3):
        assert sorted(r.number for r in references if r.epoch == epoch) == list(range(size))
    # The second phase goes on with epochs that the first has not begun.
    assert one.examples(150)[0].epoch > max(reference.epoch for reference in references)


def test_masks_and_pairs_change_from_epoch_to_epoch_unless_static(tmp_path):
    for static in (False, True):
        one = plan(tmp_path, static_masking=static)
        first, second = (one.fetch([one.examples(0)[0]._replace(epoch=epoch)]) for epoch in (0, 1))
        same = first["labels"].shape == second["labels"].shape and torch.equal(first["labels"], second["labels"])
        assert same is static


def test_the_evaluation_set_is_fixed_and_said_where_it_is_not_all(tmp_path, capsys):
    store = write_store(tmp_path / "store", random_documents(12))
    data = DataSettings(max_eval_examples=9)

    def make(data=data):
        texts = [RunText(store, split_documents(store, 0, 1)[0])]
        return EvaluationSet(texts, data, collator_for(toy_tokenizer(), data), 24, 1)

    one, other = make(), make()
    assert len(one) == 9
    one.say_share("--set data.max_eval_examples=N")
    whole = make(DataSettings())
    assert f"evaluated: 9 of {len(whole):,} held-out examples" in capsys.readouterr().err
    whole.say_share("")
    assert capsys.readouterr().err == ""  # all of them
    assert all(torch.equal(one.fetch(range(9))[name], tensor) for name, tensor in other.fetch(range(9)).items())


def test_what_is_evaluated_is_a_sample_of_all_held_out_text(tmp_path):
    """30 of 90 documents of one example each, whose tokens are their number: the mean is that of a draw without replacement,
    within 4 standard deviations."""
    store = write_store(tmp_path / "store", [[[5 + n] * 10] * 2 for n in range(90)])
    data = DataSettings(max_eval_examples=30)
    texts = [RunText(store, split_documents(store, 0, 1)[0])]
    examples = EvaluationSet(texts, data, collator_for(toy_tokenizer(), data), 24, 1)
    drawn = {int(examples.example(position)[1].a[0]) - 5 for position in range(30)}
    assert (len(drawn), examples.there) == (30, 90)
    deviation = np.sqrt((90**2 - 1) / 12 / 30 * (90 - 30) / (90 - 1))
    assert abs(np.mean(list(drawn)) - 44.5) < 4 * deviation


def test_epochs_are_counted_over_all_phases_as_the_passes_of_the_run(tmp_path):
    one = plan(tmp_path, steps=40)
    lengths = [len(sampler_for(one._texts[0], one._data, tokens, 1)) for tokens in (16, 24)]  # noqa: SLF001
    by_hand = [0.0]
    for step in range(40):
        by_hand.append(by_hand[-1] + 8 / lengths[step >= 30])
    assert [one.epoch(step) for step in range(41)] == pytest.approx(by_hand)
    assert one.epoch(40) == pytest.approx(one.passes()[0])
