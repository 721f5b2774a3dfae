"""Whole or not at all."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bertkit.errors import BertkitError
from bertkit.io import atomic
from bertkit.io.atomic import check_new_or_empty, new_folder, scratch_folder, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "old")
    write_json(path, {"ä": 1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"ä": 1}
    assert names(tmp_path) == ["a.json"]


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def full(_handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(atomic.os, "fsync", full)
    with pytest.raises(BertkitError, match=r"cannot write .*a\.txt: no space left on device"):
        write_text(path, "new")
    assert path.read_text() == "old"
    with pytest.raises(BertkitError, match="no space left"), new_folder(tmp_path / "f") as fresh:
        (fresh / "x").write_text("x")
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_appears_only_when_it_is_whole(tmp_path):
    with new_folder(tmp_path / "f") as fresh:
        (fresh / "x").write_text("x")
        assert not (tmp_path / "f").exists()
    assert names(tmp_path / "f") == ["x"]
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "g"):
        raise ZeroDivisionError
    assert names(tmp_path) == ["f"]


LEFT = """
import os, pathlib, signal, sys
from bertkit.io.atomic import new_file, new_folder, scratch_folder
with scratch_folder("scratch"), new_folder(pathlib.Path("f")) as fresh, new_file(pathlib.Path("a.json")) as file:
    (fresh / "half").write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_what_a_killed_process_left_is_removed_by_the_next_and_what_a_living_one_writes_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", LEFT], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "writing\n"
    theirs = names(tmp_path)
    assert len(theirs) == 3
    os.mkfifo(tmp_path / ".tmp-f-0123456789ab")  # somebody else's: to open it would wait for ever
    for alive in (True, False):
        with new_folder(tmp_path / "f") as fresh:
            (fresh / "whole").write_text("whole")
            write_text(tmp_path / "a.json", "whole")
            with scratch_folder("scratch") as scratch:
                assert scratch.stat().st_mode & 0o777 == 0o700
            (tmp_path / ".tmp-f-0").mkdir(exist_ok=True)  # nobody's
        assert names(tmp_path) == sorted([".tmp-f-0", "a.json", "f", *(theirs if alive else [])])
        process.kill()
        process.wait()
    process.stdin.close()
    process.stdout.close()


def test_a_volume_of_its_own_with_what_a_killed_process_left_is_as_good_as_empty(tmp_path):
    """mkfs.ext4 makes a ``lost+found`` in each file system."""
    volume = tmp_path / "volume"
    assert not volume.exists()
    check_new_or_empty(volume)
    for name in ("lost+found", ".tmp-volume-0123456789ab"):
        (volume / name / "half").mkdir(parents=True)
    check_new_or_empty(volume)
    with new_folder(volume) as slow:
        assert slow.parent == volume
        (slow / "slow").write_text("")
        check_new_or_empty(volume)  # as before, for a second process: who ends first stays
        with new_folder(volume) as fast:
            (fast / "fast").write_text("")
    assert names(volume) == ["fast", "lost+found"]
    for path in (volume, volume / "fast"):
        with pytest.raises(BertkitError, match="is there already, and not empty: name another folder with --out"):
            check_new_or_empty(path)


def test_of_two_writers_the_first_one_stays(tmp_path):
    with new_folder(tmp_path / "f") as slow:
        (slow / "slow").write_text("")
        with new_folder(tmp_path / "f") as fast:
            (fast / "fast").write_text("")
    assert names(tmp_path / "f") == ["fast"]
    assert names(tmp_path) == ["f"]


def make_folder(path: Path) -> None:
    with new_folder(path):
        pass


@pytest.mark.parametrize(
    "make", [lambda path: write_text(path / "x", ""), lambda path: make_folder(path / "x"), make_folder]
)
def test_a_file_in_the_way_is_named(tmp_path, make):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(BertkitError, match=r"cannot write .*file.*: a file is in its way"):
        make(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


def test_a_file_name_that_is_not_utf8_goes_into_json_and_back(tmp_path):
    name = os.fsdecode(b"caf\xe9.txt")
    write_json(tmp_path / "a.json", {"file": name})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"file": name}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_others_may_read_as_the_umask_says(tmp_path):
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "a", "")
        with new_folder(tmp_path / "f") as fresh:
            (fresh / "whole").write_text("whole")
            pass
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "f")] == [0o644, 0o755]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs permissions that bind")
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(BertkitError, match="permission denied"):
            write_text(tmp_path / "a", "x")
    finally:
        tmp_path.chmod(0o700)
