"""Output files that a person names: they are checked before the work, so that no other file is overwritten."""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from bertkit.errors import BertkitError
from bertkit.io.atomic import disk_errors, new_file

PARQUET_MARK = {"made_by": "bertkit"}
"""Metadata of the parquet files of bertkit, by which ``is_our_parquet`` knows them."""
_HEAD_BYTES, _TAIL_BYTES = 2**12, 2**16
_held: dict[Path, BinaryIO] = {}
"""Named pipes that were opened for the check and stay open: if they were closed, their reader would take that for the end."""


def check_output(
    path: Path,
    is_ours: Callable[[bytes], bool] | None,
    *,
    what: str = "such file",
    overwrite: bool = False,
    needs_file: bool = False,
    flag: str = "--output",
) -> None:
    """Checks, before the work, that results can be written to a path, and that no other file would be overwritten.

    A symlink is followed: its target is replaced, and the link stays. Devices, and pipes that somebody reads, are written
    to. Any other file is replaced only if it is empty, or a file of the same kind that bertkit wrote.

    Args:
        path: the output.
        is_ours: given the first 4 KiB and the last 64 KiB of a file, says whether bertkit wrote it; None if files of this
            form do not show who wrote them.
        what: the kind of file, in a word.
        overwrite: replace any file.
        needs_file: whether the writer has to seek, which devices and pipes do not allow.
        flag: the option that named the path.

    Raises:
        BertkitError: the path is a folder, or a file that bertkit did not write; its name is too long; or no file can be
            made there.
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
        may_stay = kind is not None and not overwrite and not path.is_symlink()  # who makes a link means its target
        if may_stay and not _is_replaceable(path, is_ours):
            why = f"no {what} of bertkit" if is_ours else f"a {path.suffix} file does not show who wrote it"
            raise BertkitError(f"{path} is there and {why}: name another file with {flag}, or add --overwrite")
    check_writable(Path(os.path.realpath(path)).parent)


def is_our_parquet(sample: bytes, column: str) -> bool:
    """Whether a parquet file has bertkit's mark and a column of this name, by its beginning and end (see ``check_output``).

    In the description of the file, at its end, texts stand behind a byte 0x18 and their length.
    """
    texts = (column, *chain.from_iterable(PARQUET_MARK.items()))
    described = [b"\x18" + len(text).to_bytes() + text.encode() for text in texts]
    return sample.startswith(b"PAR1") and described[0] in sample and b"".join(described[1:]) in sample


def check_writable(folder: Path) -> None:
    """Raises a BertkitError if no file can be made in a folder, or in the nearest folder above it that exists."""
    nearest = next((one for one in (folder, *folder.parents) if one.exists()), folder)
    probe = nearest / f".tmp-{secrets.token_hex(6)}"
    with disk_errors(folder):
        probe.touch()
        probe.unlink()


@contextmanager
def new_output(path: Path) -> Iterator[BinaryIO]:
    """Opens a path that ``check_output`` has accepted; the file is replaced at the end of the block, whole or not at all.

    Missing folders are made. A device or a pipe is written to at once.

    Raises:
        BertkitError: the disk is full or cannot be written. An older file stays as it was.
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
    """Opens a named pipe for writing; raises if nobody reads it, as opening it would then wait forever."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise BertkitError(f"{path} is a pipe that nobody reads: start its reader first, or name a file") from None
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb")


def _mode(path: Path) -> int | None:
    """The file mode of what a path leads to; None if there is nothing."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _is_replaceable(path: Path, is_ours: Callable[[bytes], bool] | None) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(_HEAD_BYTES)
        file.seek(max(file.tell(), size - _TAIL_BYTES))
        return not size or (is_ours is not None and is_ours(head + file.read()))
