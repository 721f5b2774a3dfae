"""Experiments: the table by hand, a model that reads from left to right, and a whole run that goes on."""

import json
import tomllib
from pathlib import Path

import pytest
import torch
from helpers.loud import loud
from safetensors.torch import load_file
from transformers import BertForPreTraining

import bertkit
from benchmarks import curve, experiments, variants
from benchmarks.experiments import Arm, Setup, run, table
from benchmarks.left_to_right import left_to_right
from bertkit.models import headed
from bertkit.models.fast import attention
from bertkit.pretraining import objective
from bertkit.settings.schema import TrainSettings
from bertkit.training import loop

_SMALL = {
    "model.num_hidden_layers": 1,
    "model.hidden_size": 16,
    "model.num_attention_heads": 2,
    "model.intermediate_size": 32,
    "train.max_steps": 2,
    "train.batch_size": 4,
    "data.max_seq_length": 32,
}


def test_a_figure_is_bold_beyond_two_standard_errors():
    near = [{"arm": "b", "seed": seed, "cloze": value} for seed, value in enumerate((0.20, 0.21, 0.22))]
    far = [{"arm": "c", "seed": seed, "cloze": value} for seed, value in enumerate((0.30, 0.31, 0.32))]
    base = [{"arm": "a", "seed": seed, "cloze": value} for seed, value in enumerate((0.19, 0.20, 0.21))]
    # Standard error of a difference of means: sqrt(0.01 ** 2 / 3 * 2) = 0.0082; b differs by 0.01, c by 0.11.
    assert table(["a", "b", "c"], [*base, *near, *far]) == (
        "| | cloze, % |\n| --- | --- |\n| a | 20.0 ± 1.0 |\n| b | 21.0 ± 1.0 |\n| c | **31.0 ± 1.0** |\n"
    )


def test_from_left_to_right_what_comes_later_changes_nothing(tiny_model, tmp_path):
    model = loud(tiny_model, tmp_path / "loud", BertForPreTraining, 0, 0.3).eval()
    attention.attend_unpadded(model)
    ids = torch.tensor([[2, 7, 8, 9, 3], [2, 7, 8, 3, 0]])
    mask = (ids > 0).long()
    changed = torch.where(ids == 9, 10, ids)
    wanted = mask.bool()

    def states(some):
        with torch.no_grad():
            return attention.encode(model.base_model, some, mask, torch.zeros_like(ids), wanted)

    both_ways = (states(ids) - states(changed)).abs().amax(dim=1)
    assert (both_ways[:5] > 1e-6).all()
    with left_to_right():
        difference = (states(ids) - states(changed)).abs().amax(dim=1)
        assert torch.equal(difference > 1e-6, torch.tensor([False] * 3 + [True] * 2 + [False] * 4))
        assert headed.first_tokens({"attention_mask": mask}).nonzero().tolist() == [[0, 4], [1, 3]]
    assert torch.equal((states(ids) - states(changed)).abs().amax(dim=1), both_ways)
    assert headed.first_tokens({"attention_mask": mask}).nonzero().tolist() == [[0, 0], [1, 0]]


def test_all_arms_begin_with_the_weights_that_are_given(tiny_model, tmp_path, monkeypatch, own_cache):
    text, held_out = tmp_path / "text.txt", tmp_path / "held.txt"
    for file, documents in ((text, 30), (held_out, 20)):
        file.write_text("the cat sat. the dog ran away.\nhe was glad. she was sad.\n\n" * documents)
    monkeypatch.setitem(experiments.EXPERIMENTS, "one", [Arm("as it is")])
    settings = {"train.max_steps": 2, "train.batch_size": 4, "data.max_seq_length": 32, "train.learning_rate": 1e-9}
    out = tmp_path / "out"
    run("one", Setup([str(text)], [str(held_out)], "tiny", settings, "embedded", None, 1, out, str(tiny_model)))
    before, after = (load_file(folder / "model.safetensors") for folder in (Path(tiny_model), out / "as-it-is-1"))
    name = "bert.embeddings.word_embeddings.weight"
    torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-6)


def test_an_experiment_goes_on_where_it_was(tmp_path, monkeypatch, own_cache):
    corpus_file, held_out = tmp_path / "text.txt", tmp_path / "held.txt"
    for file, documents in ((corpus_file, 30), (held_out, 20)):
        file.write_text("the cat sat. the dog ran away.\nhe was glad. she was sad.\n\n" * documents)
    no_nsp = Arm("no NSP", {"data.sentence_objective": "none"}, longer=1.5)
    monkeypatch.setitem(experiments.EXPERIMENTS, "two", [Arm("as it is"), no_nsp])
    out = tmp_path / "out"
    setup = Setup([str(corpus_file)], [str(held_out)], "tiny", _SMALL, "embedded", None, 1, out)
    first = run("two", setup)
    assert [line.split(" | ")[0] for line in first.splitlines()[2:]] == ["| as it is", "| no NSP"]
    results = [json.loads(line) for line in Path(out / "results.jsonl").read_text().splitlines()]
    assert [one["arm"] for one in results] == ["as it is", "no NSP"]
    assert ["eval_nsp_accuracy" in one for one in results] == [True, False]
    steps = [
        json.loads((out / f"{folder}-1" / "run.json").read_text())["max_steps"] for folder in ("as-it-is", "no-NSP")
    ]
    assert steps == [2, 3]
    (out / "results.jsonl").write_text(json.dumps(results[0] | {"cloze": 0.5}) + "\n")
    assert "50.0" in run("two", setup).splitlines()[2]


def test_an_unknown_experiment_names_those_there_are(tmp_path):
    with pytest.raises(experiments.BertkitError, match="no experiment 'x': choose of masks"):
        run("x", Setup([], [], "tiny", {}, "embedded", None, 1, tmp_path))


