"""Folders that are made once, by the one process that has their lock, and anew where the cache's are damaged."""

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.atomic import disk_errors, new_folder
from bertkit.signals import stopped_cleanly

T = TypeVar("T")
_TEMPORARY = ".tmp-"  # as `new_folder` names them: .tmp-NAME-RANDOM
_SPOOL = "bertkit-stdin-"


def cache_folder() -> Path:
    """Where prepared corpora are kept: ``BERTKIT_CACHE``, else the platform's cache folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("BERTKIT_CACHE") or user_cache_path("bertkit"))


def name_of(described: str) -> str:
    """32 hex digits for what an entry of the cache is made from."""
    return hashlib.blake2b(described.encode(), digest_size=16).hexdigest()


def opened(folder: Path, opening: Callable[[Path], T], make: Callable[[Path], None]) -> T:
    """What a folder holds; it is made where it is not there, and made anew where an entry of the cache is damaged.

    What is there is opened without a lock, so that a cache need not be writable. Two processes that ask for the same
    folder wait for one another; a killed one leaves only a temporary folder behind, which is never taken for a whole
    one and is removed by the next that makes something there.

    Args:
        folder: in the cache, or elsewhere.
        opening: reads a whole folder.
        make: writes into a new folder.

    Raises:
        BertkitError: what ``opening`` says of a folder outside the cache, or ``make``; the disk cannot be written.
        Interrupted: a signal came; nothing was kept.
    """
    with suppress(BertkitError):
        if _holds_something(folder):
            return opening(folder)
    with stopped_cleanly(), disk_errors(folder), locked(folder):
        if _holds_something(folder):
            try:
                return opening(folder)
            except BertkitError as damage:
                if not folder.is_relative_to(cache_folder()):
                    raise
                console.warn(console.plain(f"{damage}; it is the cache's own, and is made anew now"))
                shutil.rmtree(folder)
        _remove_leftovers(folder)
        with new_folder(folder) as fresh:
            make(fresh)
    return opening(folder)


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """While the block runs no other process has the lock of this folder, which need not be there."""
    from filelock import FileLock

    lock = _lock_of(folder)
    for parent in (folder.parent, lock.parent):
        parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock):
            yield
    except NotImplementedError as error:
        raise BertkitError(
            f"the file system of {folder.parent} has no locks: name another folder with BERTKIT_CACHE or --out"
        ) from error


def _lock_of(folder: Path) -> Path:
    if folder.is_relative_to(cache_folder()):
        return folder.with_name(f".{folder.name}.lock")
    # Beside a mount, such as a Docker volume, nothing may be written; and beside a person's folder nothing is to stay.
    place = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=16).hexdigest()
    return cache_folder() / "locks" / f"{place}.lock"


def _remove_leftovers(folder: Path) -> None:
    """Removes what dead processes have left: of this folder, whose lock we have, and in the cache of any other."""
    for left in folder.parent.glob(f"{_TEMPORARY}*"):
        name = left.name.removeprefix(_TEMPORARY).rpartition("-")[0]
        if name == folder.name:
            shutil.rmtree(left, ignore_errors=True)
        elif folder.is_relative_to(cache_folder()):
            _remove_unlocked(left, _lock_of(folder.with_name(name)))
    _remove_spools()


def _remove_unlocked(left: Path, lock: Path) -> None:
    """Removes a folder that no living process works on: its lock can be had."""
    from filelock import FileLock, Timeout

    with suppress(OSError, NotImplementedError, Timeout), FileLock(lock, timeout=0):
        shutil.rmtree(left, ignore_errors=True)


def new_spool() -> Path:
    """A folder for a copy of standard input, which is there as long as this process."""
    from filelock import FileLock

    _remove_spools()
    folder = Path(tempfile.mkdtemp(prefix=_SPOOL))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with suppress(NotImplementedError):
        lock = FileLock(folder / "lock")
        lock.acquire()
        atexit.register(lock.release)  # and keeps it until then
    return folder


def _remove_spools() -> None:
    for left in Path(tempfile.gettempdir()).glob(f"{_SPOOL}*"):
        # Without a lock in it, it is being made, or another version's.
        if (left / "lock").is_file():
            _remove_unlocked(left, left / "lock")
