"""Sweeps: a finished run is taken over only where it is what was asked, and a grid varies only what it can."""

import errno
import json
import os
import shutil
from dataclasses import replace

import pytest
from filelock import FileLock
from transformers import AutoModelForSequenceClassification

from bertkit.errors import BertkitError
from bertkit.finetuning.request import FinetuneRequest
from bertkit.finetuning.sweep import parse_grid, sweep
from bertkit.io.memory import memory_rows
from bertkit.models.folder import FEATURE_WEIGHTS, WEIGHTS
from bertkit.settings.recipes import Override
from bertkit.training.run_folder import LOCK

ROWS = [
    {"text": f"{'the cat' if i % 2 else 'a'} {'abcdefgh'[i % 8]}", "label": ["no", "yes"][i % 2]} for i in range(40)
]
SETTINGS = {
    "train.max_steps": 2,
    "train.mixed_precision": "no",
    "data.validation_split": 0.3,
    "data.max_seq_length": 16,
}


def request_for(out, model, rows=ROWS, **settings):
    overrides = [Override(name, value, f"--set {name}={value}") for name, value in {**SETTINGS, **settings}.items()]
    return FinetuneRequest(
        train=memory_rows("train", rows), model=str(model), out=out, device="cpu", overrides=overrides
    )


def times(out):
    return {path: path.stat().st_mtime_ns for path in out.glob("*/run.json")}


@pytest.fixture(scope="module")
def swept(tiny_model, tmp_path_factory):
    """The folder of two finished runs."""
    out = tmp_path_factory.mktemp("swept") / "out"
    sweep(request_for(out, tiny_model), 2, None)
    return out


def test_finished_runs_are_taken_over_counted_and_the_others_are_made(swept, tiny_model, tmp_path, capsys):
    before, made = times(swept), json.loads((swept / "eval_results.json").read_text())["sweep"]
    assert len(before) == 2
    resumed = replace(request_for(swept, tiny_model), resume=True)
    assert sweep(resumed, 2, None).results["sweep"] == made
    assert times(swept) == before
    assert "2 finished runs are taken over, of 2 (--overwrite" in capsys.readouterr().err
    # How its rows fit into memory does not change a run.
    settings = {"train.micro_batch_size": 3}
    more = sweep(replace(request_for(swept, tiny_model, **settings), resume=True), 3, None).results["sweep"]
    assert more["runs"][:2] == made["runs"]
    assert {path: time for path, time in times(swept).items() if path in before} == before
    assert len(more["runs"]) == len(times(swept)) == 3
    told = capsys.readouterr().err
    assert "2 finished runs are taken over, of 3" in told
    assert ("run 3 of 3: seed=44" in told, "run 2 of 3" in told) == (True, False)


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (ROWS, {"train.max_steps": 3}, r"cannot resume .*seed=42 with train.max_steps = 3: it was begun with 2"),
        (ROWS, {"train.learning_rate": 1e-5}, r"with train.learning_rate = 1e-05: it was begun with"),
        (
            ROWS[:20] + ROWS[:20],
            {},
            "cannot resume .*seed=42: what its text or rows hold, or its tokenizer, has changed",
        ),
    ],
)
def test_a_finished_run_of_something_else_is_not_taken_over(swept, tiny_model, rows, settings, message):
    before = times(swept)
    with pytest.raises(BertkitError, match=message):
        sweep(replace(request_for(swept, tiny_model, rows, **settings), resume=True), 2, None)
    assert times(swept) == before


