"""Writes files and folders so that they are either complete or not there at all.

Each is written under a temporary name beside its place and then renamed. Meanwhile its process holds a lock on it, which the
system releases if the process is killed: the next process that writes there removes what was left.
"""

import errno
import glob
import io
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

from bertkit.errors import BertkitError, os_error_number

try:
    import fcntl
except ImportError:  # on Windows, where left-overs stay
    fcntl = None  # type: ignore[assignment]

_ADVICE = {
    errno.ENOSPC: "no space left on device: free some, then run again",
    errno.EDQUOT: "the disk quota is used up: free some, then run again",
    errno.EFBIG: "the file is larger than the file system or `ulimit -f` allows",
    errno.EROFS: "the file system is read-only: choose another folder",
    errno.EACCES: "permission denied: choose another folder, or change its permissions",
    errno.EPERM: "permission denied: choose another folder, or change its permissions",
    errno.EEXIST: "a file is in its way: choose another name",
    errno.ENOTDIR: "a file is in its way: choose another name",
    errno.ENAMETOOLONG: "the name is too long for the file system: choose a shorter one",
}
TEMPORARY = ".tmp-"
"""How temporary names begin: .tmp-NAME-RANDOM."""
_NAME_BYTES = 120
"""How many bytes of a name its temporary name repeats: the name itself may fill the 255 bytes that file systems allow."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns errors of the operating system in writing ``path`` into a BertkitError that names it.

    Errors about other files, and of connections, pass: they are handled elsewhere, at the latest in ``__main__``.
    """
    try:
        yield
    except BertkitError:
        raise
    except Exception as error:
        number = os_error_number(error)
        if number is None or isinstance(error, (ConnectionError, TimeoutError)) or _is_elsewhere(error, path):
            raise
        reason = _ADVICE.get(number) or os.strerror(number).lower()
        raise BertkitError(f"cannot write {path}: {reason}") from error


def _is_elsewhere(error: Exception, path: Path) -> bool:
    """Whether an error is about a file that is neither ``path`` nor above, below or beside it."""
    named = getattr(error, "filename", None)
    if not isinstance(named, str | bytes | os.PathLike):
        return False
    file, place = Path(os.path.abspath(os.fsdecode(named))), Path(os.path.abspath(path))
    return place.parent not in (file.parent, *file.parents) and file not in place.parents


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A temporary binary file that replaces ``path`` at the end of the block, or is removed if the block raises.

    Its permissions follow the umask.
    """
    with disk_errors(path), _temporary(path.parent, path.name, lambda file: file.touch(exist_ok=False)) as fresh:
        try:
            with fresh.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _put(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)


def _put(fresh: Path, path: Path) -> None:
    try:
        os.replace(fresh, path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        shutil.copyfile(fresh, path)  # a file that is a mount, as in containers, cannot be replaced


@contextmanager
def new_text(path: Path) -> Iterator[TextIO]:
    """As ``new_file``, for text in UTF-8 with ``\\n`` line ends; lone surrogates become escapes, which JSON reads back."""
    with new_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="\n")
        yield text
        text.flush()
        text.detach()  # new_file closes the binary file


def write_text(path: Path, text: str) -> None:
    """Replaces the content of a file atomically, as UTF-8 with ``\\n`` line ends.

    Lone surrogates, which stand for bytes of file names that are not UTF-8, become escapes, which JSON reads back.

    Raises:
        BertkitError: the disk is full or cannot be written. The old content stays.
    """
    with new_text(path) as file:
        file.write(text)


def write_json(path: Path, value: object) -> None:
    """Replaces the content of a file atomically with indented JSON."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def copy_file(source: Path, path: Path) -> None:
    """Replaces the content of a file atomically with that of another file.

    Raises:
        BertkitError: the disk is full or cannot be written. The old content stays.
    """
    with source.open("rb") as content, new_file(path) as file:
        shutil.copyfileobj(content, file)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder that becomes ``path`` at the end of the block, or is removed if the block raises.

    It is made beside ``path`` and renamed. If ``path`` is an empty folder, it may be a mount that can be neither renamed
    nor replaced (a Docker volume): then the temporary folder is made in it, and its contents are moved up at the end. If
    another process has filled ``path`` meanwhile, the temporary folder is dropped.
    """
    with disk_errors(path):
        is_there = path.is_dir() and not holds_something(path)
        place = path if is_there else path.parent
        place.mkdir(parents=True, exist_ok=True)
        with _temporary(place, path.name, Path.mkdir) as fresh:
            try:
                yield fresh
                for file in fresh.rglob("*"):
                    if file.is_file():
                        _sync(file)
                if not is_there:
                    _rename(fresh, path)
                elif not holds_something(path):
                    _move_up(fresh)
                _sync(path if is_there else path.parent)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """A folder in the system's temporary folder while the block runs, which other users cannot read."""
    with _temporary(Path(tempfile.gettempdir()), name, lambda folder: folder.mkdir(mode=0o700)) as fresh:
        try:
            yield fresh
        finally:
            shutil.rmtree(fresh, ignore_errors=True)


