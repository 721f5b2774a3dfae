"""Files and folders that are there whole or not at all."""

import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from bertkit.errors import BertkitError

_DISK = {
    errno.ENOSPC: "no space left on device: free some, then run again",
    errno.EDQUOT: "the disk quota is used up: free some, then run again",
    errno.EFBIG: "the file is larger than the file system or `ulimit -f` allows",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "permission denied: choose another folder, or change its permissions",
    errno.EPERM: "permission denied: choose another folder, or change its permissions",
    errno.EEXIST: "a file is in its way: choose another name",
    errno.ENOTDIR: "a file is in its way: choose another name",
}


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a full or unwritable disk into one line that names ``path``."""
    try:
        yield
    except Exception as error:
        # What is written by Rust (safetensors, tokenizers) says "os error N" in an exception of its own.
        said = re.search(r"\(os error (\d+)\)", str(error))
        number = error.errno if isinstance(error, OSError) else int(said[1]) if said else None
        if isinstance(error, BertkitError) or number not in _DISK:
            raise
        raise BertkitError(f"cannot write {path}: {_DISK[number]}") from error


@contextmanager
def new_text(path: Path) -> Iterator[TextIO]:
    """A temporary file that takes the place of ``path`` when the block has ended well, and vanishes otherwise."""
    with disk_errors(path):
        fresh = _temporary_sibling(path)
        try:
            with fresh.open("x", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replaces a file's content at once, as UTF-8 with ``\\n`` line ends.

    A file name that is not UTF-8 reaches us with lone surrogates; they are written as escapes, which JSON reads back.

    Raises:
        BertkitError: the disk is full or cannot be written; the old content stays.
    """
    with new_text(path) as file:
        file.write(text)


def write_json(path: Path, value: object) -> None:
    """Replaces a file's content with indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary sibling folder that becomes ``path`` when the block has ended well, and vanishes otherwise.

    Where another process has made ``path`` meanwhile, ours is dropped.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = _temporary_sibling(path)
        fresh.mkdir()
        try:
            yield fresh
            for file in fresh.rglob("*"):
                if file.is_file():
                    _sync(file)
            try:
                os.replace(fresh, path)
            except OSError:
                if not path.is_dir() or not any(path.iterdir()):
                    raise
            _sync(path.parent)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def _temporary_sibling(path: Path) -> Path:
    # Not from tempfile: its files and folders are closed to everybody else, against the user's umask.
    return path.with_name(f".tmp-{path.name}-{secrets.token_hex(6)}")


def _sync(path: Path) -> None:
    """Waits until a file or folder is on the disk; folders cannot be synced on Windows."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
