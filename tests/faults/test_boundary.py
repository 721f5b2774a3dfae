"""What the world outside does to the commands: one line and exit code 1, while a bug of ours keeps its traceback."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import typer

import bertkit
from bertkit import cli, console, streams
from bertkit.__main__ import main
from bertkit.errors import BertkitError, from_outside, os_error_number
from bertkit.io.atomic import disk_errors
from bertkit.io.structured import read_json, read_json_lines, read_toml
from bertkit.settings.recipes import flat
from bertkit.settings.schema import TrainSettings
from bertkit.training import resume_checks, run_folder
from bertkit.training.checkpoint import newest_checkpoint, read_progress
from bertkit.training.metrics_log import read_metrics
from bertkit.training.record import read_record

unix = pytest.mark.skipif(os.name == "nt", reason="streams of Unix")
DEEP = "[" * 100_000


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of the shell, in which BERTKIT stands for the command."""
    command = line.replace("BERTKIT", f"'{sys.executable}' -m bertkit")
    return subprocess.run(
        ["sh", "-c", command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
    )


def is_one_line(done: subprocess.CompletedProcess[str], said: str) -> bool:
    return (
        done.returncode == 1
        and done.stderr.startswith("error: ")
        and done.stderr.count("\n") == 1
        and said in done.stderr
    )


@unix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["recipes", "recipes show base", "--help", "--version"])
def test_a_full_stdout(command: str) -> None:
    assert is_one_line(shell(f"BERTKIT {command} > /dev/full"), "no space left on device")


@unix
def test_a_closed_stdout_and_stdin_and_stderr() -> None:
    assert is_one_line(shell("BERTKIT recipes show base >&-"), "bad file descriptor")
    assert is_one_line(shell("BERTKIT score - <&-"), "bad file descriptor")
    done = shell("BERTKIT recipes show base 2>&-")
    assert (done.returncode, done.stdout.splitlines()[0][:7]) == (0, "# base:")


@unix
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_stdout_that_is_not_utf8(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.toml").write_text("x = '中\u2028é'\n", encoding="utf-8")
    printed = "console.print_json({'é': '中'}); console.out.print('中')"
    script = f"from bertkit import console, streams; streams.open_streams(); {printed}"
    done = shell(f'"{sys.executable}" -c "{script}"', PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[0]) == {"é": "中"}
    assert done.stdout.splitlines()[1] == r"\u4e2d"


def test_a_command_of_one_process_is_not_done_by_each_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_one_line(shell("BERTKIT score 'The cat sat.'", WORLD_SIZE="2"), "bertkit score is done by one process")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for command in ("predict x y", "evaluate x", "prepare x --tokenizer y", "recipes", "export x --format onnx"):
        with pytest.raises(
            BertkitError, match=f"bertkit {command.split()[0]} is done by one process, and .* 2 .*WORLD_SIZE"
        ):
            cli.app(command.split(), standalone_mode=False)
    with pytest.raises(BertkitError, match="no-such-file"):
        cli.app(["pretrain", "no-such-file"], standalone_mode=False)
    monkeypatch.setenv("WORLD_SIZE", "1")  # as under torchrun on one device
    cli.app(["recipes"], standalone_mode=False)


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "WORLD_SIZE"])
def test_a_rank_that_is_no_number(name: str) -> None:
    assert is_one_line(shell("BERTKIT recipes", **{name: "abc"}), f"{name} is 'abc'")


@pytest.mark.parametrize("function", [lambda: bertkit.pretrain("-", recipe="tiny"), lambda: bertkit.finetune("sst2")])
def test_ranks_that_are_no_number_in_python(function: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "abc")
    with pytest.raises(BertkitError, match="WORLD_SIZE is 'abc', but must be a number"):
        function()


def allocated() -> None:
    torch.empty(2**62, dtype=torch.uint8)


def opened(path: str) -> Callable[[], object]:
    return lambda: open(path, encoding="utf-8")


@pytest.mark.parametrize(
    ("raises", "said"),
    [
        (opened("no/such/file"), "no/such/file: no such file or directory"),
        (opened("."), ".: is a directory"),
        (opened("x" * 300), "x: file name too long"),
        (lambda: os.rmdir(__file__), "not a directory"),
        (lambda: [0] * 2**62, "out of memory"),
        (allocated, "out of memory"),
    ],
)
def test_the_machine_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raises: Callable[[], None], said: str
) -> None:
    assert ended(monkeypatch, raises) == 1
    stderr = capsys.readouterr().err
    assert stderr.startswith("error: ")
    assert said in stderr
    assert stderr.count("\n") == 1


