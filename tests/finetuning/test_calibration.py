"""Calibration errors by hand, temperatures beside torch's own minimiser, thresholds beside trying every one."""

import json

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bertkit.errors import BertkitError
from bertkit.finetuning.calibration import best_temperature, best_threshold, calibration_error
from bertkit.finetuning.predict import evaluate
from bertkit.finetuning.predictor import open_predictor
from bertkit.finetuning.request import FinetuneRequest
from bertkit.finetuning.run import finetune
from bertkit.io.memory import memory_rows
from bertkit.settings.recipes import Override
from bertkit.training.metrics_log import read_metrics

WORDS = ["the", "cat", "sat", "a", "b", "c", "."]
TEXTS = [" ".join(WORDS[(number * step) % 7] for step in range(1, 3 + number % 5)) for number in range(80)]
ONE = [{"text": text, "label": "yes" if "cat" in text and number % 5 else "no"} for number, text in enumerate(TEXTS)]
NOISY = [
    {"text": text, "label": "yes" if ("cat" in text) != (number % 8 == 0) else "no"}
    for number, text in enumerate(TEXTS)
]
SEVERAL = [
    {
        "text": text,
        "label": [name for name in ("cat", "sat", "c") if f" {name}" in text and (number % 4 or name == "c")],
    }
    for number, text in enumerate(TEXTS)
]


def run(model, out, rows, **settings):
    given = {"train.max_steps": 12, "data.max_seq_length": 32, "data.validation_split": 0.4, "train.batch_size": 8,
             "train.mixed_precision": "no", "train.learning_rate": 3e-3, "task.label": ["label"]}  # fmt: skip
    overrides = [Override(name, value, name) for name, value in {**given, **settings}.items()]
    rows = memory_rows("rows", rows)
    return finetune(FinetuneRequest(train=rows, model=str(model), out=out, device="cpu", overrides=overrides))


def predictions(out):
    return [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]


def test_the_calibration_error_of_two_bins_by_hand():
    # Two rows of 0.9, one of them right: |0.9 - 0.5|; and two of 0.6, both right: |0.6 - 1|.
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.6, 0.4]])
    assert calibration_error(shares, np.array([0, 1, 1, 0])) == pytest.approx(0.5 * 0.4 + 0.5 * 0.4)
    # Of 15 bins the eleventh ends at 11/15 = 0.73 and holds both; of 10 they would be in two, and the error 0.5.
    shares = np.array([[0.68, 0.32], [0.72, 0.28]])
    assert calibration_error(shares, np.array([1, 0])) == pytest.approx(0.2)
    # A rightly sure and a rightly unsure one cancel within a bin.
    assert calibration_error(np.array([[0.5, 0.5]] * 2), np.array([0, 1])) == pytest.approx(0.0)


