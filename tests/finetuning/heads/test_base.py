"""A head is one file and one line in the registry: here one of 40 lines, which everything else works with."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.stores import toy_tokenizer
from huggingface_hub import ModelCard

from bertkit.errors import BertkitError
from bertkit.finetuning import predict
from bertkit.finetuning.batches import FinetunePlan, collate
from bertkit.finetuning.features import Features
from bertkit.finetuning.heads import registry
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.token import TokenHead
from bertkit.finetuning.predictor import open_predictor, predictions
from bertkit.finetuning.request import FinetuneRequest
from bertkit.finetuning.run import finetune
from bertkit.finetuning.sweep import sweep
from bertkit.finetuning.windows import RowEncoder
from bertkit.models.headed import token_logits
from bertkit.reporting.report import write_report
from bertkit.reporting.runs import read_runs
from bertkit.settings.recipes import Override
from bertkit.settings.schema import FinetuneDataSettings


class Counter(Head):
    """How many tokens a text has: the model says 1 at each of them, in windows, and their sum is the answer."""

    name = "counter"
    auto_class = "AutoModelForTokenClassification"
    pipeline_tag = "token-classification"
    roles = {"text": (("text",),), "label": (("tokens",),)}
    overflow = "windows"
    metric_names = ("mean_error",)
    lower_is_better = frozenset({"mean_error"})
    label_names = []

    @classmethod
    def takes(cls, row, task):
        return "tokens" in row

    @classmethod
    def fit(cls, rows, columns, task):
        return cls()

    @classmethod
    def of_model(cls, config):
        return cls()

    def model_config(self):
        return {"num_labels": 1}

    def input(self, row, columns):
        return str(row[1][columns["text"][0]])

    def labels(self, rows, columns):
        return [int(row[columns["label"][0]]) for _, row in rows]

    def features(self, split, encoder):
        return encoder([(text,) for text in split.texts], self.overflow)

    def tensors(self, features, units):
        return {"ones": torch.ones(sum(len(features.ids[number]) for number in features.of(units)))}

    def logits(self, model, batch):
        return token_logits(model, batch, self.read(batch)).squeeze(-1)

    def read(self, batch):
        return batch["attention_mask"].bool()

    def count(self, batch):
        return float(len(batch["ones"]))

    def loss(self, logits, batch):
        return ((logits - batch["ones"]) ** 2).sum()

    def parted(self, logits, batch):
        return list(logits.split(batch["attention_mask"].sum(1).tolist()))

    def joined(self, logits):
        return np.concatenate(logits)

    def decode(self, logits, features, split):
        sums = np.bincount(features.rows, [one.sum() for one in logits], len(split.texts)).tolist()
        labels = [{}] * len(sums) if split.labels is None else [{"label": label} for label in split.labels]
        return [
            {"index": i, "prediction": one, **label} for i, (one, label) in enumerate(zip(sums, labels, strict=True))
        ]

    def score(self, predictions, split, metrics):
        return {"mean_error": float(np.mean([abs(one["prediction"] - one["label"]) for one in predictions]))}


WORDS = ["the", "cat", "sat", ".", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j"]


@pytest.fixture
def toy(monkeypatch, tiny_model, tmp_path):
    """A run of the head, its rows (some of them longer than the 16 tokens it reads at a time), and its record."""
    monkeypatch.setitem(registry.HEADS, "counter", Counter)
    random = np.random.default_rng(1)
    rows = [[str(random.choice(WORDS)) for _ in range(random.integers(1, 40))] for _ in range(120)]
    path = tmp_path / "rows.jsonl"
    windows = [-(-len(row) // 14) for row in rows]
    told = [{"text": " ".join(row), "tokens": len(row) + 2 * more} for row, more in zip(rows, windows, strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in told))
    settings = {"data.validation_split": 0.25, "data.max_seq_length": 16, "data.stride": 0, "train.batch_size": 16,
                "train.learning_rate": 3e-3, "train.max_steps": 30, "train.mixed_precision": "no"}  # fmt: skip
    request = FinetuneRequest(
        train=str(path),
        overrides=[Override(key, value, key) for key, value in settings.items()],
        model=str(tiny_model),
        out=tmp_path / "run",
        device="cpu",
    )
    return request, told, finetune(request)


def test_a_head_trains_evaluates_predicts_and_is_told_of(toy, tmp_path):
    request, told, record = toy
    results = json.loads((request.folder / "eval_results.json").read_text())
    assert (
        results["eval_mean_error"] == record.results["eval_mean_error"] < 2 < np.mean([row["tokens"] for row in told])
    )
    assert results["eval_rows"] == 30
    lines = [json.loads(line) for line in (request.folder / "predictions.jsonl").read_text().splitlines()]
    mean = np.mean([abs(line["prediction"] - line["label"]) for line in lines])
    assert results["eval_mean_error"] == pytest.approx(mean)
    assert {line["text"] for line in lines} <= {row["text"] for row in told}

    held = tmp_path / "held.jsonl"
    held.write_text("".join(json.dumps({"text": line["text"], "tokens": line["label"]}) + "\n" for line in lines))
    again = predict.evaluate(str(request.folder), None, None, str(held), [], "cpu")
    for name in ("eval_loss", "eval_mean_error"):
        assert again[name] == pytest.approx(results[name], rel=1e-5)
    # Thirty rows are read in numpy; torch says the same.
    asked = list(predict.predict_rows(str(request.folder), [str(held)], (), "auto"))
    by_torch = open_predictor(str(request.folder), "cpu")
    assert open_predictor(str(request.folder), "auto", 30).reader is not None
    answers = list(predictions(by_torch, (text for text, _ in asked)))
    for line, (_, one), other in zip(lines, asked, answers, strict=True):
        assert one["prediction"] == pytest.approx(other["prediction"], abs=1e-4)
        assert one["prediction"] == pytest.approx(line["prediction"], abs=1e-4)

    assert ModelCard.load(request.folder / "README.md").data.pipeline_tag == "token-classification"
    write_report(read_runs([request.folder]), {}, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "mean error" in page.lower()
    assert lines[0]["text"] in page


def test_a_sweep_keeps_the_best_by_the_heads_own_metric(toy, tmp_path):
    request, *_ = toy
    swept = sweep(replace(request, out=tmp_path / "sweep"), 2, None).results
    errors = [run["eval_mean_error"] for run in swept["sweep"]["runs"]]
    assert swept["eval_mean_error"] == min(errors) < max(errors)
    assert swept["sweep"]["collapsed"] == 0


def test_a_model_of_a_head_that_is_not_there_is_named(toy, monkeypatch, tmp_path):
    request, *_ = toy
    for name in ("counter", "token"):
        monkeypatch.delitem(registry.HEADS, name)
    with pytest.raises(
        BertkitError, match=r"not fine-tuned for a task that bertkit reads \(…ForSequenceClassification"
    ):
        open_predictor(str(request.folder), "cpu")


def test_a_head_is_named_or_told_by_its_rows(toy, tmp_path):
    rows = [("rows.csv:2", {"text": "the cat", "tokens": 4, "label": "x"})]
    task = predict.FinetuneRecipe().task
    assert registry.head_for(task, rows) is Counter
    assert registry.head_for(task.model_copy(update={"head": "sequence"}), rows) is registry.SequenceHead
    with pytest.raises(BertkitError, match="no head 'count'. Did you mean 'counter'"):
        registry.head_for(task.model_copy(update={"head": "count"}), rows)


def test_features_that_belong_together_go_into_one_batch():
    """As the choices of a question: two, one and three."""
    encoder = RowEncoder.of(toy_tokenizer(), FinetuneDataSettings(max_seq_length=16))
    texts = ["w0", "w5 w10", "w0 w0 w0", "w5", "w10 w5", "w0"]
    made = replace(encoder([(text,) for text in texts]), rows=np.array([0, 0, 1, 2, 2, 2]), together=True)
    assert made.units == [range(0, 2), range(2, 3), range(3, 6)]
    assert made.tokens.tolist() == [2 * 4, 5, 3 * 4]
    assert collate(made, [2, 0], 0, Counter())["input_ids"].shape == (5, 4)
    plan = FinetunePlan(made, Counter(), 0, 2, 10, seed=1, micro_batch_size=2)
    assert sorted(unit for step in range(plan.steps_per_epoch) for unit in plan.examples(step)) == [0, 1, 2]


def test_no_rows_have_no_features():
    made = Features([], None, np.zeros(0, np.int64), together=True)
    assert (made.units, made.tokens.tolist(), made.longest) == ([], [], 0)


def test_the_card_of_a_pair_names_the_usual_columns_where_they_were_guessed():
    pair = OneClass(["a", "b"])
    pair.texts = 2
    assert 'predict([{"sentence1": "he was hungry .", "sentence2": ' in pair.own_usage("runs/x")
    assert 'predict([{"left": "he was hungry .", "right": ' in pair.own_usage("runs/x", ["left", "right"])
    assert 'classify({"text": "he was hungry .", "text_pair": "he ate an apple ."})' in pair.usage("runs/x")
    tags = ["O", "S-PER", "B-PER", "I-PER", "E-PER"]  # which the pipeline of transformers joins and cuts
    assert "bertkit.load_predictor" in TokenHead(tags, "BIOES").usage("runs/x")
    assert "pipeline" in TokenHead(["O", "B-PER", "I-PER"], "BIO").usage("runs/x")