def bug() -> None:
    raise ValueError("of ours, with hf_abcdefghijklmnop")


def too_deep() -> None:
    too_deep()


@pytest.mark.parametrize("raises", [bug, too_deep, lambda: {}["x"], lambda: None.x, lambda: int("x")])  # type: ignore[attr-defined]
def test_a_bug_of_ours_keeps_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raises: Callable[[], None]
) -> None:
    assert ended(monkeypatch, raises) == 1
    stderr = capsys.readouterr().err
    assert stderr.startswith("Traceback (most recent call last)")
    assert "hf_abc" not in stderr


def ended(monkeypatch: pytest.MonkeyPatch, raises: Callable[[], object]) -> object:
    """The exit code of a command that does this."""
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    @streams.reader_may_leave()
    def command() -> None:
        raises()

    monkeypatch.setattr(cli, "app", app)
    monkeypatch.setattr(sys, "argv", ["bertkit"])
    with pytest.raises(SystemExit) as ending:
        main()
    return ending.value.code


def test_an_error_of_a_library_in_rust_has_its_number() -> None:
    error = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert os_error_number(error) == errno.ENOSPC
    assert from_outside(error) == "no space left on device"
    assert from_outside(RuntimeError("a bug")) is None
    assert from_outside(OSError("of a library, without a number")) is None


def test_an_error_of_another_file_is_not_laid_on_the_output(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path / "a" / "out"):
        (tmp_path / "other" / "input").read_text()
    with pytest.raises(ConnectionResetError), disk_errors(tmp_path / "out"):
        raise ConnectionResetError(errno.ECONNRESET, "reset")
    with pytest.raises(BertkitError, match="no such file or directory"), disk_errors(tmp_path / "gone" / "out"):
        (tmp_path / "gone" / "out" / "x").touch()


