"""The bench itself: ratios, work and waiting by hand, processes of their own, and whole runs of every command."""

import json
import operator
import os
import sys
import time
from functools import partial

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForPreTraining, DataCollatorWithPadding, pipeline
from typer.testing import CliRunner

from benchmarks import apart as apart_module
from benchmarks import processes, rounds, stand_in
from benchmarks.__main__ import app
from benchmarks.apart import apart, once
from benchmarks.machine import TRAINING, forward_flops, peak_flops
from benchmarks.predict import as_inputs
from benchmarks.pretrain import after_the_first_step, as_row, their_collator
from benchmarks.rounds import Turn, compare, figure, repeated
from benchmarks.test_plain import CHOICES, QUESTIONS, TOKENS
from benchmarks.trainer import trainer_turn
from bertkit.errors import BertkitError
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.predictor import open_predictor, predictions
from bertkit.models.bert import save_model
from bertkit.models.headed import new_headed
from bertkit.models.tokenizer_loading import load_tokenizer
from bertkit.pretraining.dataset import collator_for, feature
from bertkit.pretraining.pairs import Example
from bertkit.settings.recipes import parse_set
from bertkit.settings.schema import DataSettings, TrainSettings


class InThisProcess:
    """A contestant that is not given a process of its own, which would import torch anew."""

    def __init__(self, _, build):
        self.build, self.run = build, None

    def turn(self):
        self.run = self.run or self.build()
        return self.run()

    def close(self):
        pass


@pytest.fixture
def quick(tmp_path, monkeypatch):
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(apart_module, "_Child", InThisProcess)
    monkeypatch.setattr(rounds, "LEAST_SECONDS", 0)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def found_by(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments), "--rounds", "1", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_ratios_are_those_within_a_round():
    ours, theirs = iter([Turn(100, 1), Turn(100, 2), Turn(100, 4)]), iter([Turn(100, 2), Turn(100, 8), Turn(100, 12)])
    first, second = compare({"a": lambda: next(ours), "b": lambda: next(theirs)}, rounds=3)
    assert (first.speed, first.ratio) == (50, 1)
    assert (second.ratio, second.ratio_low, second.ratio_high) == (3, 2, 4)
    assert second.speed == pytest.approx(12.5)


def test_waiting_is_a_share_of_all_time_and_memory_the_most_of_all_turns():
    turns = [Turn(1, 1, waited_s=0.5, memory_bytes=7), Turn(1, 3, waited_s=0.5, memory_bytes=5)]
    found = figure("a", turns, turns)
    assert (found.waiting, found.memory_bytes) == (0.25, 7)
    assert (figure("a", [Turn(1, 1)], [Turn(1, 1)]).waiting) is None


def test_short_work_is_repeated_and_counted(monkeypatch):
    monkeypatch.setattr(rounds, "LEAST_SECONDS", 0.05)
    done = []
    turn = repeated(lambda: (time.sleep(0.02), done.append(1)), units=10)
    assert turn.units == 10 * len(done)
    assert len(done) > 1
    assert turn.seconds >= 0.05


def test_the_work_of_a_step_counts_each_weight_six_times_a_token():
    config = BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40, vocab_size=64)
    model = BertForPreTraining(config)
    layers = sum(p.numel() for n, p in model.bert.encoder.named_parameters() if p.ndim == 2)
    head = model.cls.predictions.transform.dense.weight.numel() + model.bert.embeddings.word_embeddings.weight.numel()
    attention = 2 * 2 * 16 * 8  # by layer: queries times keys and shares times values, a multiplication and an addition
    expected = 6 * (layers * 96 + head * 15) + 3 * 2 * attention * 96
    eight = np.full(12, 8)
    assert TRAINING * forward_flops(config, eight, eight, masked=15) == expected
    # Each token attends to its own sequence alone: 4 + 12 tokens are more work than 8 + 8.
    uneven, even = np.array([4, 12]), np.array([8, 8])
    more = forward_flops(config, uneven, uneven) - forward_flops(config, even, even)
    assert more == 4 * 2 * 16 * (4**2 + 12**2 - 2 * 8**2)


def test_the_work_of_a_classifier_is_that_of_its_first_token_in_the_last_layer():
    config = BertConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=40, vocab_size=64)
    # 5 keys and values, 1 query and output, 1 token through the feed-forward, 5 products with keys, 5 with values
    expected = 2 * (5 * 2 * 16 * 16 + 2 * 16 * 16 + 2 * 16 * 40 + 5 * 16 + 5 * 16)
    assert forward_flops(config, np.array([5]), np.array([1])) == expected


def test_the_peak_is_a_number_of_operations():
    assert 1e8 < peak_flops("cpu", "no") < 1e16


