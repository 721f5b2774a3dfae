"""Folders that are made once, by the one process that has their lock, and anew where the cache's are damaged."""

import atexit
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.atomic import TEMPORARY, disk_errors, holds_something, new_folder
from bertkit.signals import stopped_cleanly

T = TypeVar("T")
_SPOOL = "bertkit-stdin-"
SIGN_OF_LIFE_EVERY_S = 5.0
"""How often the process that has a lock touches its file."""
PATIENCE_S = 60.0
"""How long another process waits for such a sign. The work itself may take hours."""


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
    folder wait for one another, but not for one that is frozen; a killed one leaves only a temporary folder behind, which
    is never taken for a whole one and is removed by the next that makes something there.

    Args:
        folder: in the cache, or elsewhere.
        opening: reads a whole folder.
        make: writes into a new folder.

    Raises:
        BertkitError: what ``opening`` says of a folder outside the cache, or ``make``; the disk cannot be written; who
            has the lock is frozen.
        Interrupted: a signal came; nothing was kept.
    """
    with suppress(BertkitError):
        if _is_made(folder):
            return opening(folder)
    with stopped_cleanly(), disk_errors(folder), locked(folder):
        if _is_made(folder):
            try:
                return opening(folder)
            except BertkitError as damage:
                if not folder.is_relative_to(cache_folder()):
                    raise
                console.warn(console.plain(f"{damage}, which is done now, as it is in the cache"))
                shutil.rmtree(folder)
        _remove_leftovers(folder)
        with new_folder(folder) as fresh:
            make(fresh)
    return opening(folder)


def _is_made(folder: Path) -> bool:
    return folder.is_dir() and holds_something(folder)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """While the block runs no other process has the lock of this folder, which need not be there.

    Raises:
        BertkitError: there are no locks; another process has it, and has given no sign of life for ``PATIENCE_S``.
    """
    from filelock import FileLock

    lock = _lock_of(folder)
    for parent in (folder.parent, lock.parent):
        parent.mkdir(parents=True, exist_ok=True)
    try:
        with _awaited(FileLock(lock), folder), _signs_of_life(lock):
            yield
    except NotImplementedError as error:
        raise BertkitError(
            f"the file system of {folder.parent} has no locks: name another folder with BERTKIT_CACHE or --out"
        ) from error


def _awaited(lock: Any, folder: Path) -> Any:
    """Waits for a lock as long as the process that has it gives signs of life, and returns the acquired lock."""
    from filelock import Timeout

    began_at_s = seen_at_s = time.monotonic()
    sign, is_said = 0, False
    while True:
        with suppress(Timeout):
            return lock.acquire(timeout=0)
        # The time of access, as nobody reads the file; trying to get the lock changes its time of modification.
        now, now_s = os.stat(lock.lock_file).st_atime_ns, time.monotonic()
        if now != sign:
            sign, seen_at_s = now, now_s
        elif now_s - seen_at_s > PATIENCE_S:
            raise BertkitError(
                f"another process has the lock {lock.lock_file} and has given no sign of life for {PATIENCE_S:.0f} s: "
                "end it, or let it go on if it was stopped (by Ctrl-Z, say), then run again"
            )
        if now_s - began_at_s > 1 and not is_said:
            is_said = True
            console.note(
                console.plain(f"waiting for another process, which is making {folder}; Ctrl-C ends the waiting")
            )
        time.sleep(0.05)


@contextmanager
def _signs_of_life(lock: Path) -> Iterator[None]:
    """Shows the processes that wait for a lock of this process that it is at work, while the block runs."""
    over = threading.Event()

    def give() -> None:
        while not over.wait(SIGN_OF_LIFE_EVERY_S):
            with suppress(OSError):
                os.utime(lock)

    giving = threading.Thread(target=give, daemon=True)
    giving.start()
    try:
        yield
    finally:
        over.set()
        giving.join()  # no other thread is to be there where data workers are forked


def _lock_of(folder: Path) -> Path:
    if folder.is_relative_to(cache_folder()):
        return folder.with_name(f".{folder.name}.lock")
    # Beside a mount, such as a Docker volume, nothing may be written; and beside a person's folder nothing is to stay.
    place = hashlib.blake2b(os.fsencode(folder.resolve()), digest_size=16).hexdigest()
    return cache_folder() / "locks" / f"{place}.lock"


def _remove_leftovers(folder: Path) -> None:
    """Removes what dead processes have left: of this folder, whose lock we have, and in the cache of any other."""
    for left in folder.parent.glob(f"{TEMPORARY}*"):
        name = left.name.removeprefix(TEMPORARY).rpartition("-")[0]
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