@pytest.mark.parametrize(
    ("read", "content", "said"),
    [
        (read_json, DEEP, "is nested too deeply"),
        (read_json, '{"a":' * 100_000, "is nested too deeply"),
        (read_json, "{", "is not valid JSON"),
        (read_json, "[1]", "holds no JSON object"),
        (read_json, '{"a": ' + "9" * 5_000 + "}", "is not valid JSON"),
        (read_json, b"\xff\xfe", "is not UTF-8"),
        (read_toml, "x = " + DEEP, "is nested too deeply"),
        (read_toml, "x =", "is not valid TOML"),
        (read_toml, b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_garbled_files_are_one_line(
    tmp_path: Path, read: Callable[[Path], object], content: str | bytes, said: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(BertkitError, match=f"file {said}"):
        read(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(BertkitError, match="cannot read"):
        read(path)


def test_lines_that_are_no_objects_are_counted_but_for_the_last(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text(f'{{"step": 1}}\n{DEEP}\n[1]\n\nnull\n{{"step": 2}}\n{{"st')
    assert read_json_lines(path) == ([{"step": 1}, {"step": 2}], 3)
    path.write_bytes(b'\xff\xfe\n{"step": 1}\n')
    assert read_json_lines(path) == ([{"step": 1}], 1)
    assert read_json_lines(tmp_path / "none") == ([], 0)


def test_metrics_that_are_left_out_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": "x"}\ngarbage\n{"step": 2}\n{"cut')
    assert [one["step"] for one in read_metrics(tmp_path)] == [1, 2]
    assert "metrics.jsonl: 2 lines are no figures of a step" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    [DEEP, "{", "[1]", '{"finished": "yes"}', '{"max_steps": true}', '{"max_steps": []}', '{"results": [1]}',
     '{"micro_batch_tokens": 1.5}', '{"data_fingerprint": {}}'],
)  # fmt: skip
def test_a_garbled_record_of_a_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(BertkitError, match=r"run\.json"):
        read_record(tmp_path)


@pytest.mark.parametrize(
    "content", [DEEP, "{", "[]", '{"step": "1"}', '{"step": null}', '{"steps": 1}', '{"best": true}']
)
def test_a_garbled_state_of_a_checkpoint(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "checkpoint-1"
    folder.mkdir()
    (folder / "state.json").write_text(content)
    with pytest.raises(BertkitError, match=r"state\.json"):
        read_progress(folder)
    (folder / "manifest.json").write_text(content)
    assert newest_checkpoint(tmp_path) is None


@pytest.mark.parametrize("content", ["x = " + DEEP, "x =", "\udcff"])
def test_a_garbled_recipe_of_a_run(tmp_path: Path, content: str) -> None:
    (tmp_path / "recipe.toml").write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(BertkitError, match=r"recipe\.toml"):
        resume_checks.check_same_maths(tmp_path, TrainSettings(), "")


def test_a_recipe_of_a_run_may_be_nested_deeply(tmp_path: Path) -> None:
    deep = ".".join("x" * 2_000)
    (tmp_path / "recipe.toml").write_text(f"a.b = 1\n{deep} = 1\nc = 2\n")
    assert flat(read_toml(tmp_path / "recipe.toml")) == {"a.b": 1, deep: 1, "c": 2}
    with pytest.raises(BertkitError, match="cannot resume .* with a.b = None: it was begun with 1"):
        resume_checks.check_same_maths(tmp_path, TrainSettings(), "")


def test_a_folder_that_is_removed_while_a_run_is_in_it_or_that_nothing_came_into(tmp_path: Path) -> None:
    def fail(out: Path, remove: bool) -> None:
        with run_folder.claimed(out, resume=False, overwrite=False):
            if remove:
                (out / run_folder.LOCK).unlink()
                out.rmdir()
            raise ZeroDivisionError

    for remove in (True, False):
        with pytest.raises(ZeroDivisionError):
            fail(tmp_path / "runs" / f"{remove}", remove)
        assert list(tmp_path.glob("runs/*")) == []
    with pytest.raises(ZeroDivisionError):
        fail(tmp_path / "made" / "too", remove=False)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["x" * 300, "file/run"])
def test_a_folder_that_cannot_be_made(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BertkitError, match="cannot write"), run_folder.claimed(tmp_path / name, False, False):
        pass


@pytest.mark.parametrize(
    ("names", "foreign"),
    [
        (["run.json", "model.safetensors", "letter.txt"], "letter.txt"),
        (["config.json", "model.safetensors", "README.md"], "README.md"),  # somebody's model, no run
        (["run.json", "checkpoint-of-mine/x"], "checkpoint-of-mine"),
        (["run.json", "model.safetensors", "checkpoint-5/x", ".tmp-x/y"], None),
        (["metrics.jsonl"], None),
    ],
)
def test_only_what_a_run_wrote_is_cleared(tmp_path: Path, names: list[str], foreign: str | None) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("kept")
    if foreign is None:
        run_folder.clear(tmp_path)
        assert list(tmp_path.iterdir()) == []
        return
    with pytest.raises(BertkitError, match="nothing was removed"):
        run_folder.clear(tmp_path)
    assert all((tmp_path / name).read_text() == "kept" for name in names)


def test_what_a_link_in_a_run_leads_to_stays(tmp_path: Path) -> None:
    out, far = tmp_path / "out", tmp_path / "far"
    for folder in (out, far):
        folder.mkdir()
    (far / "x").write_text("kept")
    (out / "run.json").write_text("{}")
    (out / "README.md").symlink_to(far / "x")
    run_folder.clear(out)
    assert list(out.iterdir()) == []
    (out / "run.json").write_text("{}")
    (out / "checkpoint-5").symlink_to(far)
    with pytest.raises(BertkitError, match="nothing was removed"):
        run_folder.clear(out)
    assert (far / "x").read_text() == "kept"


def test_a_run_without_room_for_its_checkpoints_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # By hand: 2,000 steps are two checkpoints, 2 × 12 + 4 = 28 bytes a parameter.
    settings = TrainSettings(save_steps=1_000, save_total_limit=3)
    usage = shutil.disk_usage(tmp_path)
    for free, refused in ((27_999, True), (28_000, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        if refused:
            with pytest.raises(BertkitError, match="2 checkpoints with the model take"):
                run_folder.check_checkpoints_fit(tmp_path, 1_000, 2_000, settings)
        run_folder.check_checkpoints_fit(tmp_path, 1_000 - refused, 2_000, settings)
    (tmp_path / "checkpoint-1").write_bytes(b"0" * 28_000)  # an old run's, which goes
    run_folder.check_checkpoints_fit(tmp_path, 2_000, 2_000, settings)


@pytest.mark.parametrize("said", ["hf_abcdefghijklmnop", "Bearer abc.def-ghi", "org-secret-token"])
def test_tokens_are_never_shown(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("HF_TOKEN", "org-secret-token")
    shown = io.StringIO()
    monkeypatch.setattr(console.err, "_file", shown)  # setting "file" could not be undone
    for say in (console.note, console.warn, console.err.print):
        say(f"the server says: {said}!")
    monkeypatch.setattr(console.out, "_file", shown)
    console.out.print(said, markup=False)
    assert said.removeprefix("Bearer ") not in shown.getvalue()
    assert shown.getvalue().count("<token>") == 4
