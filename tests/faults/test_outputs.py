"""Places for results that are no plain new file: what is not ours stays, links and devices are what they were."""

import os
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bertkit.corpus.cache import opened
from bertkit.errors import BertkitError
from bertkit.io.atomic import new_folder
from bertkit.io.outputs import check_output, new_output

pytestmark = pytest.mark.skipif(os.name == "nt", reason="devices, pipes and modes of Unix")
as_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root makes devices and mounts")


def put(path: Path, **how: bool) -> None:
    """As every command does it: looked at first, then written."""
    check_output(path, lambda sample: sample.startswith(b"ours"), **how)
    with new_output(path) as file:
        file.write(b"ours: new")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real, link, second = tmp_path / "far" / "real", tmp_path / "link", tmp_path / "second"
    real.write_text("old")
    link.symlink_to("far/real")
    second.symlink_to("link")
    put(second)
    assert (link.readlink(), second.readlink()) == (Path("far/real"), Path("link"))
    assert real.read_text() == "ours: new"
    assert names(tmp_path / "far") == ["real"]
    (tmp_path / "dangling").symlink_to("far/made/fresh")
    put(tmp_path / "dangling")
    assert (tmp_path / "far" / "made" / "fresh").read_text() == "ours: new"


@as_root
def test_a_device_is_written_into(tmp_path: Path) -> None:
    device = tmp_path / "null"
    os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    put(device)
    assert stat.S_ISCHR(device.stat().st_mode)
    full = tmp_path / "full"
    os.mknod(full, stat.S_IFCHR | 0o666, os.makedev(1, 7))
    with pytest.raises(BertkitError, match=r"cannot write .*full: no space left on device"):
        put(full)
    assert names(tmp_path) == ["full", "null"]


def test_a_pipe_is_written_into_or_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        put(pipe)
        assert reader.read() == b"ours: new"
    with pytest.raises(BertkitError, match="is a device or a pipe"):
        check_output(pipe, lambda _: True, overwrite=True, needs_file=True)


def test_a_pipe_that_nobody_reads_is_refused_and_a_reader_sees_no_end_before_the_work(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for write in (lambda: check_output(pipe, lambda _: True), lambda: new_output(pipe).__enter__()):
        with pytest.raises(BertkitError, match="is a pipe that nobody reads: start its reader first"):
            write()
    # `cat` ends where the last writer closes: it stays over the look, and gets all.
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as cat:
        while True:
            try:
                check_output(pipe, lambda _: True)
                break
            except BertkitError:
                time.sleep(0.01)
        with pytest.raises(subprocess.TimeoutExpired):
            cat.wait(0.2)
        with new_output(pipe) as file:
            file.write(b"all")
        assert cat.communicate(timeout=10)[0] == b"all"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_text("a letter"), "is there and no such file of bertkit"),
        (lambda path: path.mkdir(), "is a folder: name a file with --output"),
        (lambda path: path.symlink_to(path.name), "cannot write .*x: too many levels of symbolic links"),
    ],
)
def test_what_is_not_ours_is_refused_before_the_work(tmp_path: Path, make: Callable[[Path], None], said: str) -> None:
    make(tmp_path / "x")
    with pytest.raises(BertkitError, match=said):
        put(tmp_path / "x")
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("before", ["", "ours: old"])
def test_an_empty_file_and_one_of_ours_are_replaced(tmp_path: Path, before: str) -> None:
    (tmp_path / "x").write_text(before)
    put(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "ours: new"


def test_any_file_is_replaced_where_it_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("a letter")
    put(tmp_path / "x", overwrite=True)
    assert (tmp_path / "x").read_text() == "ours: new"


@pytest.mark.parametrize("length", [240, 255])
def test_a_name_may_be_as_long_as_the_disk_takes(tmp_path: Path, length: int) -> None:
    put(tmp_path / ("n" * length))
    assert names(tmp_path) == ["n" * length]
    with pytest.raises(BertkitError, match="the name is too long"):
        check_output(tmp_path / ("n" * 256), lambda _: True)


def test_folders_are_made_when_the_work_is_done(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x"
    check_output(path, lambda _: True)
    assert names(tmp_path) == []
    put(path)
    assert path.read_text() == "ours: new"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_the_mode_is_what_the_umask_gives(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        put(tmp_path / "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~mask


def test_a_file_in_the_way_of_its_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BertkitError, match=r"cannot write .*file/x: a file is in its way"):
        check_output(tmp_path / "file" / "x", lambda _: True)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a file system of memory at a folder, or one place at another; skips where that is not allowed."""
    mounted: list[Path] = []

    def mount(place: Path, *options: str) -> Path:
        done = subprocess.run(["mount", *options, place], capture_output=True, check=False)
        if done.returncode:
            pytest.skip(f"cannot mount here: {done.stderr.decode().strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in reversed(mounted):
        subprocess.run(["umount", place], check=True)


@as_root
def test_a_volume_is_filled_and_stays(tmp_path: Path, mount: Callable[..., Path]) -> None:
    (tmp_path / "out").mkdir()
    out = mount(tmp_path / "out", "-t", "tmpfs", "tmpfs")
    with new_folder(out) as fresh:
        (fresh / "weights").write_text("1")
        (fresh / "config.json").write_text("{}")
    assert os.path.ismount(out)
    assert names(out) == ["config.json", "weights"]


@as_root
def test_a_file_that_is_a_mount_is_written_into(tmp_path: Path, mount: Callable[..., Path]) -> None:
    (tmp_path / "below").write_text("")
    (tmp_path / "x").write_text("")
    put(mount(tmp_path / "x", "--bind", str(tmp_path / "below")))
    assert (tmp_path / "below").read_text() == "ours: new"


@as_root
def test_a_full_disk_and_a_read_only_one_are_one_line(tmp_path: Path, mount: Callable[..., Path]) -> None:
    (tmp_path / "small").mkdir()
    small = mount(tmp_path / "small", "-t", "tmpfs", "-o", "size=64k", "tmpfs")
    with pytest.raises(BertkitError, match="no space left on device"), new_output(small / "x") as file:
        file.write(b"0" * 2**20)
    assert names(small) == []
    subprocess.run(["mount", "-o", "remount,ro", small], check=True)
    with pytest.raises(BertkitError, match="the file system is read-only"):
        check_output(small / "x", lambda _: True)


def test_an_empty_folder_is_filled_whole_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path) as fresh:
        (fresh / "half").write_text(str(1 / 0))
    assert names(tmp_path) == []
    with new_folder(tmp_path) as fresh:
        (fresh / "sub").mkdir()
        (fresh / "sub" / "x").write_text("")
    assert names(tmp_path) == ["sub"]


def test_a_temporary_folder_bears_its_whole_name_where_that_is_short_and_fits_where_it_is_long(tmp_path: Path) -> None:
    # By its name the cache knows whose lock it has to have before it removes one that a kill has left.
    for name, begin in (("merged-" + "0" * 41, "merged-" + "0" * 41), ("é" * 127, "é" * 60)):
        with new_folder(tmp_path / name) as fresh:
            assert fresh.name.startswith(f".tmp-{begin}-")
        assert (tmp_path / name).is_dir()


def test_nothing_stays_beside_a_prepared_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "out").mkdir()
    opened(tmp_path / "out" / "store", names, lambda fresh: (fresh / "x").touch())
    assert names(tmp_path / "out") == ["store"]
