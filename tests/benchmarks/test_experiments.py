"""Experiments: the table by hand, a model that reads from left to right, and a whole run that goes on."""

import json
from pathlib import Path

import pytest
import torch
from helpers.loud import loud
from transformers import BertForPreTraining

from benchmarks import curve, experiments
from benchmarks.experiments import Arm, Setup, run, table
from benchmarks.left_to_right import left_to_right
from bertkit.models import headed
from bertkit.models.fast import attention


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


def test_an_experiment_goes_on_where_it_was(tmp_path, monkeypatch, own_cache):
    corpus_file, held_out = tmp_path / "text.txt", tmp_path / "held.txt"
    for file, documents in ((corpus_file, 30), (held_out, 20)):
        file.write_text("the cat sat. the dog ran away.\nhe was glad. she was sad.\n\n" * documents)
    no_nsp = Arm("no NSP", {"data.sentence_objective": "none"}, longer=1.5)
    monkeypatch.setitem(experiments.EXPERIMENTS, "two", [Arm("as it is"), no_nsp])
    small = {
        "model.num_hidden_layers": 1,
        "model.hidden_size": 16,
        "model.num_attention_heads": 2,
        "model.intermediate_size": 32,
        "train.max_steps": 2,
        "train.batch_size": 4,
        "data.max_seq_length": 32,
    }
    out = tmp_path / "out"
    setup = Setup([str(corpus_file)], [str(held_out)], "tiny", small, "embedded", None, 1, out)
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

    def tuned(_folder, is_trained, *_):
        asked.append(is_trained)
        return [0.8, 0.7, 0.9]

    monkeypatch.setattr(curve, "_sst2", tuned)
    points = curve.bench_curve([f"0={tiny_model}", f"36.5={tiny_model}"], None, tmp_path, 3)
    assert [point["tokens"] for point in points] == [0, 36.5]
    assert ["cloze" in point for point in points] == [False, True]
    assert asked == [False, True]
    curve.plot(points, tmp_path / "curve.svg")
    assert (tmp_path / "curve.svg").stat().st_size > 5_000
    with pytest.raises(curve.BertkitError, match="'mine' is no TOKENS=FOLDER"):
        curve.bench_curve(["mine"], None, None, 3)
