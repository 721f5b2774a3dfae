"""What pretraining buys: figures of checkpoints over the tokens that they had read."""

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.made import finetuning_run, pretraining_run

from bertkit.reporting.checkpoint_figures import CheckpointFigure, fine_tuned, panels_of_tests
from bertkit.reporting.runs import Run, read_runs

FACTS = {"task": "mine/sst2", "metrics": ["accuracy", "f1"], "finished": True, "out": "runs/mine"}


def tuned(folder: Path, base_model: Path | str, **changed: Any) -> Run:
    """A fine-tuned model of a checkpoint; ``changed`` replaces facts, parts of its results, or ``from_scratch``."""
    finetuning_run(folder)
    facts = json.loads((folder / "run.json").read_text()) | {"base_model": str(base_model)}
    facts |= {name: changed.pop(name, value) for name, value in FACTS.items()}
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


def test_models_fine_tuned_from_checkpoints_have_their_place_by_the_tokens_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = read_runs([pretraining_run(tmp_path / name) for name in "ab"])  # 1,000 tokens a step
    found = [
        other,
        tuned(tmp_path / "of-the-end", tmp_path / "a"),
        tuned(tmp_path / "of-the-middle", tmp_path / "a" / "checkpoint-45", sweep=swept(seed=[1, 2])),  # gone by now
        tuned(
            tmp_path / "random", tmp_path / "a", from_scratch=True, eval_accuracy=0.5, eval_accuracy_interval_95=None
        ),
        tuned(tmp_path / "of-the-hub", "bert-base-uncased"),
        tuned(tmp_path / "grid", tmp_path / "a", sweep=swept(learning_rate=[1e-4, 1e-3], seed=[1, 1])),
        tuned(tmp_path / "at-work", tmp_path / "a", finished=False),
        run,
    ]
    figures = fine_tuned(found)
    assert (list(figures), figures["b"]) == (["b", "a"], [])
    assert [(one.test, one.step, one.value) for one in figures["a"]] == [
        ("fine_tuned_mine/sst2_accuracy", 100, 0.7),
        ("fine_tuned_mine/sst2_accuracy", 45, 0.675),
        ("fine_tuned_mine/sst2_accuracy", 0, 0.5),
    ]
    end, middle, begin = (one.interval for one in figures["a"])
    assert (end, middle, begin) == ((0.4, 0.9), pytest.approx((0.6396447, 0.7103553)), None)
    said = " ".join(capsys.readouterr().err.split())
    assert "not shown over the tokens read, as made of no checkpoint of these runs: of-the-hub" in said
    assert "as the best of a grid, which was chosen by the same rows: grid" in said
    assert "as not finished: at-work" in said

    [panel] = panels_of_tests(found, figures)
    assert (panel.title, panel.is_over_tokens, panel.is_share) == ("sst2, fine-tuned: Accuracy", True, True)
    [curve] = panel.curves
    assert (curve.run, curve.places, curve.values) == (len(found) - 1, [0, 0.045, 0.1], [0.5, 0.675, 0.7])


def test_what_a_run_began_from_is_at_its_step_0(tmp_path: Path) -> None:
    """Random weights are not what an adapted model began from."""
    adapted = pretraining_run(tmp_path / "adapted", base_model=str(tmp_path / "a" / "checkpoint-50"))
    runs = read_runs([pretraining_run(tmp_path / "a"), adapted])
    base = tuned(tmp_path / "base", tmp_path / "a" / "checkpoint-50")
    random = tuned(tmp_path / "random", tmp_path / "adapted", from_scratch=True)
    figures = fine_tuned([*runs, base, random])
    assert {name: [one.step for one in some] for name, some in figures.items()} == {"a": [50], "adapted": [0]}


def test_a_base_is_found_from_where_the_run_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for project in ("mine", "yours"):
        pretraining_run(tmp_path / project / "runs" / "a")
    tuned(tmp_path / "mine" / "runs" / "tuned", "runs/a/checkpoint-50", out="runs/tuned")
    monkeypatch.chdir(tmp_path / "yours")
    (tmp_path / "mine").rename(tmp_path / "moved")
    runs = read_runs([Path("runs/a"), Path("../moved/runs/a"), Path("../moved/runs/tuned")])
    figures = fine_tuned(runs)
    assert {name: len(some) for name, some in figures.items()} == {"runs/a": 0, "../moved/runs/a": 1}


def test_tables_of_one_name_are_not_one_curve_and_numbers_no_shares(tmp_path: Path) -> None:
    [run] = read_runs([pretraining_run(tmp_path / "a")])
    found = [
        tuned(tmp_path / name, tmp_path / "a", task=f"{name}/accuracy.csv", metrics=["mse"], eval_mse=0.25)
        for name in "xy"
    ]
    panels = panels_of_tests([run], fine_tuned([run, *found]))
    assert [panel.title for panel in panels] == [
        f"{name}/accuracy.csv, fine-tuned: Mean squared error" for name in "xy"
    ]
    assert [panel.shown(0.25) for panel in panels] == ["0.25", "0.25"]


def test_the_tokens_are_those_of_the_checkpoint_and_none_are_made_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = pretraining_run(tmp_path / "a")
    (folder / "checkpoint-45").mkdir()
    (folder / "checkpoint-45" / "state.json").write_text('{"step": 45, "tokens": 12345}')
    [run] = read_runs([folder])
    assert [run.tokens_at(step) for step in (0, 45, 55, 100, 101)] == [0, 12_345, 55_000, 100_000, None]
    (folder / "checkpoint-45" / "state.json").write_text('{"step": 45, "tok')  # damaged: the log is asked
    assert run.tokens_at(45) == 45_000
    figures = [CheckpointFigure("cloze", "Cloze", "accuracy", step, 0.5) for step in (100, 101)]
    [panel] = panels_of_tests([run], {"a": figures})
    assert panel.curves[0].places == [0.1]
    told = "a: 1 figure of 'Cloze' not shown, as neither a checkpoint nor the log tells the tokens read"
    assert told in " ".join(capsys.readouterr().err.split())
    assert [panel.at(place) for place in (0.00383, 0.76, 1234)] == ["3,830 tokens", "0.8M tokens", "1,234.0M tokens"]