def test_the_temperature_is_that_of_guo_s_own_way():
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 500)
    logits = random.normal(size=(500, 4)) * 3
    logits[np.arange(500), labels] += 2
    temperature = torch.ones(1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([temperature], lr=0.1, max_iter=200)

    def closure():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(torch.from_numpy(logits) / temperature, torch.from_numpy(labels))
        loss.backward()
        return loss

    optimizer.step(closure)
    found, why_not = best_temperature(logits, labels)
    assert found == pytest.approx(temperature.item(), rel=1e-3)
    assert why_not == ""


def test_where_ever_other_temperatures_are_better_it_stays_1():
    """By the rule: what is right gains by ever lower temperatures, and what is wrong by ever higher ones."""
    logits = np.array([[0.2, 0.1], [0.0, 0.5], [3.0, -3.0]])
    assert best_temperature(logits, np.array([0, 1, 0])) == (1.0, "all of 3 answers are right")
    assert best_temperature(logits, np.array([1, 0, 1])) == (1.0, "the best one would be over 20")
    # 500 that are right by much, and one that is wrong by a millionth.
    many = np.concatenate([np.tile([[0.1, 0.0]], (500, 1)), [[1e-6, 0.0]]])
    assert best_temperature(many, np.array([0] * 500 + [1])) == (1.0, "the best one would be under 0.05")


def test_the_threshold_is_the_best_of_all():
    random = np.random.default_rng(1)
    for _ in range(200):
        shares = random.integers(0, 12, random.integers(1, 20)) / 12  # many are equal
        labels = random.integers(0, 2, len(shares))
        found = best_threshold(shares, labels)

        def figure(threshold, shares=shares, labels=labels):
            return f1_score(labels, shares > threshold, zero_division=0)

        # One that says the label of all rows, as F1 likes for what nothing is known of, is none.
        cuts = [0.5, *(cut for cut in np.arange(1, 25, 2) / 24 if cut > shares.min())]
        assert figure(found) == pytest.approx(max(map(figure, cuts)))
        assert found == 0.5 or figure(found) > figure(0.5)


def test_a_calibrated_model_says_so_itself(tiny_model, tmp_path):
    plain = run(tiny_model, tmp_path / "plain", NOISY, **{"train.max_steps": 40})
    record = run(tiny_model, tmp_path / "run", NOISY, **{"train.max_steps": 40, "train.calibrate": True})
    results = record.results
    assert results["eval_calibration_error_before"] == plain.results["eval_calibration_error"]
    assert results["eval_loss"] < plain.results["eval_loss"]
    assert results["eval_accuracy"] == plain.results["eval_accuracy"]
    rows = predictions(tmp_path / "run")
    texts = [row["text"][0] for row in rows]
    said = np.array([list(row["probabilities"].values()) for row in rows])
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run")
    with torch.inference_mode():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    np.testing.assert_allclose(said, logits.softmax(-1).numpy(), atol=1e-6)
    uncalibrated = np.array([list(row["probabilities"].values()) for row in predictions(tmp_path / "plain")])
    divided = np.exp(np.log(uncalibrated) / results["temperature"])
    np.testing.assert_allclose(said, divided / divided.sum(1, keepdims=True), atol=1e-6)
    again = open_predictor(str(tmp_path / "run"), "cpu", len(texts))(texts)
    assert [row["prediction"] for row in again] == [row["prediction"] for row in rows]


def test_what_calibrating_does_is_said(tiny_model, tmp_path, capsys):
    results = run(tiny_model, tmp_path / "run", NOISY, **{"train.max_steps": 40, "train.calibrate": True}).results
    errors = [results[f"eval_calibration_error{when}"] for when in ("_before", "")]
    assert (
        f"temperature {results['temperature']:.3f} (train.calibrate): calibration error in validation {errors[0]:.4f} → "
        f"{errors[1]:.4f}"
    ) in " ".join(capsys.readouterr().err.split())
    plain = run(tiny_model, tmp_path / "plain", ONE)  # which learns nothing
    results = run(tiny_model, tmp_path / "none", ONE, **{"train.calibrate": True}).results
    assert results["temperature"] == 1
    assert results["eval_loss"] == plain.results["eval_loss"]
    assert (
        "temperature stays 1 (train.calibrate), as of validation the best one would be over 20"
        in capsys.readouterr().err
    )


def test_the_held_out_loss_of_a_run_with_weighted_classes_is_the_plain_cross_entropy(tiny_model, tmp_path):
    record = run(tiny_model, tmp_path / "run", ONE, **{"train.class_weights": "balanced"})
    expected = -np.mean([np.log(row["probabilities"][row["label"]]) for row in predictions(tmp_path / "run")])
    assert record.results["eval_loss"] == pytest.approx(expected, rel=1e-5)
    logged = {line["step"]: line["eval_loss"] for line in read_metrics(tmp_path / "run") if "eval_loss" in line}
    assert logged[record.facts["best_step"]] == pytest.approx(expected, rel=1e-5)


def test_what_has_no_temperature_is_refused_before_training(tiny_model, tmp_path):
    with pytest.raises(BertkitError, match="one class a row"):
        run(tiny_model, tmp_path / "run", SEVERAL, **{"train.calibrate": True})


def test_thresholds_of_labels_are_fitted_kept_and_used(tiny_model, tmp_path, capsys):
    record = run(tiny_model, tmp_path / "run", SEVERAL)
    out, rows = tmp_path / "run", predictions(tmp_path / "run")
    thresholds = record.results["thresholds"]
    names = list(thresholds)
    counts = {name: sum(name in row["label"] for row in rows) for name in names}
    assert set(thresholds.values()) != {0.5}
    for name in names:
        shares = np.array([row["probabilities"][name] for row in rows])
        labels = np.array([name in row["label"] for row in rows])
        assert thresholds[name] == (best_threshold(shares, labels) if counts[name] >= 10 else 0.5)
        assert [name in row["prediction"] for row in rows] == (shares > thresholds[name]).tolist()
    said = np.array([[name in row["prediction"] for name in names] for row in rows])
    right = np.array([[name in row["label"] for name in names] for row in rows])
    half = np.array([[row["probabilities"][name] > 0.5 for name in names] for row in rows])
    assert record.results["eval_macro_f1"] == pytest.approx(f1_score(right, said, average="macro", zero_division=0))
    assert record.results["eval_macro_f1_at_half"] == pytest.approx(
        f1_score(right, half, average="macro", zero_division=0)
    )
    assert json.loads((out / "config.json").read_text())["bertkit_thresholds"] == list(thresholds.values())
    # Whatever asks the folder says the same: few rows by numpy, many by torch, and evaluate.
    texts = [row["text"][0] for row in rows]
    for device in ("auto", "cpu"):
        answers = open_predictor(str(out), device, len(texts))(texts)
        assert [row["prediction"] for row in answers] == [row["prediction"] for row in rows]
    held = tmp_path / "held.jsonl"
    held.write_text("".join(json.dumps({"text": row["text"][0], "label": row["label"]}) + "\n" for row in rows))
    again = evaluate(str(out), None, None, str(held), [], "cpu")
    assert again["eval_macro_f1"] == pytest.approx(record.results["eval_macro_f1"])
    # What is no list of thresholds is one line.
    config = json.loads((out / "config.json").read_text())
    for damaged in ("x", [0.5], [None] * len(names)):
        (out / "config.json").write_text(json.dumps(config | {"bertkit_thresholds": damaged}))
        with pytest.raises(BertkitError, match="bertkit_thresholds"):
            open_predictor(str(out), "cpu")