def contents(folder: Path) -> list[Path]:
    """The contents of a folder, sorted, without the ``lost+found`` of a file system."""
    return sorted(path for path in folder.iterdir() if path.name != "lost+found")


def holds_something(folder: Path) -> bool:
    """Whether a folder has contents besides those that are being written, or were when their process was killed."""
    return any(not path.name.startswith(TEMPORARY) for path in contents(folder))


def check_new_or_empty(folder: Path) -> None:
    """Raises a BertkitError unless ``new_folder`` can make a folder: it is not there, or holds nothing."""
    if folder.exists() and (not folder.is_dir() or holds_something(folder)):
        raise BertkitError(f"{folder} is there already, and not empty: name another folder with --out")


def _rename(fresh: Path, path: Path) -> None:
    try:
        os.replace(fresh, path)
    except OSError:
        if not path.is_dir() or not holds_something(path):
            raise


def _move_up(fresh: Path) -> None:
    # JSON files last: folders are recognised by them, so that a half-moved one is not taken for a complete one.
    for file in sorted(fresh.iterdir(), key=lambda file: file.suffix == ".json"):
        os.replace(file, fresh.parent / file.name)


@contextmanager
def _temporary(place: Path, name: str, make: Callable[[Path], None]) -> Iterator[Path]:
    """A new file or folder, made by ``make`` and locked while the block runs; left-overs of ended processes are removed."""
    # Not by tempfile, whose files and folders only their owner can read, whatever the umask says.
    begin = f"{TEMPORARY}{os.fsencode(name)[:_NAME_BYTES].decode('utf-8', 'ignore')}-"
    for left in place.glob(f"{glob.escape(begin)}{'[0-9a-f]' * 12}"):
        _remove_where_unheld(left)
    with ExitStack() as held:
        while True:
            fresh = place / f"{begin}{secrets.token_hex(6)}"
            make(fresh)
            with suppress(OSError):
                held.enter_context(_lock(fresh))
            if fresh.exists():
                break
            held.close()  # before it was locked, another process took it for a left-over
        yield fresh


@contextmanager
def _lock(path: Path, without_waiting: bool = False) -> Iterator[None]:
    """Locks a file or folder. Raises an OSError where that is impossible: on Windows, where open files cannot be renamed, and
    on file systems without locks."""
    if fcntl is None:
        raise OSError
    descriptor = os.open(
        path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW
    )  # neither a link nor a pipe that somebody else has put there
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (fcntl.LOCK_NB if without_waiting else 0))
        yield
    finally:
        os.close(descriptor)


def _remove_where_unheld(left: Path) -> None:
    with suppress(OSError), _lock(left, without_waiting=True):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _sync(path: Path) -> None:
    """Waits until a file or folder is on the disk. (On Windows folders cannot be synced.)"""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