def test_a_curve_has_a_point_a_model_and_random_weights_are_at_nought(tiny_model, tmp_path, monkeypatch):
    asked = []

    def tuned(task, _folder, _data, seed, from_scratch):
        asked.append((task, seed, from_scratch))
        return 0.8 + (seed - 43) / 10

    monkeypatch.setattr(curve, "glue_figure", tuned)
    out, models = tmp_path / "out", [f"0={tiny_model}", f"36.5={tiny_model}"]
    points = curve.bench_curve(models, [], tmp_path, 3, out)
    assert [point["tokens"] for point in points] == [0, 36.5]
    assert ["cloze, right at once, %" in point["figures"] for point in points] == [False, True]
    assert points[0]["figures"]["STS-B, Pearson, %"] == pytest.approx((0.8, 0.7, 0.9))  # 0.7, 0.8 and 0.9
    assert len(asked) == 2 * 4 * 3
    assert asked[:3] == [("sst2", 42, True), ("sst2", 43, True), ("sst2", 44, True)]
    assert json.dumps(curve.bench_curve(models, [], tmp_path, 3, out)) == json.dumps(points)
    assert len(asked) == 2 * 4 * 3
    curve.plot(points, tmp_path / "curve.svg")
    assert (tmp_path / "curve.svg").stat().st_size > 5_000
    with pytest.raises(curve.BertkitError, match="'mine' is no TOKENS=FOLDER"):
        curve.bench_curve(["mine"], [], None, 3, tmp_path)


def test_parts_follow_one_another_from_each_other_s_weights(tmp_path, monkeypatch, own_cache):
    text, held_out = tmp_path / "text.txt", tmp_path / "held.txt"
    for file in (text, held_out):
        file.write_text(f"the cat sat. the dog ran away.\nhe saw {file.stem}. she was sad.\n\n" * 30)
    arm = Arm("two", parts=((0.5, {"data.mlm_probability": 0.3}), (0.25, {})))
    monkeypatch.setitem(experiments.EXPERIMENTS, "parts of two", [arm])
    settings = _SMALL | {"train.max_steps": 8}
    run("parts of two", Setup([str(text)], [str(held_out)], "tiny", settings, "embedded", None, 1, tmp_path / "out"))
    first, last = (json.loads((tmp_path / "out" / name / "run.json").read_text()) for name in ("two-1-part-1", "two-1"))
    recipes = [
        tomllib.loads((tmp_path / "out" / name / "recipe.toml").read_text()) for name in ("two-1-part-1", "two-1")
    ]
    assert [record["max_steps"] for record in (first, last)] == [4, 2]
    assert [recipe["data"]["mlm_probability"] for recipe in recipes] == [0.3, 0.15]
    shown = [(r["train"]["warmup"], r["train"]["lr_scheduler_type"], r["train"]["seed"]) for r in recipes]
    assert shown == [(1, "constant", 1), (0, "linear", 1001)]
    assert last["base_model"].endswith("two-1-part-1")


def test_the_z_loss_is_palm_s_and_of_training_alone():
    hidden, weight = torch.tensor([[1.0, 0.0], [0.0, 2.0]], requires_grad=True), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([0, -100])
    plain, _ = objective.vocabulary_loss(hidden, weight, torch.zeros(2), labels)
    with variants.z_loss(0.5):
        with torch.no_grad():
            assert objective.vocabulary_loss(hidden, weight, torch.zeros(2), labels)[0] == plain
        loss, _ = objective.vocabulary_loss(hidden, weight, torch.zeros(2), labels)
        loss.backward()
    # log(e + 1) = 1.31326; its square / 2 = 0.86233. The gradient of the logits is softmax - [1, 0] + z * softmax, that of
    # the hidden state the same, as the weights are the identity: (0.73106 * 2.31326 - 1, 0.26894 * 2.31326).
    assert float((loss - plain).detach()) == pytest.approx(0.86233, abs=1e-5)
    assert hidden.grad.tolist() == [pytest.approx([0.69112, 0.62213], abs=1e-5), [0, 0]]
    assert objective.vocabulary_loss(hidden, weight, torch.zeros(2), labels)[0] == plain


def test_a_factor_of_the_embeddings_rate_is_theirs_alone(tiny_model):
    model = BertForPreTraining.from_pretrained(tiny_model)
    module = objective.BertPretrainingObjective(model)
    with variants.embedding_rate(0.3):
        optimizer = loop.build_optimizer(module, TrainSettings(), {})
    by_factor = {group.get("lr_factor", 1): group["params"] for group in optimizer.param_groups}
    assert [one is model.bert.embeddings.word_embeddings.weight for one in by_factor[0.3]] == [True]


def test_averaged_weights_are_the_average_of_each_step_s(tmp_path, own_cache):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat. the dog ran away.\nhe was glad. she was sad.\n\n" * 30)
    settings = _SMALL | {"train.max_steps": 3, "train.save_steps": 1, "train.save_total_limit": 3}

    def weights(folder):
        return load_file(folder / "model.safetensors")["bert.embeddings.word_embeddings.weight"]

    def train(out):
        bertkit.pretrain([str(text)], tokenizer="embedded", recipe="tiny", settings=settings, out=out, device="cpu")

    train(tmp_path / "plain")
    with variants.averaged_weights(0.75):
        train(tmp_path / "averaged")
    one, two, three = (weights(tmp_path / "plain" / f"checkpoint-{step}") for step in (1, 2, 3))
    # w1, then 3/4 w1 + 1/4 w2, then 9/16 w1 + 3/16 w2 + 1/4 w3.
    torch.testing.assert_close(weights(tmp_path / "averaged"), 9 / 16 * one + 3 / 16 * two + three / 4)
