import json
from pathlib import Path

from helpers.made import finetuning_run, pretraining_run

from bertkit.reporting.panels import panels_of, shown
from bertkit.reporting.runs import read_runs


def test_each_figure_is_drawn_with_what_was_held_out_beside_it(tmp_path: Path) -> None:
    runs = read_runs([pretraining_run(tmp_path / "a"), pretraining_run(tmp_path / "b", steps=50)])
    found = {panel.name: panel for panel in panels_of(runs)}
    assert list(found) == [
        *("loss", "mlm_loss", "nsp_loss", "mlm_accuracy", "nsp_accuracy", "perplexity"),
        *("lr", "grad_norm", "tokens_per_second"),
    ]
    # What the files say, read without us.
    lines = [json.loads(line) for line in (tmp_path / "b" / "metrics.jsonl").read_text().splitlines()]
    curves = [(curve.run, curve.held_out) for curve in found["loss"].curves]
    assert curves == [(0, False), (0, True), (1, False), (1, True)]
    assert found["loss"].curves[2].values == [line["loss"] for line in lines if "loss" in line]
    assert found["loss"].curves[3].places == [line["step"] for line in lines if "eval_loss" in line]
    assert found["mlm_loss"].level == 6.0659
    assert found["loss"].level is None


def test_a_level_is_drawn_where_all_runs_share_it(tmp_path: Path) -> None:
    folders = [pretraining_run(tmp_path / "a"), finetuning_run(tmp_path / "ft")]
    assert {p.name: p.level for p in panels_of(read_runs(folders)) if p.level} == {
        "mlm_loss": 6.0659,
        "accuracy": 0.5,
    }
    folders.append(pretraining_run(tmp_path / "b", unigram_entropy=7.5))
    assert {p.name: p.level for p in panels_of(read_runs(folders)) if p.level} == {"accuracy": 0.5}


def test_no_level_is_drawn_across_a_run_of_which_none_is_known(tmp_path: Path) -> None:
    folders = [finetuning_run(tmp_path / name) for name in ("ended", "at-work")]
    (folders[1] / "eval_results.json").unlink()  # perhaps another task
    assert not [panel for panel in panels_of(read_runs(folders)) if panel.level]


def test_what_was_not_finite_is_a_gap_and_not_a_fault(tmp_path: Path) -> None:
    folder = pretraining_run(tmp_path / "a")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 110, "loss": null, "grad_norm": null, "odd": "x"}\n')
    found = {panel.name: panel for panel in panels_of(read_runs([folder]))}
    assert found["loss"].curves[0].places[-1] == 100
    assert "odd" not in found


def test_figures_as_people_read_them() -> None:
    given = [("eval_accuracy", 0.5194), ("lr", 5.556e-05), ("tokens_per_second", 234_567.8), ("perplexity", 277.12)]
    given += [("perplexity", 1e99), ("exact_match", 0.25), ("eval_f1_untuned", 0.5), ("data_wait", 0.125)]
    given += [("eval_accuracy_mismatched", 0.75), ("majority_baseline", 0.5), ("eval_loss_mismatched", 0.7)]
    assert [shown(*one) for one in given] == [
        *("51.9 %", "5.6e-05", "234.6k", "277.1", "1e+99", "25.0 %", "50.0 %", "12.5 %"),
        *("75.0 %", "50.0 %", "0.7"),
    ]
