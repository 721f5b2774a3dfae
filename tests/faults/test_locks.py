"""Locks that another process has: one that works is waited for, one that is frozen is one line, and none waits for ever."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from faults.test_hub import error_of, run
from filelock import FileLock
from helpers.hub import Hub

from bertkit.corpus import cache
from bertkit.errors import BertkitError
from bertkit.io import connection
from bertkit.training import run_folder

MAKING = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from bertkit.corpus import cache
cache.SIGN_OF_LIFE_EVERY_S = {every_s}
def make(folder):
    print("at work", flush=True)
    sys.stdin.read()
    (folder / "made").touch()
cache.opened(Path({folder!r}), lambda folder: None, make)
"""


@contextmanager
def at_work(code: str) -> Iterator[subprocess.Popen[str]]:
    """Another process, which has said that it is at work; it ends at the end of its stdin, or of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        try:
            yield process
        finally:
            process.kill()


def making(folder: Path, every_s: float) -> AbstractContextManager[subprocess.Popen[str]]:
    """Another process that makes a folder until it is told to end, with so many seconds between two signs of life."""
    return at_work(MAKING.format(path=sys.path, every_s=every_s, folder=str(folder)))


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_who_works_longer_than_the_patience_is_waited_for(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cache, "PATIENCE_S", 2.0)
    folder = own_cache / "corpora" / "one"
    with making(folder, every_s=0.1) as other:
        assert other.stdin is not None
        threading.Timer(4.0, other.stdin.close).start()
        assert cache.opened(folder, names, lambda _: pytest.fail("made twice")) == ["made"]
    assert capsys.readouterr().err.count(f"waiting for another process, which is making {folder}; Ctrl-C ends") == 1


def test_who_is_frozen_is_not(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "PATIENCE_S", 0.5)
    folder = own_cache / "corpora" / "one"
    with making(folder, every_s=600), pytest.raises(BertkitError) as refusal:
        cache.opened(folder, names, lambda _: pytest.fail("made twice"))
    lock = folder.with_name(".one.lock")
    assert str(refusal.value).startswith(f"another process has the lock {lock} and has given no sign of life for ")
    assert not folder.exists()


def fetched_once(hub: Hub, tiny_model: Path, home: Path) -> Path:
    """The blobs of a model, which are fetched and taken away again: what stays are its locks."""
    hub.models["org/tiny"] = tiny_model
    assert run(hub, home, "mask-fill", "--model", "org/tiny", "the [MASK] .").returncode == 0
    folder = home / "hub" / "models--org--tiny"
    folder.rename(home / "away")
    (folder / "blobs").mkdir(parents=True)
    return folder / "blobs"


@contextmanager
def all_locked(folder: Path) -> Iterator[None]:
    locks = [FileLock(path) for path in folder.rglob("*.lock")]
    assert locks
    for lock in locks:
        lock.acquire()
    try:
        yield
    finally:
        for lock in locks:
            lock.release()


def test_a_file_of_the_hub_that_a_frozen_process_fetches_is_one_line(
    hub: Hub, tiny_model: Path, tmp_path: Path
) -> None:
    fetched_once(hub, tiny_model, tmp_path)
    with all_locked(tmp_path / "hub" / ".locks"):
        done = run(hub, tmp_path, "mask-fill", "--model", "org/tiny", "the [MASK] .", said="let us wait")
    error = error_of(done, tmp_path)
    assert error.startswith(
        f"error: cannot fetch model 'org/tiny': the process that has {tmp_path}/hub/.locks/models--org"
    )
    assert ".lock let us wait for 2 s and it is not in the cache" in error


def test_a_file_of_the_hub_that_another_process_fetches_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PATIENCE_S", 1.0)
    lock = tmp_path / ".locks" / "models--org--tiny" / "a.lock"
    blob = tmp_path / "models--org--tiny" / "blobs" / "a.5.incomplete"
    for path in (lock, blob):
        path.parent.mkdir(parents=True)
        path.touch()
    locked = threading.Event()

    def fetch() -> None:
        with all_locked(tmp_path), blob.open("wb", buffering=0) as file:
            locked.set()
            for _ in range(25):
                time.sleep(0.1)
                file.write(b"x")

    other = threading.Thread(target=fetch)
    other.start()
    locked.wait()
    began_at_s = time.monotonic()
    with connection.patiently(), FileLock(lock):
        assert time.monotonic() - began_at_s > 2
    other.join()


def test_rows_that_a_frozen_process_converts_are_one_line(hub: Hub, tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    rows.mkdir()
    (rows / "train.csv").write_text("text,label\n" + "a,b\nc,d\n" * 20, encoding="utf-8")
    hub.datasets["org/rows"] = rows
    assert run(hub, tmp_path, "inspect", "--train", "org/rows").returncode == 0
    for path in (tmp_path / "datasets").rglob("dataset_info.json"):
        path.unlink()  # as if nothing had been converted
    with all_locked(tmp_path / "datasets"):
        done = run(hub, tmp_path, "inspect", "--train", "org/rows", said="let us wait")
    assert f"the process that has {tmp_path}/datasets/" in error_of(done, tmp_path)


CLAIMING = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
from bertkit.training.run_folder import claimed
with claimed(Path({out!r}), False, False):
    print("at work", flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_a_run_is_at_work_in_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "_ORPHANS_END_WITHIN_S", 0.2)
    out = tmp_path / "out"
    with at_work(CLAIMING.format(path=sys.path, out=str(out))):
        for resume in (False, True):
            with (
                pytest.raises(BertkitError, match="another run is at work in"),
                run_folder.claimed(out, resume, not resume),
            ):
                pass