def test_the_memory_of_one_is_not_the_other_s():
    megabytes = 200
    held_here = "x" * (megabytes << 20)  # of the process that starts them, which is no part of either
    builders = {
        "small": partial(partial, Turn, 1, 1.0),
        "large": partial(partial, repeated, partial(operator.mul, "x", megabytes << 20), 1),
    }
    with apart(builders) as contestants:
        small, large = (contestants[name]().memory_bytes for name in ("small", "large"))
        assert small < megabytes << 20
        assert large - small > 0.9 * (megabytes << 20)
        assert contestants["small"]().speed == 1  # it waits for its next turn
    assert held_here


@pytest.mark.parametrize(
    ("work", "error", "said"),
    [
        (partial(parse_set, "no value"), BertkitError, "KEY=VALUE"),
        (partial(int, "x"), RuntimeError, "ValueError: invalid literal"),
        (partial(os._exit, 3), BertkitError, "exit code 3"),
    ],
)
def test_what_goes_wrong_in_another_process_is_said_here(work, error, said):
    with pytest.raises(error, match=said):
        once(work)


def test_what_is_measured_of_ours_begins_after_the_first_step():
    logged = [
        {"step": 1, "tokens": 100, "tokens_per_second": 1.0, "data_wait": 0.9},
        {"step": 9, "tokens": 900, "tokens_per_second": 200.0, "data_wait": 0.25},
        {"step": 9, "eval_loss": 1.0},
    ]
    assert after_the_first_step(logged) == (800, 4, 1)


def test_what_is_measured_of_the_trainer_begins_after_the_first_step(tiny_model):
    tokenizer, slept_s = load_tokenizer(str(tiny_model)), []

    def slow(rows):
        # Two batches are made before the first step, as the loader is always one ahead.
        slept_s.append(0.2 if len(slept_s) < 2 else 0.02)
        time.sleep(slept_s[-1])
        return DataCollatorWithPadding(tokenizer)(rows)

    model, *_ = new_headed(OneClass.auto_class, str(tiny_model), OneClass(["a", "b"]).model_config(), None, 3)
    rows = [{"input_ids": [2, 6, 3], "labels": 0}] * 8
    turn = trainer_turn(model, slow, rows, TrainSettings(batch_size=2), 4, "cpu", "no", 6)
    assert len(slept_s) == 4
    assert 0.04 <= turn.waited_s < 0.2
    assert turn.waited_s < turn.seconds
    assert turn.units == 6


def test_a_whole_process_is_timed_or_its_last_line_told():
    turn = processes.whole_process([sys.executable, "-c", "import time; time.sleep(0.1)"], os.environ)
    assert 0.1 <= turn.seconds < 60
    assert turn.memory_bytes is None or turn.memory_bytes > 1 << 20
    with pytest.raises(BertkitError, match=r"failed: error: none$"):
        processes.whole_process([sys.executable, "-c", "raise SystemExit('much\\nerror: none')"], os.environ)


def test_shares_of_time_are_ours_by_theirs(monkeypatch):
    seconds = {"-m": 0.25, "-c": 1.0}
    monkeypatch.setattr(processes, "whole_process", lambda command, _: Turn(1, seconds[command[1]]))
    ours, theirs = processes.bench_start(rounds=1)["figures"]
    assert (ours["seconds"], theirs["seconds"], theirs["share_of_its_time"]) == (0.25, 1, 0.25)


def test_both_collators_get_and_give_the_same_sequences(tiny_model):
    tokenizer, data = load_tokenizer(str(tiny_model)), DataSettings()
    examples = [Example(np.array([6, 7, 8]), np.array([9]), 1, 0), Example(np.array([10, 11]), np.array([12]), 0, 1)]
    rows = [as_row(example, tokenizer) for example in examples]
    collate = collator_for(tokenizer, data)
    ours, theirs = collate([feature(example) for example in examples]), their_collator(tokenizer, data)(rows)
    assert sorted(ours) == sorted(theirs)
    for name in ("attention_mask", "token_type_ids", "next_sentence_label"):
        assert torch.equal(ours[name], theirs[name]), name
        assert torch.equal(ours[name], collate(rows)[name]), name


def test_the_pipeline_predicts_the_same(tiny_model, tmp_path):
    model, tokenizer, _ = new_headed(OneClass.auto_class, str(tiny_model), OneClass(["a", "b"]).model_config(), None, 3)
    save_model(model, tokenizer, tmp_path)
    rows = [("the cat",), ("sat .",), ("a b c d the",)]
    ours = list(predictions(open_predictor(str(tmp_path), "cpu"), iter(rows)))
    theirs = pipeline("text-classification", model=str(tmp_path), device="cpu")(as_inputs(rows), top_k=None)
    for one, other in zip(ours, theirs, strict=True):
        assert one["probabilities"] == pytest.approx({score["label"]: score["score"] for score in other}, abs=1e-6)


