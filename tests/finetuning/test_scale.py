"""Numbers in thousands: standardised in training, told as they are by the finished model, in plain transformers too."""

import json

import numpy as np
import pytest
import torch
from helpers.interrupted import cut_off
from sklearn.metrics import mean_squared_error
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bertkit.finetuning.data import load_labelled
from bertkit.finetuning.labelled import DataRequest
from bertkit.finetuning.predictor import open_predictor
from bertkit.finetuning.request import FinetuneRequest
from bertkit.finetuning.run import finetune
from bertkit.finetuning.scale import Scale
from bertkit.io.memory import memory_rows
from bertkit.settings.recipes import Override
from bertkit.settings.schema import TaskSettings

PRICES = [12_000 + 3_500 * (number % 5) for number in range(40)]


def rows():
    words = ["the", "cat", "sat", "a", "b"]
    return [{"text": f"{words[number % 5]} {words[number % 3]}", "price": price} for number, price in enumerate(PRICES)]


def price_run(model, out, **flags):
    settings = {"train.max_steps": 6, "train.eval_steps": 2, "train.save_steps": 2, "train.save_total_limit": 9,
                "data.max_seq_length": 32}  # fmt: skip
    settings |= {"data.validation_split": 0.25, "task.label": ["price"], "train.batch_size": 8}
    settings |= {"train.mixed_precision": "no", "train.learning_rate": 1e-3, "task.problem_type": "regression"}
    overrides = [Override(name, value, name) for name, value in settings.items()]
    return finetune(FinetuneRequest(train=memory_rows("rows", rows()), model=str(model), out=out, device="cpu",
                                    overrides=overrides, **flags))  # fmt: skip


@pytest.fixture
def run(tiny_model, tmp_path):
    return price_run(tiny_model, tmp_path / "run"), tmp_path / "run"


def test_prices_in_thousands_come_out_as_prices_everywhere(run):
    record, out = run
    kept = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    said, right = [row["prediction"] for row in kept], [row["label"] for row in kept]
    assert min(PRICES) < np.mean(said) < max(PRICES)
    assert record.results["eval_mse"] == pytest.approx(mean_squared_error(right, said), rel=1e-5)
    assert record.results["eval_loss"] == pytest.approx(record.results["eval_mse"], rel=1e-5)
    assert record.results["mean_baseline_mse"] == pytest.approx(np.var(right))
    # As transformers says it, which knows of no scale.
    config = json.loads((out / "config.json").read_text())
    assert "bertkit_scale" not in config
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    texts = [row["text"][0] for row in kept]
    with torch.inference_mode():
        plain = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits[:, 0].tolist()
    assert said == pytest.approx(plain, rel=1e-5)
    # A checkpoint keeps the scale beside its weights; read by it, it says the same.
    best = open_predictor(str(out / f"checkpoint-{record.best_step}"), "cpu")
    assert [row["prediction"] for row in best(texts)] == pytest.approx(said, rel=1e-5)


def test_a_resumed_run_ends_in_the_same_bytes(run, tiny_model):
    _, out = run
    whole = cut_off(out, after=2)
    price_run(tiny_model, out, resume=True)
    assert (out / "model.safetensors").read_bytes() == whole


def test_a_folded_layer_says_what_was_scaled():
    layer, states = torch.nn.Linear(8, 1).double(), torch.randn(5, 8, dtype=torch.float64)
    scale = Scale.of(np.array([1e6, 3e6, 2e6]))
    expected = 2e6 + np.sqrt(2 / 3) * 1e6 * layer(states)
    scale.fold_into(layer)
    assert torch.allclose(layer(states), expected, rtol=1e-12)
    assert Scale.of(np.array([7.0, 7.0])) == Scale(7.0, 1.0)


@pytest.mark.parametrize(("first", "is_said"), [(1_700_000_000, True), (16_777_217, True), (0, False), (0.1, False)])
def test_numbers_that_32_bits_cannot_tell_apart_are_said(first, is_said):
    labelled = [{"text": f"a {n}", "label": first + n} for n in range(300)]
    asked = DataRequest(TaskSettings(problem_type="regression"), None, memory_rows("rows", labelled), None, 0.1, 1)
    told = [one for one in load_labelled(asked).notes if "32-bit numbers have 7 digits" in one]
    assert bool(told) == is_said
    if first == 16_777_217:  # fp32 has the even ones alone from 2 ** 24 on
        assert told[0].startswith("labels in train are off by up to 1, ")
