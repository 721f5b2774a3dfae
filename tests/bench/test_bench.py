"""The bench itself: ratios by hand, the work of a step by hand, and a whole run."""

import json

import pytest
from transformers import BertConfig, BertForPreTraining
from typer.testing import CliRunner

from bertkit.bench.machine import peak_flops, step_flops
from bertkit.bench.rounds import Turn, compare
from bertkit.cli import app


def test_ratios_are_those_within_a_round():
    ours, theirs = iter([Turn(100, 1), Turn(100, 2), Turn(100, 4)]), iter([Turn(100, 2), Turn(100, 8), Turn(100, 12)])
    first, second = compare({"a": lambda: next(ours), "b": lambda: next(theirs)}, rounds=3)
    assert (first.speed, first.ratio) == (50, 1)
    assert (second.ratio, second.ratio_low, second.ratio_high) == (3, 2, 4)
    assert second.speed == pytest.approx(12.5)


def test_the_work_of_a_step_counts_each_weight_six_times_a_token():
    config = BertConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=40, vocab_size=64)
    model = BertForPreTraining(config)
    layers = sum(p.numel() for n, p in model.bert.encoder.named_parameters() if p.ndim == 2)
    head = model.cls.predictions.transform.dense.weight.numel() + model.bert.embeddings.word_embeddings.weight.numel()
    attention = 2 * 2 * 16 * 8  # by layer: queries times keys and shares times values, a multiplication and an addition
    expected = 6 * (layers * 100 + head * 15) + 3 * 2 * attention * 100
    assert step_flops(config, tokens=100, length=8, masked=15) == expected


def test_the_peak_is_a_number_of_operations():
    assert 1e8 < peak_flops("cpu", "no") < 1e16


def test_a_run_of_both(tmp_path, monkeypatch):
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path))
    arguments = ["bench", "pretrain", "--steps", "3", "--rounds", "1", "--batch-size", "4", "--seq-len", "32",
                 "--mixed-precision", "no", "--json"]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout.splitlines()[-1])
    assert [one["name"] for one in found["figures"]] == ["bertkit", "transformers' Trainer"]
    assert all(one["speed"] > 0 and 0 < one["share_of_peak"] < 1.5 for one in found["figures"])
    assert found["work"].startswith("pretrain 2/128, length 32, batch 4, vocabulary 4,096, fp32")


def test_a_run_of_all_three(tiny_model, tmp_path):
    rows = "".join(f"{'the cat' if i % 2 else 'a dog sat'} {'abcdefgh'[i % 8]},{i % 2}\n" for i in range(60))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    arguments = ["bench", "finetune", "--train", str(tmp_path / "rows.csv"), "--model", str(tiny_model), "--steps", "3",
                 "--rounds", "1", "--batch-size", "8", "--seq-len", "16", "--mixed-precision", "no", "--json"]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout.splitlines()[-1])
    assert len(found["figures"]) == 3
    assert all(one["speed"] > 0 for one in found["figures"])
