"""A run's folder: what is not of a run stays as it is, whatever flag is given."""

import json
from pathlib import Path
from typing import Any, get_args

import pytest

from bertkit.errors import BertkitError
from bertkit.settings.recipes import dump
from bertkit.settings.schema import FinetuneRecipe, FinetuneTrainSettings, TrainSettings
from bertkit.training import resume_checks
from bertkit.training.resume_checks import check_same_base, check_same_maths
from bertkit.training.run_folder import check_apart, claimed, clear


def made(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    return folder


TRAINERS = ("checkpoint-500/model.safetensors", "checkpoint-500/trainer_state.json")


@pytest.mark.parametrize("names", [TRAINERS, (*TRAINERS, "thesis.md", ".tmp-notes"), ("config.json",)])
def test_a_resume_does_not_begin_in_a_folder_of_others(tmp_path: Path, names: tuple[str, ...]) -> None:
    out = made(tmp_path / "out", *names)
    with pytest.raises(BertkitError, match="holds no run of bertkit to resume"), claimed(out, True, False):
        pass
    assert {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()} == {*names}


def test_a_run_is_resumed_or_overwritten_and_not_both(tmp_path: Path) -> None:
    message = "--resume goes on with the run in .*run, and --overwrite replaces it: leave one of them out"
    with pytest.raises(BertkitError, match=message), claimed(tmp_path / "run", True, True):
        pass
    assert not (tmp_path / "run").exists()


def test_a_folder_of_another_programs_checkpoints_is_not_overwritten(tmp_path: Path) -> None:
    out = made(tmp_path / "out", *TRAINERS)
    with (
        pytest.raises(BertkitError, match="'checkpoint-500', which no run of bertkit wrote"),
        claimed(out, False, True),
    ):
        pass
    assert (out / TRAINERS[0]).is_file()


@pytest.mark.parametrize(
    "names",
    [
        (),
        (".tmp-recipe.toml-1",),
        ("recipe.toml",),
        ("metrics.jsonl", ".tmp-checkpoint-5/x"),
        ("recipe.toml", "run.json", "checkpoint-5/manifest.json"),
        ("seed=1/run.json",),
    ],
)
def test_a_resume_goes_on_with_what_a_killed_run_left(tmp_path: Path, names: tuple[str, ...]) -> None:
    out = made(tmp_path / "out", *names)
    with claimed(out, True, False):
        pass
    assert {path.name for path in out.rglob("*") if path.is_file()} == {
        Path(name).name for name in names if ".tmp-" not in name
    }


@pytest.mark.parametrize(
    "names",
    [
        ("seed=42/.lock",),
        ("seed=42/run.json", "seed=43/.lock"),
        ("learning_rate=1e-05-seed=42/recipe.toml", "learning_rate=1e-05-seed=42/.lock"),
        ("seed=42/.tmp-recipe.toml-1",),
        (".tmp-recipe.toml-1",),
    ],
)
def test_what_a_killed_sweep_left_is_resumed_and_overwritten(tmp_path: Path, names: tuple[str, ...]) -> None:
    out = made(tmp_path / "out", *names)
    for resume in (True, False):
        with claimed(out, resume, not resume):
            pass
    with claimed(out, False, True):
        clear(out)
    assert not out.exists() or [path.name for path in out.iterdir()] == []


@pytest.mark.parametrize("names", [("seed=42/thesis.md",), ("seed=42/.lock", "thesis.md"), ("photos/.lock",)])
def test_what_is_not_of_a_sweep_is_not_overwritten(tmp_path: Path, names: tuple[str, ...]) -> None:
    out = made(tmp_path / "out", *names)
    with (
        pytest.raises(BertkitError, match="which no run of bertkit wrote: nothing was removed"),
        claimed(out, False, True),
    ):
        pass
    assert all((out / name).is_file() for name in names)


def test_a_model_is_the_same_under_any_name_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("base", "other", "moved/gone"):
        Path(folder).mkdir(parents=True)
    Path("link").symlink_to("base")

    def refusal(began: object, model: str | None) -> str:
        Path("run.json").write_text(json.dumps(began))
        try:
            check_same_base(tmp_path, model)
        except BertkitError as error:
            return str(error)
        return ""

    for began, model in (
        ("base", "base"), ("base", "./other/../base"), ("base", str(tmp_path / "base")), ("base", "link"),
        ("runs/gone", "moved/gone"), ("org/name", "org/name"), (None, None),
    ):  # fmt: skip
        assert refusal({"base_model": began}, model) == "", (began, model)
    assert refusal({}, "base") == ""  # a run of before it was recorded
    for began, model in (
        ("base", "other"),
        ("org/name", "org/other"),
        ("base", None),
        (None, "base"),
        ("gone", "base"),
    ):
        assert "cannot resume" in refusal({"base_model": began}, model), (began, model)
    assert refusal({"base_model": None}, "base").endswith(
        "with --model base: it was begun without --model; give the same, or start anew with --overwrite"
    )


def test_a_setting_that_is_newer_than_the_run_has_had_its_default(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(dump(TrainSettings(seed=7)).replace('optimizer = "adamw"\n', ""))
    assert "optimizer" not in (tmp_path / "recipe.toml").read_text()
    check_same_maths(tmp_path, TrainSettings(seed=7), "")
    with pytest.raises(BertkitError, match="with optimizer = muon: it was begun with adamw"):
        check_same_maths(tmp_path, TrainSettings(seed=7, optimizer="muon"), "")
    check_same_maths(tmp_path, TrainSettings(seed=7, optimizer="muon"), "", unused={"optimizer"})


# What changes when a run looks and saves, where its figures go, and how a step is computed; nothing of what is computed.
FREE = {
    "micro_batch_size",
    "logging_steps",
    "eval_steps",
    "save_steps",
    "save_total_limit",
    "num_workers",
    "report_to",
    "skip_nonfinite_steps",
    "torch_compile",
}


def another(name: str) -> Any:
    """A value that is not the default of a setting of training."""
    field = FinetuneTrainSettings.model_fields[name]
    default = field.default
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 1
    if isinstance(default, float):
        return default / 2
    if isinstance(default, str):
        return next(one for one in get_args(field.annotation) if one != default)
    return ("wandb",) if default == () else 1


@pytest.mark.parametrize("name", FinetuneTrainSettings.model_fields)
def test_a_resume_may_change_what_changes_no_numbers_and_nothing_else(tmp_path: Path, name: str) -> None:
    began = FinetuneRecipe()
    changed = began.model_copy(update={"train": began.train.model_copy(update={name: another(name)})})
    (tmp_path / "recipe.toml").write_text(dump(began))
    assert dump(changed) != dump(began)
    if name in FREE:
        check_same_maths(tmp_path, changed, "")
    else:
        with pytest.raises(BertkitError, match=rf"cannot resume .* with train\.{name} = "):
            check_same_maths(tmp_path, changed, "")


def test_what_a_resume_may_change_is_of_training_alone() -> None:
    assert {f"train.{name}" for name in FREE} == resume_checks._FREE


def test_what_a_run_reads_is_not_in_the_folder_that_it_overwrites(tmp_path: Path) -> None:
    out = made(tmp_path / "out", "config.json", "checkpoint-5/config.json")
    (tmp_path / "link").symlink_to(out)
    made(tmp_path / "outer", "config.json")
    check_apart(out, {"--model": str(tmp_path / "outer"), "--tokenizer": None})
    check_apart(out, {"--model": "org/name"})
    for given in (out, out / "checkpoint-5", tmp_path / "link", out / "config.json"):
        with pytest.raises(BertkitError, match=f"--overwrite would remove {out}, and --model {given} is there"):
            check_apart(out, {"--tokenizer": None, "--model": str(given)})
