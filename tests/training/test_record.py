"""The record of a run: what is written is read back, and what a person garbled is refused in one line."""

import json
import sys
from pathlib import Path

import pytest

from bertkit.errors import BertkitError
from bertkit.training.record import read_record, write_record


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    facts = {"kind": "pretrain", "out": str(tmp_path), "seed": 3, "results": {"eval_loss": 1.5}, "of_a_head": [1]}
    written = write_record(tmp_path, facts)
    assert read_record(tmp_path) == written
    assert json.loads((tmp_path / "run.json").read_text()) == written.facts
    assert facts.items() <= written.facts.items()
    assert written.folder == tmp_path
    assert written.versions["torch"]


def test_a_folder_without_a_run_has_an_empty_record(tmp_path: Path) -> None:
    record = read_record(tmp_path)
    assert (record.finished, record.max_steps, record.facts) == (False, 0, {})


def test_a_garbled_field_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"max_steps": "ten"}')
    with pytest.raises(BertkitError, match=r"run\.json was not written by bertkit: max_steps is 'ten'"):
        read_record(tmp_path)


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/usr/bin/bertkit", "pretrain", "a.txt"], "bertkit pretrain a.txt"),
        (["/lib/bertkit/__main__.py", "pretrain"], "bertkit pretrain"),
        # A shell reads the recorded command as the same words.
        (
            ["/usr/bin/bertkit", "pretrain", "my text.txt", "--set", "data.mix=[1]"],
            "bertkit pretrain 'my text.txt' --set 'data.mix=[1]'",
        ),
        (["mine.py", "--fast"], "python mine.py --fast"),
        (["/lib/ipykernel_launcher.py", "-f", "kernel.json"], "python  # in a notebook"),
        ([""], "python  # in a notebook"),
    ],
)
def test_the_command_is_what_was_typed(
    argv: list[str], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    assert write_record(tmp_path, {}).command == command
