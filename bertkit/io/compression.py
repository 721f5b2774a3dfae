"""Reads files of any compression as streams of bytes, in bounded memory."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from bertkit.errors import BertkitError
from bertkit.io.remote import AnyFile

MAX_EXPANSION = 200
"""The largest factor by which a file may unpack. Text packs to a third or a tenth; more is a bomb (gzip reaches 1,000, the
others far more)."""
_EXPANSION_JUDGED_FROM_BYTES = 2**28
_XZ_MEMORY_BYTES = 2**28
"""The most memory that an .xz file may ask for; ``xz -9`` asks for 65 MB."""
_PACKED_BYTES = 2**13  # a Zstandard bomb of this size unpacks to 256 MiB
_UNPACKED_BYTES = 2**20
"""The most that a .bz2 gives at a time: one of ``_PACKED_BYTES`` may unpack to gigabytes."""


@contextmanager
def open_binary(path: AnyFile) -> Iterator[BinaryIO]:
    """Opens a file for reading as a stream, decompressed if its last suffix is .gz, .xz, .zst or .bz2.

    Raises:
        BertkitError: the file cannot be read, its compressed data are damaged or cut off, or it unpacks to more than
            ``MAX_EXPANSION`` times its size.
    """
    try:
        with path.open("rb") as raw, _decompressed(raw, path) as stream:
            yield stream
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        raise BertkitError(f"{path} is damaged: its {path.suffix} data cannot be decompressed ({error})") from error
    except OSError as error:
        raise BertkitError(f"cannot read {path}: {error.strerror or error}") from error


@contextmanager
def _decompressed(raw: BinaryIO, path: AnyFile) -> Iterator[BinaryIO]:
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        yield raw
        return
    with opener(raw) as stream, io.BufferedReader(_Counted(stream, path)) as counted:
        yield counted


def check_expansion(path: AnyFile, packed_bytes: int, unpacked_bytes: int) -> None:
    """Checks that data unpack to a size that is plausible for text.

    Raises:
        BertkitError: they unpack to more than ``MAX_EXPANSION`` times their size.
    """
    if unpacked_bytes > max(MAX_EXPANSION * packed_bytes, _EXPANSION_JUDGED_FROM_BYTES):
        raise BertkitError(
            f"{path} unpacks to more than {MAX_EXPANSION} times its {packed_bytes:,} bytes, which no text does: "
            "unpack it yourself if it is to be read"
        )


class _Counted(io.RawIOBase):
    """A decompressed stream that raises a BertkitError if it unpacks to too much."""

    def __init__(self, stream: Any, path: AnyFile) -> None:
        self._stream, self._path, self._packed_bytes = stream, path, path.stat().st_size
        self._unpacked_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size: int = self._stream.readinto(buffer)
        self._unpacked_bytes += size
        check_expansion(self._path, self._packed_bytes, self._unpacked_bytes)
        return size


class _Frames(io.RawIOBase):
    """A stream of the decompressed frames of a file. It reads a little at a time, as what that unpacks to is held in memory.

    The readers of the libraries are not used: they take a truncated .zst for a complete one, end a .bz2 before a damaged
    stream as if nothing followed, and give an .xz as much memory as it asks for.
    """

    def __init__(self, raw: BinaryIO, decompressor: Callable[[], Any], padding: bytes) -> None:
        self._raw, self._decompressor, self._padding = raw, decompressor, padding
        self._ready = memoryview(b"")
        self._frame: Any = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            ended = self._frame is None or self._frame.eof
            left = self._frame.unused_data if self._frame is not None and ended else b""
            if ended:
                self._frame = None
                left = left.lstrip(self._padding)
            has_more = not ended and not self._frame.needs_input
            data = left if left or has_more else self._raw.read(_PACKED_BYTES)
            if not data and not has_more:
                if not ended:
                    raise EOFError("the file ends too early")
                return 0
            if ended:
                data = data.lstrip(self._padding)
                if not data:
                    continue
                self._frame = self._decompressor()
            self._ready = memoryview(self._frame.decompress(data))
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size


class _Frame:
    """A decompressor of one frame that raises the same errors as those of other compressions.

    Args:
        stream: the decompressor of a library.
        error: what it raises for damaged bytes.
        limits: what its ``decompress`` takes besides the bytes.
    """

    def __init__(self, stream: Any, error: type[Exception], *limits: int) -> None:
        self._stream, self._error, self._limits = stream, error, limits

    @property
    def eof(self) -> bool:
        return bool(self._stream.eof)

    @property
    def needs_input(self) -> bool:
        return getattr(self._stream, "needs_input", True)  # zstandard always gives all at once

    @property
    def unused_data(self) -> bytes:
        unused: bytes = self._stream.unused_data
        return unused

    def decompress(self, data: bytes) -> bytes:
        try:
            unpacked: bytes = self._stream.decompress(data, *self._limits)
        except self._error as error:
            raise EOFError(str(error)) from error
        return unpacked


def _bz2_frame() -> _Frame:
    return _Frame(bz2.BZ2Decompressor(), OSError, _UNPACKED_BYTES)


def _zst_frame() -> _Frame:
    import zstandard

    return _Frame(zstandard.ZstdDecompressor().decompressobj(), zstandard.ZstdError)


_OPENERS: dict[str, Callable[[BinaryIO], Any]] = {
    ".gz": gzip.open,
    ".bz2": lambda raw: _Frames(raw, _bz2_frame, padding=b""),
    ".xz": lambda raw: _Frames(raw, lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES), padding=b"\0"),
    ".zst": lambda raw: _Frames(raw, _zst_frame, padding=b""),
}
COMPRESSED_SUFFIXES = tuple(_OPENERS)


def is_compressed(path: AnyFile) -> bool:
    """Whether the last suffix of a file, in letters of either case, is one of ``COMPRESSED_SUFFIXES``."""
    return path.suffix.lower() in COMPRESSED_SUFFIXES


def plain_name(path: AnyFile) -> Path:
    """A file's name without the suffix of its compression, if it has one: "a.csv" of "folder/a.csv.gz"."""
    name = Path(path.name)
    return name.with_suffix("") if is_compressed(path) else name
