"""What a request for fine-tuning comes to before anything is read."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.interrupted import cut_off

from bertkit.assets import EMBEDDED_LABELLED, EMBEDDED_MODEL
from bertkit.errors import BertkitError
from bertkit.finetuning.predict import evaluate
from bertkit.finetuning.predictor import open_predictor
from bertkit.finetuning.request import (
    DEFAULT_MODEL,
    FinetuneRequest,
    completed,
    data_request,
    load_recipe,
    with_fitting_rate,
    with_settings,
)
from bertkit.finetuning.row_sources import check_inputs
from bertkit.finetuning.run import finetune
from bertkit.finetuning.sweep import parse_grid, sweep
from bertkit.io.memory import memory_rows
from bertkit.settings.recipes import Override


def test_nothing_named_is_bertkits_own_texts_and_the_model_in_the_box(capsys):
    request = completed(FinetuneRequest())
    assert (request.train, request.model) == (str(EMBEDDED_LABELLED / "train.tsv"), "embedded")
    assert request.folder == Path("runs/finetune-word-order")
    for task, folder in (("xquad:de", "finetune-xquad-de"), ("my/heads.toml", "finetune-heads")):
        assert FinetuneRequest(task).folder == Path("runs", folder)
    assert "bertkit's own labelled texts" in capsys.readouterr().err
    check_inputs(data_request(request, load_recipe(request)))  # both files are there
    assert completed(FinetuneRequest(model="./mine")).model == "./mine"


def test_what_is_named_stays(capsys):
    request = FinetuneRequest(train="reviews.csv", out=Path("x"))
    assert completed(request) == FinetuneRequest(train="reviews.csv", out=Path("x"), model=DEFAULT_MODEL)
    assert completed(FinetuneRequest("sst2", model="embedded")) == FinetuneRequest("sst2", model="embedded")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (FinetuneRequest("sst2", train="x.csv"), "not both"),
        (FinetuneRequest("sst2", skip_bad_rows=True), "--skip-bad-rows goes with --train FILE"),
        (FinetuneRequest(data=Path("GLUE")), "--data alone"),
        (FinetuneRequest(validation="x.csv"), "--validation alone"),
        (FinetuneRequest(overrides=[Override("data.validation_split", 0.1, "--validation-split")]), "-split alone"),
    ],
)
def test_half_of_a_request_is_refused(request_, message):
    with pytest.raises(BertkitError, match=message):
        completed(request_)


@pytest.mark.parametrize("run", [finetune, lambda request: sweep(request, 2, None)])
def test_without_a_hub_model_and_rows_are_told_in_one_message_before_anything_is_read(run, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # read once, at its import
    with pytest.raises(BertkitError) as told:
        run(FinetuneRequest("sst2", model="org/none", out=tmp_path / "run"))
    for part in (
        "model 'org/none'",
        "--model embedded",
        "rows of sst2",
        "gluebenchmark.com/tasks",
        "own labelled texts",
    ):
        assert part in str(told.value)
    assert not (tmp_path / "run").exists()


def test_a_model_that_is_not_there_is_refused_before_the_table_is_read(tmp_path):
    table = tmp_path / "rows.csv"
    table.write_text("no,header,that,fits\n")
    with pytest.raises(BertkitError, match="no folder './none'"):
        finetune(FinetuneRequest(train=str(table), model="./none", out=tmp_path / "run"))
    with pytest.raises(BertkitError, match="rows.csv"):
        finetune(FinetuneRequest(train=str(table), model=str(EMBEDDED_MODEL), out=tmp_path / "run"))


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("lr=2e-4", {"learning_rate": [2e-4]}),
        ("--lr=1e-3 batch-size=8", {"learning_rate": [1e-3], "batch_size": [8]}),
        ("lr=1e-3,2 seq_len=16,32", {"learning_rate": [1e-3, 2], "data.max_seq_length": [16, 32]}),
        ("train.learning_rate=1 train.micro_batch=2", {"learning_rate": [1], "micro_batch_size": [2]}),
    ],
)  # fmt: skip
def test_a_grid_takes_the_names_of_flags_and_of_settings(text, grid):
    assert parse_grid(text) == grid
    request = FinetuneRequest(overrides=[Override("learning_rate", 9.0, "x"), Override("data.max_seq_length", 9, "y")])
    chosen = {name: values[0] for name, values in grid.items()}
    recipe = load_recipe(with_settings(request, Path("x"), **chosen))
    assert recipe.train.learning_rate == chosen["learning_rate"]
    assert recipe.data.max_seq_length == chosen.get("data.max_seq_length", 9)


@pytest.mark.parametrize(
    ("settings", "rate", "why"),
    [
        ({"train.encoder": "frozen"}, 3e-3, "the encoder is frozen: the recipe's 3e-05 is for all of a model"),
        ({"train.encoder": "frozen", "train.classifier": "bilstm"}, 1e-3, "the encoder is frozen"),
        ({}, 4.7e-4, "the model is 256 wide: the recipe's 3e-05 is for 768"),
        ({"train.encoder": "frozen", "train.learning_rate": 1e-5}, 1e-5, ""),
    ],
)
def test_the_rate_suits_what_is_trained_unless_it_is_given(settings, rate, why, capsys):
    overrides = [Override(name, value, name) for name, value in settings.items()]
    request = FinetuneRequest(train="rows.csv", model=str(EMBEDDED_MODEL), overrides=overrides)
    recipe = with_fitting_rate(load_recipe(request), request)
    assert recipe.train.learning_rate == pytest.approx(rate, rel=0.01)
    told = " ".join(capsys.readouterr().err.split())
    assert why in told if why else told == ""


OWN = '[task]\ndataset = "x"\ntext = ["text"]\nlabel = ["label"]\n\n[train]\nencoder = "frozen"\n'


@pytest.mark.parametrize(
    ("added", "rate"),
    [
        ("", 3e-3),
        ('classifier = "bilstm"\n', 1e-3),
        ("learning_rate = 3e-5\n", 3e-5),
        ("learning_rate = 1e-4\n", 1e-4),
    ],
)
def test_a_recipe_of_ones_own_has_the_rate_that_it_gives_or_one_that_suits(tmp_path, added, rate, capsys):
    path = tmp_path / "mine.toml"
    path.write_text(OWN + added)
    request = FinetuneRequest(str(path), model=str(EMBEDDED_MODEL), out=tmp_path / "run")
    assert with_fitting_rate(load_recipe(request), request).train.learning_rate == rate
    told = " ".join(capsys.readouterr().err.split())
    assert ("as the encoder is frozen: the default 3e-05 is for all of a model" in told) is ("learning" not in added)
    given = replace(request, overrides=[Override("learning_rate", 3e-5, "--lr")])
    assert with_fitting_rate(load_recipe(given), given).train.learning_rate == 3e-5


@pytest.mark.parametrize(("begun", "rate"), [(3e-5, 3e-5), (3e-3, 3e-3), (1e-4, 3e-3)])
def test_a_run_that_was_begun_with_the_default_rate_is_resumed_with_it(tmp_path, begun, rate):
    """The last was begun with a rate that was given: without it the resume is refused by its rate."""
    path = tmp_path / "mine.toml"
    path.write_text(OWN)
    request = FinetuneRequest(str(path), model=str(EMBEDDED_MODEL), out=tmp_path, resume=True)
    (tmp_path / "recipe.toml").write_text(f"[train]\nlearning_rate = {begun}\n")
    assert with_fitting_rate(load_recipe(request), request).train.learning_rate == rate


def test_a_warm_up_that_takes_the_whole_run_is_said_and_cublas_told_what_determinism_needs(
    tiny_model, tmp_path, monkeypatch, capsys
):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    rows = [{"text": f"the cat {'abcdefgh'[row % 8]}", "label": ["no", "yes"][row % 2]} for row in range(20)]
    settings = {"train.max_steps": 2, "data.max_seq_length": 16, "data.validation_split": 0.3, "train.warmup": 4,
                "train.encoder": "frozen", "train.deterministic": True}  # fmt: skip
    finetune(FinetuneRequest(
        train=memory_rows("rows", rows), model=str(tiny_model), out=tmp_path / "run", device="cpu",
        overrides=[Override(key, value, key) for key, value in settings.items()],
    ))  # fmt: skip
    said = " ".join(capsys.readouterr().err.split())
    assert "the warm-up is 4 steps long (train.warmup) and the run 2: the learning rate only rises, to 50%" in said
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    torch.use_deterministic_algorithms(False)


def test_a_run_is_not_resumed_with_another_model(tiny_model, tmp_path, monkeypatch):
    other = shutil.copytree(tiny_model, tmp_path / "m2")
    rows = [{"text": f"the cat {'abcdefgh'[row % 8]}", "label": ["no", "yes"][row % 2]} for row in range(20)]
    settings = {"train.max_steps": 4, "train.save_steps": 2, "train.eval_steps": 2, "data.max_seq_length": 16,
                "data.validation_split": 0.3, "train.mixed_precision": "no", "train.encoder": "frozen"}  # fmt: skip
    request = FinetuneRequest(
        train=memory_rows("rows", rows), model=str(tiny_model), out=tmp_path / "run", device="cpu",
        overrides=[Override(key, value, key) for key, value in settings.items()],
    )  # fmt: skip
    made = finetune(request)
    assert finetune(replace(request, resume=True)) == made
    rates = [*request.overrides, Override("train.learning_rate", 0.5, "--lr")]
    for other_run, message in (
        ({"overrides": rates}, r"with train\.learning_rate = 0\.5: it was begun with"),
        ({"train": memory_rows("rows", rows[2:])}, "what its text or rows hold, or its tokenizer, has changed since"),
        ({"model": str(other)}, "it was begun with"),
    ):
        with pytest.raises(BertkitError, match=f"cannot resume .*{message}"):
            finetune(replace(request, resume=True, **other_run))
    whole = cut_off(request.folder, after=2)
    record = (request.folder / "run.json").read_bytes()
    with pytest.raises(
        BertkitError, match=rf"cannot resume .* with --model {other}: it was begun with --model {tiny_model}"
    ):
        finetune(replace(request, model=str(other), resume=True))
    assert (request.folder / "run.json").read_bytes() == record
    monkeypatch.chdir(tiny_model.parent)  # the same model by another path
    finetune(replace(request, model=tiny_model.name, resume=True))
    assert (request.folder / "model.safetensors").read_bytes() == whole


def test_an_overwrite_that_cannot_be_made_leaves_the_run_that_is_there(tiny_model, tmp_path):
    rows = [{"text": f"the cat {'abcdefgh'[row % 8]}", "label": ["no", "yes"][row % 2]} for row in range(20)]
    settings = {
        "train.max_steps": 1,
        "data.max_seq_length": 16,
        "data.validation_split": 0.3,
        "train.encoder": "frozen",
    }
    overrides = [Override(key, value, key) for key, value in settings.items()]
    request = FinetuneRequest(
        train=memory_rows("rows", rows), model=str(tiny_model), out=tmp_path / "run", device="cpu", overrides=overrides
    )
    finetune(request)
    before = sorted(path.name for path in request.folder.iterdir())
    muon = [*overrides, Override("train.optimizer", "muon", "muon")]
    for given, why in (({"overrides": muon}, 'use "adamw"'), ({"model": str(request.folder)}, "--model .* is there")):
        with pytest.raises(BertkitError, match=why):
            finetune(replace(request, overwrite=True, **given))
        assert sorted(path.name for path in request.folder.iterdir()) == before
    with pytest.raises(BertkitError, match="--model .* is there"):
        sweep(replace(request, overwrite=True, model=str(request.folder)), 2, {})


def _of_columns(tiny_model, out, train, validation, **settings):
    fixed = {"train.max_steps": 4, "train.save_steps": 2, "data.max_seq_length": 16, "train.encoder": "frozen"}
    overrides = [Override(key, value, key) for key, value in (fixed | settings).items()]
    rows = (memory_rows("train", train), memory_rows("validation", validation))
    return FinetuneRequest(
        train=rows[0], validation=rows[1], model=str(tiny_model), out=out, device="cpu", overrides=overrides
    )


def test_a_run_and_its_model_read_the_same_columns(tiny_model, tmp_path, capsys):
    plain = [{"review": f"the cat {'abcdefgh'[row % 8]}", "verdict": ["no", "yes"][row % 2]} for row in range(24)]
    more = [{"text": "sat .", "label": "no", **row} for row in plain]  # columns with usual names, which nobody learned
    run = finetune(_of_columns(tiny_model, tmp_path / "run", plain, more))
    capsys.readouterr()
    model = shutil.move(tmp_path / "run", tmp_path / "moved")
    again = evaluate(str(model), None, None, memory_rows("validation", more), [], "cpu")
    figures = [name for name in again if name.startswith("eval_")]
    assert np.hstack([run.results[name] for name in figures]) == pytest.approx(
        np.hstack([again[name] for name in figures]), rel=1e-6
    )
    predictor = open_predictor(str(model), "cpu")
    assert predictor(more) == predictor([row["review"] for row in more]) != predictor([row["text"] for row in more])
    assert predictor(["sat .", {"review": "a"}]) == predictor(["sat .", "a"])
    assert "trained on" not in capsys.readouterr().err
    other = [{"text": row["review"], "label": row["verdict"]} for row in plain]
    named = {"task.text": ["text"], "task.label": ["label"]}
    sets = [Override(name, value, name) for name, value in named.items()]
    for given, told in (([], True), (sets, False)):
        elsewhere = evaluate(str(model), None, None, memory_rows("validation", other), given, "cpu")
        assert elsewhere["eval_loss"] == pytest.approx(again["eval_loss"], rel=1e-6)
        assert ("(the model was trained on review)" in capsys.readouterr().err) is told


def test_a_run_of_before_columns_were_recorded_is_resumed_and_one_with_others_is_not(tiny_model, tmp_path):
    rows = [{"review": f"the cat {'abcdefgh'[row % 8]}", "verdict": ["no", "yes"][row % 2]} for row in range(20)]
    rows = [{**row, "second": row["review"]} for row in rows]
    request = _of_columns(tiny_model, tmp_path / "run", rows, rows[:8], **{"task.text": ["review"]})
    finetune(request)
    whole, recipe = cut_off(request.folder, after=2), request.folder / "recipe.toml"
    recorded = recipe.read_text()
    with pytest.raises(
        BertkitError, match=r"cannot resume .* with task\.text = \['second'\]: it was begun with \['review'\]"
    ):
        finetune(
            replace(_of_columns(tiny_model, request.folder, rows, rows[:8], **{"task.text": ["second"]}), resume=True)
        )
    recipe.write_text(recorded.replace('label = [\n    "verdict",\n]', "label = []"))
    assert recipe.read_text() != recorded
    finetune(replace(request, resume=True))
    assert (request.folder / "model.safetensors").read_bytes() == whole