def test_the_stand_in_vocabulary_is_as_large_as_bert_base_s(tiny_model, monkeypatch):
    own = load_tokenizer(str(tiny_model))
    monkeypatch.setattr("bertkit.pretraining.word_pieces.train_tokenizer", lambda *_: own)
    made = stand_in.stand_in_tokenizer()
    assert len(made) == len(made.get_vocab()) == 30_522
    assert made("the cats sat.")["input_ids"] == own("the cats sat.")["input_ids"]


def test_a_run_of_both(quick):
    found = found_by("pretrain", "--steps", 3, "--batch-size", 4, "--seq-len", 32, "--mixed-precision", "no")
    assert [one["name"] for one in found["figures"]] == ["bertkit", "transformers' Trainer"]
    for one in found["figures"]:
        assert one["speed"] > 0
        assert 0 < one["share_of_peak"] < 1.5
        assert 0 < one["waiting"] < 1
    assert found["work"].startswith("pretrain 2/128, length 32, batch 4, vocabulary 1,856, fp32")


def test_a_run_of_all_three(tiny_model, tmp_path, quick):
    rows = "".join(f"{'the cat' if i % 2 else 'a dog sat'} {'abcdefgh'[i % 8]},{i % 2}\n" for i in range(20))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    found = found_by("finetune", "--train", tmp_path / "rows.csv", "--model", tiny_model, "--steps", 4,
                     "--batch-size", 8, "--seq-len", 16, "--mixed-precision", "no")  # fmt: skip
    assert len(found["figures"]) == 3
    assert all(one["speed"] > 0 and one["share_of_peak"] > 0 and one["waiting"] > 0 for one in found["figures"])


@pytest.mark.parametrize("rows", [TOKENS, QUESTIONS, CHOICES], ids=["token", "span", "choice"])
def test_a_run_of_other_heads(rows, tiny_model, tmp_path, quick):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = found_by("finetune", "--train", tmp_path / "rows.jsonl", "--model", tiny_model, "--steps", 3,
                     "--batch-size", 4, "--seq-len", 32, "--mixed-precision", "no")  # fmt: skip
    assert len(found["figures"]) == 3
    assert all(one["speed"] > 0 and one["share_of_peak"] > 0 for one in found["figures"])


def test_a_run_of_prediction(tiny_model, tmp_path, quick):
    (tmp_path / "rows.tsv").write_text("sentence1\tsentence2\nthe cat\tsat .\na b\tc d e\n")
    found = found_by("predict", tmp_path / "rows.tsv", "--model", tiny_model, "--device", "cpu")
    assert "2 rows of" in found["work"]
    assert all(one["speed"] > 0 and one["share_of_peak"] > 0 for one in found["figures"])


def test_a_run_of_the_collators(quick):
    found = found_by("collator", "--batches", 2, "--batch-size", 4, "--seq-len", 32)
    assert [one["name"].split()[-1] for one in found["figures"]] == ["bertkit", "DataCollatorForLanguageModeling"]
    assert all(one["speed"] > 0 for one in found["figures"])


def test_a_run_of_mask_filling(tiny_model, quick, monkeypatch):
    monkeypatch.setattr(processes, "FILL_MASK", "import sys; assert sys.argv[2].count('[MASK]') == 1")
    found = found_by("mask-fill", "--model", tiny_model)
    assert all(0 < one["seconds"] < 60 for one in found["figures"])


def test_tables_say_what_is_known(quick, monkeypatch):
    figures = compare({"bertkit": lambda: Turn(500, 1, 0.25, 3 << 20), "other": lambda: Turn(100, 1)}, rounds=1)
    result = {"work": "w", "unit": "rows/s", "device": "d", "figures": [one.as_json() for one in figures]}
    monkeypatch.setattr("benchmarks.collator.bench_collator", lambda *_: result)
    shown = CliRunner().invoke(app, ["collator"], env={"COLUMNS": "120"}).stdout.splitlines()
    assert [line.split() for line in shown] == [
        ["w", "on", "d"],
        ["rows/s", "bertkit", "is", "×", "as", "fast", "memory", "waiting"],
        ["bertkit", "500", "3", "MiB", "25.0%"],
        ["other", "100", "5.00", "(5.00", "to", "5.00)"],
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["predict", "nope.txt"], "no file nope.txt"),
        (["predict", "nope.txt", "--task", "sst2"], "not both"),
        (["pretrain", "nope.txt"], "nope.txt"),
        (["collator", "--set", "data.nope=1"], "no setting 'data.nope'"),
        (["finetune"], "--task NAME"),
        (["finetune", "--train", "nope.csv"], "no file nope.csv"),
        (["mask-fill", "--recipe", "nope"], "no pretrain recipe 'nope'"),
        (["scaling", "--plot", "picture.txt"], "must end in .png"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, said, quick):
    error = CliRunner().invoke(app, [*arguments]).exception
    assert isinstance(error, BertkitError)
    assert said in str(error)
