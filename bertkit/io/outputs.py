"""Files that a person names for results: looked at before the work, so that nothing of theirs is destroyed."""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bertkit.errors import BertkitError
from bertkit.io.atomic import disk_errors, new_file

_HEAD_BYTES, _TAIL_BYTES = 2**12, 2**16
_held: dict[Path, BinaryIO] = {}
"""Pipes that are open since they were looked at: closed in between, their reader would take it for the end."""


def check_output(
    path: Path,
    is_ours: Callable[[bytes], bool],
    *,
    what: str = "such file",
    overwrite: bool = False,
    needs_file: bool = False,
    flag: str = "--output",
) -> None:
    """Refuses a place for results that cannot be written, or that holds something else: before the work begins.

    A symlink is followed: its target is replaced, and it stays. A device or a pipe that somebody reads is written into.
    Any other file is replaced only where it is empty or one of ours.

    Args:
        is_ours: told the first 4 KiB and the last 64 KiB of a file, whether it is such a file as is to be written.
        what: such a file, in a word.
        overwrite: replace any file.
        needs_file: what is written has to be gone back in, which devices and pipes do not allow.
        flag: the option that named the place.

    Raises:
        BertkitError: a folder stands there, or a file that is not ours; the name is too long; no file can be made there.
    """
    with disk_errors(path):
        kind = _mode(path)
        if kind is not None and stat.S_ISDIR(kind):
            raise BertkitError(f"{path} is a folder: name a file with {flag}")
        if kind is not None and not stat.S_ISREG(kind):
            if needs_file:
                raise BertkitError(f"{path} is a device or a pipe: this form needs a file, name one with {flag}")
            if stat.S_ISFIFO(kind):
                _held[path] = _open_pipe(path)
            return
        may_stay = kind is not None and not overwrite and not path.is_symlink()
        if may_stay and not _is_replaceable(path, is_ours):
            raise BertkitError(
                f"{path} is there and no {what} of bertkit: name another file with {flag}, or add --overwrite"
            )
    check_writable(Path(os.path.realpath(path)).parent)


def check_writable(folder: Path) -> None:
    """Raises a BertkitError where no file can be made in a folder, or in the one that it would have to be made in."""
    nearest = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    probe = nearest / f".tmp-{secrets.token_hex(6)}"
    with disk_errors(folder):
        probe.touch()
        probe.unlink()


@contextmanager
def new_output(path: Path) -> Iterator[BinaryIO]:
    """The file of a place that ``check_output`` has let through: replaced at the end, whole or not at all.

    Folders on the way to it are made. A device or a pipe is written into at once.

    Raises:
        BertkitError: the disk is full or cannot be written; what was there stays.
    """
    with disk_errors(path):
        kind = _mode(path)
        target = Path(os.path.realpath(path))
        if kind is None:
            target.parent.mkdir(parents=True, exist_ok=True)
        elif not stat.S_ISREG(kind):
            pipe = _held.pop(path, None) or (_open_pipe(path) if stat.S_ISFIFO(kind) else path.open("wb"))
            with pipe as file:
                yield file
            return
    with new_file(target) as fresh:
        yield fresh


def _open_pipe(path: Path) -> BinaryIO:
    """A named pipe for writing, at whose other end somebody is: without one, opening it would wait for ever."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise BertkitError(f"{path} is a pipe that nobody reads: start its reader first, or name a file") from None
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb")


def _mode(path: Path) -> int | None:
    """What kind of thing lies at the end of a path; None where nothing does."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _is_replaceable(path: Path, is_ours: Callable[[bytes], bool]) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(_HEAD_BYTES)
        file.seek(max(file.tell(), size - _TAIL_BYTES))
        return not size or is_ours(head + file.read())
