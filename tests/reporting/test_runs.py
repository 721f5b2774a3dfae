from pathlib import Path

import pytest
from helpers.made import LABELS, finetuning_run, pretraining_run

from bertkit.errors import BertkitError
from bertkit.reporting.runs import Run, is_number, mistakes, model_folders, read_runs


def run_of(predictions: list[dict]) -> Run:
    return Run("x", Path("x"), {}, {}, [], {}, predictions)


def test_a_run_is_read_whole(tmp_path: Path) -> None:
    (run,) = read_runs([pretraining_run(tmp_path / "a")])
    assert (run.name, run.step, run.is_finished, run.is_pretraining) == ("a", 100, True, True)
    assert run.settings == {"model.hidden_size": 128, "train.learning_rate": 0.001, "train.seed": 42}
    assert run.results["eval_mlm_loss"] == 5
    assert run.last("tokens") == 100_000


def test_a_run_that_goes_on_has_the_figures_so_far(tmp_path: Path) -> None:
    folder = pretraining_run(tmp_path / "a", finished=False)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    (folder / "metrics.jsonl").write_text("\n".join(lines[:7]) + '\n{"step": 70, "lo')  # cut off while it is written
    (run,) = read_runs([folder])
    assert (run.is_finished, run.step, run.results["step"]) == (False, 60, 50)


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    one, other = pretraining_run(tmp_path / "x" / "a"), pretraining_run(tmp_path / "y" / "a")
    assert [run.name for run in read_runs([one, other, one])] == [str(one), str(other)]


def test_a_run_that_is_named_in_several_ways_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one, other = pretraining_run(Path("a")), pretraining_run(Path("b"))
    Path("link").symlink_to("a")
    ways = [one, other, one.absolute(), Path("b/../a"), Path("link"), other]
    assert [run.name for run in read_runs(ways)] == ["a", "b"]
    assert [run.folder for run in read_runs(ways)] == [one, other]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (None, "no folder"),
        ({}, "is no run: it has neither run.json nor metrics.jsonl"),
        ({"config.json": b"{}"}, "is no run"),
        ({"run.json": b"[1]"}, "run.json holds no JSON object"),
        ({"run.json": b"[" * 9_999}, "run.json is nested too deeply"),
        ({"metrics.jsonl": b"\xff\x00\xfe"}, "is no run"),
        (
            {"export.json": b'{"kind": "pretrain", "exported_from": "b"}'},
            "a is an export of b, and no run: give the folder of",
        ),
        ({"run.json": b'{"seed": 1}', "recipe.toml": b"= 3"}, "recipe.toml is not valid TOML"),
    ],
)
def test_what_is_no_run_is_one_line(made: dict[str, bytes] | None, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    if made is not None:
        folder.mkdir()
        for name, content in made.items():
            (folder / name).write_bytes(content)
    with pytest.raises(BertkitError, match=message):
        read_runs([folder])


def test_the_model_at_the_end_takes_the_place_of_its_checkpoint(tmp_path: Path) -> None:
    folder = pretraining_run(tmp_path / "a")
    for step in (50, 100):
        (folder / f"checkpoint-{step}").mkdir()
        (folder / f"checkpoint-{step}" / "config.json").write_text("{}")
    (folder / "checkpoint-70").mkdir()  # being removed
    (run,) = read_runs([folder])
    assert model_folders(run) == [(50, folder / "checkpoint-50"), (100, folder / "checkpoint-100")]
    (folder / "model.safetensors").write_bytes(b"")
    assert model_folders(run) == [(50, folder / "checkpoint-50"), (100, folder)]


def test_the_worst_error_is_the_one_whose_truth_was_least_expected(tmp_path: Path) -> None:
    (run,) = read_runs([finetuning_run(tmp_path / "ft")])
    # By hand: rows 4 (4 % for the truth), 7 (5 %) and 2 (40 %) are wrong.
    assert [row["index"] for row in mistakes(run, 9)] == [4, 7, 2]
    assert [row["index"] for row in mistakes(run, 1)] == [4]
    assert run.confusion is not None
    assert run.confusion["labels"] == LABELS


def test_numbers_err_by_their_distance() -> None:
    rows = [{"label": 1.0, "prediction": 1.5}, {"label": 4.0, "prediction": 1.0}, {"label": 2.0, "prediction": 2.0}]
    assert [row["badness"] for row in mistakes(run_of(rows), 9)] == [3.0, 0.5]


def test_choices_err_by_what_was_given_to_the_right_one() -> None:
    rows = [
        {"index": 0, "label": 0, "prediction": 3, "probabilities": [0.33, 0.1, 0.1, 0.47]},
        {"index": 1, "label": 0, "prediction": 1, "probabilities": [0.01, 0.9, 0.05, 0.04]},
    ]
    found = mistakes(run_of(rows), 9)
    assert [row["index"] for row in found] == [1, 0]
    assert found[0]["badness"] == pytest.approx(4.60517, abs=1e-5)  # -log(0.01)


def test_several_classes_at_once_err_by_all_of_them() -> None:
    shares = {"a": 0.9, "b": 0.5, "c": 0.2}
    row = {"label": ["b"], "prediction": ["a"], "probabilities": shares}
    # -log(1 - 0.9) - log(0.5) - log(1 - 0.2)
    assert mistakes(run_of([row]), 9)[0]["badness"] == pytest.approx(3.21888, abs=1e-5)


@pytest.mark.parametrize(
    "found",
    [None, [], {}, {"labels": ["a"], "matrix": [[1, 2]], "per_class": {}}, "x",
     {"labels": ["a", "b"], "matrix": [[-5, 1], [0, 9]], "per_class": {}}],
)  # fmt: skip
def test_a_broken_confusion_is_left_out(found: object) -> None:
    assert Run("x", Path("x"), {}, {}, [], {"confusion": found}, []).confusion is None


def test_what_json_gives_as_a_number_that_cannot_be_drawn() -> None:
    values = [1, 0.5, True, None, "1", float("nan"), float("inf"), 10**400]
    assert [is_number(value) for value in values] == [True, True, *[False] * 6]
