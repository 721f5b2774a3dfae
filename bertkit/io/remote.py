"""Reads files in object stores and on servers (s3://, gs://, hf://, https:// …) as streams, by fsspec."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from bertkit.console import counted, one_line
from bertkit.errors import BertkitError
from bertkit.io.connection import ensure_hub, is_offline, patiently, why_offline

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://.", re.IGNORECASE)  # a single letter would be a drive of Windows
_BLOCK_BYTES = 2**24
"""How many bytes are requested at a time; two such blocks are in memory."""
_WAYS_ON = "give a file or a folder, or a URL such as s3://BUCKET/FOLDER/, gs://, hf:// or https://"


class _Stat(NamedTuple):
    st_size: int
    st_mtime_ns: int = 0  # remote files are compared by their hash only
    st_ino: int = 0


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URL, with the methods of ``Path`` that are needed for reading. Their errors are BertkitErrors."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """Without what may follow it on a web server, such as ``?download=true``."""
        is_web = self.url.lower().startswith("http")
        return PurePosixPath(self.url.partition("?")[0] if is_web else self.url).name

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.name).suffix

    def is_dir(self) -> bool:
        return False

    def is_file(self) -> bool:
        return True

    def stat(self) -> _Stat:
        return _Stat(_size_bytes(self.url))

    def open(self, _mode: str = "rb") -> BinaryIO:
        """Opens the file for reading bytes; it can seek if the server sends parts of files."""
        with _failures(self.url):
            files, path = _place(self.url)
            return io.BufferedReader(_Stream(files.open(path, "rb", block_size=_BLOCK_BYTES), self.url), 2**20)


AnyFile = Path | RemoteFile


def is_url(name: str) -> bool:
    """Whether a name is a URL rather than a path."""
    return bool(_URL.match(name))


def files_at(url: str) -> tuple[list[RemoteFile], int]:
    """The file at a URL, or the files that match its ``*``, or all files in and below a folder; sorted.

    As in local folders, files whose names, or whose folders' names, begin with a dot are left out; the second value
    counts them.

    Raises:
        BertkitError: there are none, they cannot be reached, or the package that reads such URLs is not installed.
    """
    with _failures(url):
        files, path = _place(url)
        if "*" not in path and not url.endswith("/") and files.isfile(path):
            return [RemoteFile(files.unstrip_protocol(path))], 0
        listed = (files.glob if "*" in path else files.find)(path, detail=True)
        several = [
            name for name in listed if listed[name].get("type", "file") == "file"
        ]  # a web server does not say it
        shown = sorted(name for name in several if not _is_hidden(name, path))
        names = [files.unstrip_protocol(name) for name in shown]
        if not names and "*" not in path:
            files.info(path)  # raises an error that says why, if the server does not answer
    if not names:
        there = (
            f"only {counted(len(several), 'hidden file is', 'hidden files are')} there"
            if several
            else "nothing is there"
        )
        raise BertkitError(f"no corpus at {url}: {there}; {_WAYS_ON}")
    return [RemoteFile(name) for name in names], len(several) - len(shown)


def _is_hidden(name: str, asked: str) -> bool:
    """Whether a file, or a folder of its, begins with a dot that the path or glob which was asked for does not name."""
    given, last = (
        (asked.partition("*")[0].rpartition("/")[0], asked.rpartition("/")[2]) if "*" in asked else (asked, "")
    )
    folder, _, own = name.removeprefix(given).rpartition("/")
    return "/." in folder or (own.startswith(".") and not last.startswith("."))


@cache
def _size_bytes(url: str) -> int:
    with _failures(url):
        files, path = _place(url)
        size = files.info(path)["size"]
    if size is None:
        raise BertkitError(f"cannot read {url}: the server does not say how large it is; fetch it first")
    return int(size)


def _place(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path of the file in it."""
    import fsspec
    from fsspec.registry import known_implementations

    protocol = url.partition("://")[0].lower()
    if protocol == "hf":
        ensure_hub()
    try:
        return fsspec.url_to_fs(url)  # type: ignore[no-any-return]
    except ImportError as error:
        package = known_implementations.get(protocol, {}).get("class", "fsspec").partition(".")[0]
        needs = one_line(error) if package == "fsspec" else f"needs the package {package}: pip install {package}"
        raise BertkitError(f"cannot read {url}: {protocol}:// {needs}") from error
    except ValueError as error:
        raise BertkitError(f"cannot read {url}: {one_line(error)}; {_WAYS_ON}") from error


class _Stream(io.RawIOBase):
    """A file of fsspec, whose errors (each of its libraries has its own) become BertkitErrors."""

    def __init__(self, file: Any, url: str) -> None:
        self._file, self._url = file, url

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def readinto(self, buffer: Any) -> int:
        with _failures(self._url):
            data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def _failures(url: str) -> Iterator[None]:
    try:
        with patiently() if url.startswith("hf://") else nullcontext():
            yield
    except BertkitError:
        raise
    except FileNotFoundError as error:
        raise BertkitError(f"no corpus at {url}: nothing is there; {_WAYS_ON}") from error
    except Exception as error:
        why = why_offline() if url.startswith("hf://") and is_offline() else one_line(error)
        raise BertkitError(f"cannot read {url}: {why}") from error
