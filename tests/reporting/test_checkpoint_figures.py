"""What pretraining buys: figures of checkpoints over the tokens that they had read."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.made import finetuning_run, pretraining_run

from bertkit.reporting.checkpoint_figures import CheckpointFigure, fine_tuned, panels_of_tests
from bertkit.reporting.runs import Run, read_runs


def tuned(folder: Path, base_model: Path | str, **changed: Any) -> Run:
    """A fine-tuned model of a checkpoint; ``changed`` replaces parts of its results, or ``from_scratch``."""
    finetuning_run(folder)
    facts = json.loads((folder / "run.json").read_text())
    facts |= {"task": "mine/sst2", "metrics": ["accuracy", "f1"], "base_model": str(base_model)}
    (folder / "run.json").write_text(json.dumps(facts))
    if changed.pop("from_scratch", False):
        (folder / "recipe.toml").write_text("[train]\nfrom_scratch = true\n")
    results = json.loads((folder / "eval_results.json").read_text()) | changed
    (folder / "eval_results.json").write_text(json.dumps(results))
    [run] = read_runs([folder])
    return run


def swept(**settings: list[Any]) -> dict[str, Any]:
    """Two runs of a sweep, of 70 and 65 %: their mean and deviation by hand are 0.675 and 0.05 / sqrt(2)."""
    names = list(settings)
    runs = [
        dict(zip([*names, "eval_accuracy"], [*values, figure], strict=True))
        for *values, figure in zip(*settings.values(), (0.7, 0.65), strict=True)
    ]
    means = {"mean": 0.675, "standard_deviation": 0.0353553, "best": 0.7, "collapsed": 0}
    return {"metric": "eval_accuracy", **means, "runs": runs}


def test_models_fine_tuned_from_checkpoints_have_their_place_by_the_tokens_read(tmp_path: Path) -> None:
    [run] = read_runs([pretraining_run(tmp_path / "a")])  # 1,000 tokens a step
    [other] = read_runs([pretraining_run(tmp_path / "b")])
    seeds = swept(seed=[1, 2])
    found = [
        tuned(tmp_path / "of-the-end", tmp_path / "a"),
        tuned(
            tmp_path / "of-the-middle", tmp_path / "a" / "checkpoint-45", sweep=seeds
        ),  # gone by now, as old ones are
        tuned(
            tmp_path / "random", tmp_path / "a", from_scratch=True, eval_accuracy=0.5, eval_accuracy_interval_95=None
        ),
        tuned(tmp_path / "of-another", tmp_path / "b"),
        tuned(tmp_path / "of-the-hub", "bert-base-uncased"),
        other,
    ]
    figures = fine_tuned(run, found)
    assert [(one.name, one.step, one.value) for one in figures] == [
        ("sst2_accuracy", 100, 0.7),
        ("sst2_accuracy", 45, 0.675),
        ("sst2_accuracy", 0, 0.5),
    ]
    assert figures[0].interval == (0.4, 0.9)
    assert figures[1].interval == pytest.approx((0.6396447, 0.7103553))
    assert figures[2].interval is None

    [panel] = panels_of_tests([other, run], {"a": figures})
    assert (panel.title, panel.is_over_tokens) == ("sst2, fine-tuned: Accuracy", True)
    [curve] = panel.curves
    assert (curve.run, curve.places, curve.values) == (1, [0, 0.045, 0.1], [0.5, 0.675, 0.7])


def test_the_best_run_of_a_grid_is_not_drawn_as_a_mean_of_settings(tmp_path: Path) -> None:
    [run] = read_runs([pretraining_run(tmp_path / "a")])
    grid = swept(learning_rate=[1e-4, 1e-3], seed=[1, 1])
    [figure] = fine_tuned(run, [tuned(tmp_path / "tuned", tmp_path / "a", sweep=grid)])
    assert (figure.value, figure.interval) == (0.7, (0.4, 0.9))


def test_figures_of_a_run_without_a_log_of_tokens_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pretraining_run(tmp_path / "a")
    (folder / "metrics.jsonl").write_text('{"step": 100, "loss": 1.0}\n')
    figures = [CheckpointFigure("cloze_accuracy", "Cloze", step, 0.5) for step in (50, 100)]
    assert panels_of_tests(read_runs([folder]), {"a": figures}) == []
    assert "a: 2 figures of checkpoints are not drawn" in " ".join(capsys.readouterr().err.split())
