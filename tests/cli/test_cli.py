"""The application itself, ``bertkit recipes``, and the options that commands share."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

import bertkit
from bertkit.cli import app, options
from bertkit.errors import BertkitError
from bertkit.settings.recipes import KINDS, Override, recipe_folder, recipe_names


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def test_version() -> None:
    result = run("--version")
    assert (result.exit_code, result.stdout) == (0, f"bertkit {bertkit.__version__}\n")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["recipes", "--help"], ["recipes", "show", "--help"]])
def test_help_ends_well(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 0


def test_unknown_command_is_wrong_usage() -> None:
    result = run("mask-fil")
    assert result.exit_code == 2
    assert "Did you mean 'mask-fill'?" in result.stderr


def test_recipes_lists_every_file_with_its_first_line() -> None:
    rows = json.loads(run("recipes", "--json").stdout)
    files = [path for kind in KINDS for path in (recipe_folder() / kind).rglob("*.toml")]
    assert sorted((row["kind"], row["name"]) for row in rows) == sorted((path.parent.name, path.stem) for path in files)
    listing = run("recipes").stdout
    for row in rows:
        path = recipe_folder() / row["kind"] / f"{row['name']}.toml"
        assert path.read_text(encoding="utf-8").splitlines()[0] == f"# {row['name']}: {row['about']}"
        assert any(line.split(maxsplit=1) == [row["name"], row["about"]] for line in listing.splitlines())


@pytest.mark.parametrize("name", ["demo", "pretrain/demo"])
def test_recipes_show_prints_the_very_file(name: str) -> None:
    assert run("recipes", "show", name).stdout == (recipe_folder() / "pretrain/demo.toml").read_text("utf-8")


@pytest.mark.parametrize("name", ["demmo", "pretrain/demmo", "../pretrain/demo", "accelerate/demo"])
def test_recipes_show_refuses_unknown_names(name: str) -> None:
    result = run("recipes", "show", name)
    assert isinstance(result.exception, BertkitError)
    assert "pretrain/demo" in str(result.exception)


def test_recipes_show_asks_which_of_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in KINDS:
        (tmp_path / "recipes" / kind).mkdir(parents=True)
        (tmp_path / "recipes" / kind / "same.toml").write_text(f"# same: for {kind}\n", encoding="utf-8")
    monkeypatch.setattr("bertkit.settings.recipes._ROOT", tmp_path)
    assert recipe_names("finetune") == ["same"]
    assert str(run("recipes", "show", "same").exception) == "'same' may be pretrain/same or finetune/same: say which"
    assert run("recipes", "show", "finetune/same").stdout == "# same: for finetune\n"


def test_main_prints_a_users_error_as_one_line_and_exits_with_1() -> None:
    command = [sys.executable, "-m", "bertkit", "recipes", "show", "nope"]
    result = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: no recipe 'nope'.")
    assert result.stderr.count("\n") == 1


def shared(*arguments: str) -> tuple[Any, list[Override]]:
    """Runs a command that has every shared option."""
    command = typer.Typer(pretty_exceptions_enable=False)
    seen: list[Override] = []

    @command.command()
    def main(
        lr: options.Lr = None,
        seq_len: options.SeqLen = None,
        batch_size: options.BatchSize = None,
        micro_batch: options.MicroBatch = None,
        max_steps: options.MaxSteps = None,
        epochs: options.Epochs = None,
        seed: options.Seed = None,
        mixed_precision: options.MixedPrecision = None,
        vocab_size: options.VocabSize = None,
        column: options.Column = None,
        sets: options.Set = None,
        model: options.Model = "embedded",
        track: options.Track = None,
        device: options.Device = "auto",
        out: Annotated[Path | None, options.out("runs")] = None,
        resume: options.ResumeOpt = False,
        overwrite: options.Overwrite = False,
        as_json: options.Json = False,
    ) -> None:
        flags = {key: value for key, value in locals().items() if key in options._SETTINGS}
        seen.extend(options.overrides(sets, **flags))
        print(json.dumps([model, device, str(out), resume, overwrite, as_json]))

    return CliRunner().invoke(command, list(arguments)), seen


def test_shared_options_become_overrides_with_what_was_typed() -> None:
    flags = "--lr 1e-3 --seq-len 64 --batch-size 8 --micro-batch 2 --max-steps 5 --epochs 1 --seed 0"
    flags += " --mixed-precision no --vocab-size 99 --column body --track wandb --track mlflow"
    flags += " --set save_steps=3 --set language=de"
    result, seen = shared(*flags.split())
    assert result.exit_code == 0
    assert seen == [
        Override("train.learning_rate", 1e-3, "--lr"),
        Override("data.max_seq_length", 64, "--seq-len"),
        Override("train.batch_size", 8, "--batch-size"),
        Override("train.micro_batch_size", 2, "--micro-batch"),
        Override("train.max_steps", 5, "--max-steps"),
        Override("train.epochs", 1.0, "--epochs"),
        Override("train.seed", 0, "--seed"),
        Override("train.mixed_precision", "no", "--mixed-precision"),
        Override("tokenizer.vocab_size", 99, "--vocab-size"),
        Override("data.column", "body", "--column"),
        Override("train.report_to", ["wandb", "mlflow"], "--track"),
        Override("save_steps", 3, "--set save_steps=3"),
        Override("language", "de", "--set language=de"),
    ]


@pytest.mark.parametrize("typed", [["--out", ""], ["--output="], ["--zip", ""]])
def test_an_empty_name_of_what_is_written_is_refused(typed: list[str]) -> None:
    with pytest.raises(BertkitError, match=f"^{typed[0].rstrip('=')} is empty: give a name"):
        options.refuse_empty_places(["bertkit", "pretrain", "a.txt", *typed])
    options.refuse_empty_places(["bertkit", "score", "", "--out", "runs/a", "--rank", ""])


def test_options_that_are_not_given_override_nothing() -> None:
    result, seen = shared()
    assert (result.exit_code, seen) == (0, [])
    assert json.loads(result.stdout) == ["embedded", "auto", "None", False, False, False]


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_device_is_taken(device: str) -> None:
    assert json.loads(shared("--device", device)[0].stdout)[1] == device


@pytest.mark.parametrize("time", ["0s", "0h0m", f"{'9' * 400}d"])
def test_a_budget_of_no_time_or_of_all_is_wrong_usage(time: str) -> None:
    with pytest.raises(typer.BadParameter, match="must be more than no time, and 1,000,000,000 s at most"):
        options.seconds(time)
    assert options.seconds("1h30m") == 5_400


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:0", ""])
def test_unknown_device_is_wrong_usage(device: str) -> None:
    result, _ = shared("--device", device)
    assert result.exit_code == 2
    assert "cuda:N" in result.stderr


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(0.5); from bertkit.__main__ import main; main()"]
    with subprocess.Popen(
        [*command, "recipes", "show", "base"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert (process.stderr.read(), process.wait()) == ("", 0)