def test_a_finished_run_of_another_model_is_not_taken_over(swept, tiny_model, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    for path in tiny_model.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    with pytest.raises(BertkitError, match=f"with --model {other}: it was begun with --model {tiny_model}"):
        sweep(replace(request_for(swept, other), resume=True), 2, None)
    monkeypatch.chdir(tiny_model.parent)  # the same model by another path
    assert sweep(replace(request_for(swept, tiny_model.name), resume=True), 2, None).finished


@pytest.mark.parametrize("facts", [{"kind": "pretrain"}, {"kind": "finetune"}])
def test_a_run_in_the_folder_itself_is_not_replaced_by_a_resumed_sweep(tiny_model, tmp_path, facts):
    """By the best of its runs, of which none is made."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "run.json").write_text(json.dumps({**facts, "finished": True, "out": str(out)}))
    (out / "model.safetensors").write_bytes(b"hours of work")
    before = sorted(out.rglob("*"))
    with pytest.raises(BertkitError, match=f"cannot resume {out} as several runs: another run is in it"):
        sweep(replace(request_for(out, tiny_model), resume=True), 2, None)
    assert sorted(out.rglob("*")) == before
    assert (out / "model.safetensors").read_bytes() == b"hours of work"


def test_a_sweep_that_was_killed_before_it_wrote_its_summary_is_resumed(swept, tiny_model, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(swept, out)
    (out / "eval_results.json").unlink()
    assert sweep(replace(request_for(out, tiny_model), resume=True), 2, None).results["sweep"]


def test_a_copy_of_the_best_run_that_fails_leaves_no_half_file_and_no_record(swept, tiny_model, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(swept, out)
    (out / WEIGHTS).write_bytes(b"of the best run before")

    def until_the_disk_is_full(content, file):
        if file.name.rpartition("/")[2].startswith(f".tmp-{WEIGHTS}"):
            file.write(content.read(1000))
            raise OSError(errno.ENOSPC, "full")
        file.write(content.read())

    resumed = replace(request_for(out, tiny_model), resume=True)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfileobj", until_the_disk_is_full)
        with pytest.raises(BertkitError, match=f"cannot write {out / WEIGHTS}: no space left on device"):
            sweep(resumed, 2, None)
    assert (out / WEIGHTS).read_bytes() == b"of the best run before"
    assert not (out / "run.json").exists()
    assert not list(out.rglob(".tmp-*"))
    sweep(resumed, 2, None)
    assert [(out / name).read_bytes() for name in (WEIGHTS, "run.json", "eval_results.json")] == [
        (swept / name).read_bytes().replace(*(os.fsencode(folder) for folder in (swept, out)))
        for name in (WEIGHTS, "run.json", "eval_results.json")
    ]


def test_all_runs_are_compared_before_one_is_made(swept, tiny_model, tmp_path):
    """The first run is missing, and the second is of other rows: nothing is trained."""
    out = tmp_path / "out"
    shutil.copytree(swept, out)
    shutil.rmtree(out / "seed=42")
    before = times(out)
    with pytest.raises(BertkitError, match="seed=43: what its text"):
        sweep(replace(request_for(out, tiny_model, ROWS[:30]), resume=True), 2, None)
    assert times(out) == before
    with FileLock(out / LOCK, timeout=0):
        pass  # let go of


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"data.validation_split": [0.4]}, "cannot vary data.validation_split: it decides the rows"),
        ({"validation_split": [0.4]}, "cannot vary validation_split: it decides the rows"),
        ({"task.label": ["nope"]}, "cannot vary task.label: it decides the rows"),
        ({"task.problem_type": ["regression"]}, "cannot vary task.problem_type"),
        ({"seed": [1, 2, 3]}, "cannot vary seed: use --seeds N"),
        ({"train.seed": [1, 2]}, "cannot vary train.seed: use --seeds N"),
        ({"mixed_precision": ["no", "bf16"]}, "cannot vary mixed_precision: make two runs"),
        ({"lr": [1e-3], "train.learning_rate": [1e-4]}, "has learning_rate twice"),
        ({"lr": [1e-3, 1e-4, 1e-3]}, "has lr=0.001 twice"),
        ({"max_steps": [1, 2]}, "--set train.max_steps=2 and --grid max_steps=… set the same: leave one"),
        ({"seq_len": [8]}, "--set data.max_seq_length=16 and --grid data.max_seq_length=… set the same"),
        ({"task.metrics": [["f1"], ["accuracy"]]}, "is chosen by f1, which accuracy lacks"),
    ],
)
def test_a_grid_that_would_do_something_else_is_refused(tiny_model, tmp_path, grid, message):
    with pytest.raises(BertkitError, match=message):
        sweep(request_for(tmp_path / "out", tiny_model), 1, grid)
    assert not (tmp_path / "out").exists()


def test_a_short_name_of_a_setting_that_is_given_counts_too(tiny_model, tmp_path):
    request = request_for(tmp_path / "out", tiny_model)
    given = replace(request, overrides=[*request.overrides, Override("learning_rate", 1e-3, "--lr")])
    with pytest.raises(BertkitError, match="--lr and --grid learning_rate=… set the same"):
        sweep(given, 1, parse_grid("lr=1e-4,1e-5"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr=5e-5 lr=3e-5", "has learning_rate twice: give all of its values at once"),
        ("lr=5e-5 epochs=2 learning_rate=3e-5", "has learning_rate twice"),
        ("epochs=2,2", "has epochs=2 twice"),
        ("task.head='token'", "cannot vary task.head"),
        ("validation-split=0.1,0.2", "cannot vary validation-split"),
    ],
)
def test_a_text_of_a_grid_loses_nothing_unsaid(text, message):
    with pytest.raises(BertkitError, match=message):
        parse_grid(text)


def test_metrics_may_be_varied_where_all_have_the_one_that_chooses(tiny_model, tmp_path):
    grid = {"task.metrics": [["accuracy"], ["f1", "accuracy"]]}
    runs = sweep(request_for(tmp_path / "out", tiny_model), 1, grid).results["sweep"]
    assert (runs["metric"], len(runs["runs"])) == ("eval_accuracy", 2)


def test_the_folder_has_the_files_of_the_best_run_alone(tiny_model, tmp_path):
    """A plain classifier is the best at first, then one on features: transformers must not find the first one's weights."""
    out, frozen = tmp_path / "out", {"train.encoder": "frozen"}
    record = sweep(request_for(out, tiny_model, **frozen), 1, {"data.layers": ["last"]})
    told = json.loads((out / "run.json").read_text())
    assert (record.out, told["out"], told["base_model"]) == (str(out), str(out), str(tiny_model))
    assert (out / WEIGHTS).is_file()
    first = next(out.glob("*seed=*")) / "run.json"
    worse = json.loads(first.read_text())
    worse["results"]["eval_accuracy"] = -1.0
    first.write_text(json.dumps(worse))
    (out / "notes.txt").write_text("a person's own")
    resumed = replace(request_for(out, tiny_model, **frozen), resume=True)
    assert sweep(resumed, 1, {"data.layers": ["last", "weighted"]}).results["eval_accuracy"] >= 0
    best = next(out.glob("*weighted*seed=*"))
    assert (out / FEATURE_WEIGHTS).read_bytes() == (best / FEATURE_WEIGHTS).read_bytes()
    assert not (out / WEIGHTS).exists()
    assert json.loads((out / "run.json").read_text())["out"] == str(out)
    assert {path.name for path in out.iterdir() if path.is_file()} - {"notes.txt"} == {
        path.name for path in best.iterdir() if path.is_file()
    }
    with pytest.raises(OSError, match="safetensors"):
        AutoModelForSequenceClassification.from_pretrained(out)
