"""Reads TensorFlow's checkpoints (tensor bundles) without TensorFlow.

A checkpoint ``P`` consists of a table ``P.index``, which maps the tensors' names to their places, and of files
``P.data-00000-of-0000N`` with their bytes. The table has the format of LevelDB: blocks of entries whose keys share
prefixes, each block followed by its compression (one byte) and a masked CRC32C, and a footer of 48 bytes that says where
the block of blocks is. Its values are the protocol buffers ``BundleHeaderProto`` (under the empty key) and
``BundleEntryProto`` (tensorflow/core/protobuf/tensor_bundle.proto). As the files may come from anybody, every length is
checked against the file before memory is allocated for it.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bertkit.errors import BertkitError

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_MOST_INDEX_BYTES = 64 << 20
"""The largest index that is read, and its largest unpacked size; that of BERT-large has 60 kB."""
_MOST_RANK = 8
_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
"""TensorFlow's DataType → numpy's. bfloat16 (14) becomes float32; all others (strings, resources) are not weights."""
_BFLOAT16 = 14


@dataclass(frozen=True)
class _Entry:
    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    num_bytes: int
    crc: int


class TensorFlowCheckpoint:
    """The tensors of a checkpoint, by name.

    Args:
        prefix: the path without ".index", as TensorFlow names a checkpoint: "uncased/bert_model.ckpt".

    Raises:
        BertkitError: no such checkpoint, or its index is damaged.
    """

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix
        self._index = prefix.with_name(prefix.name + ".index")
        if not self._index.is_file():
            raise BertkitError(f"no checkpoint {prefix}: there is no {self._index.name} beside it")
        try:
            values = dict(_table(self._index.read_bytes() if self._index.stat().st_size < _MOST_INDEX_BYTES else b""))
            header = _fields(values.pop(b""))
            self._num_shards = int(_first(header, 1))
            if _first(header, 2):
                raise ValueError("it is of a big-endian machine")
            self._entries = {name.decode(): _entry(value) for name, value in values.items()}
        except (ValueError, IndexError, KeyError, struct.error, OSError) as error:
            reason = "it has no header" if isinstance(error, KeyError) else error
            raise BertkitError(f"{self._index} is damaged, or no index of a TensorFlow checkpoint: {reason}") from None

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of all tensors of numbers, by name."""
        return {
            name: entry.shape
            for name, entry in self._entries.items()
            if entry.dtype in _DTYPES or entry.dtype == _BFLOAT16
        }

    def read(self, name: str) -> np.ndarray:
        """Reads a tensor, as float32 or int64, and verifies its checksum.

        Raises:
            BertkitError: there is no such tensor, or its bytes are missing or damaged.
        """
        if name not in self.shapes:
            raise BertkitError(f"{self._prefix} has no tensor '{name}'")
        entry = self._entries[name]
        width = 2 if entry.dtype == _BFLOAT16 else np.dtype(_DTYPES[entry.dtype]).itemsize
        path = self._prefix.with_name(f"{self._prefix.name}.data-{entry.shard:05d}-of-{self._num_shards:05d}")
        try:
            if entry.num_bytes != width * math.prod(entry.shape):
                raise ValueError(f"{entry.num_bytes:,} bytes for the shape {list(entry.shape)}")
            if path.stat().st_size < entry.offset + entry.num_bytes:
                raise ValueError(f"it ends before byte {entry.offset + entry.num_bytes:,}")
            with path.open("rb") as file:
                file.seek(entry.offset)
                data = file.read(entry.num_bytes)
            _check(data, entry.crc)
        except FileNotFoundError:
            raise BertkitError(f"{path} is not there: a checkpoint is its .index and all of its .data files") from None
        except (OSError, ValueError) as error:
            raise BertkitError(f"{path} is damaged at '{name}': {error}") from None
        if entry.dtype == _BFLOAT16:  # the upper 16 bits of a float32
            wide = np.frombuffer(data, dtype="<u2").astype("<u4") << 16
            return wide.view("<f4").reshape(entry.shape)
        array = np.frombuffer(data, dtype=_DTYPES[entry.dtype]).reshape(entry.shape)
        return array.astype(np.float32 if array.dtype.kind == "f" else np.int64)


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a LevelDB table, in order."""
    if len(data) < _FOOTER_BYTES or struct.unpack_from("<Q", data, len(data) - 8)[0] != _MAGIC:
        raise ValueError("it does not end as one does")
    footer = data[-_FOOTER_BYTES:]
    at = 0
    handle = []
    for _ in range(4):  # offset and size of the block of metadata, which is empty, and of the block of blocks
        number, at = _varint(footer, at)
        handle.append(number)
    for _, value in _block(data, handle[2], handle[3]):
        offset, at = _varint(value, 0)
        size, _ = _varint(value, at)
        yield from _block(data, offset, size)


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The entries of one block. Each key is stored as the length of the prefix shared with the key before, and the rest."""
    end = offset + size
    if end + 5 > len(data):
        raise ValueError("a block lies beyond its end")
    _check(data[offset : end + 1], struct.unpack_from("<I", data, end + 1)[0])
    block = data[offset:end] if data[end] == 0 else _unpacked(data[offset:end], data[end])
    restarts = struct.unpack_from("<I", block, len(block) - 4)[0]
    at, last = 0, len(block) - 4 - 4 * restarts
    key = b""
    while at < last:
        shared, at = _varint(block, at)
        fresh, at = _varint(block, at)
        length, at = _varint(block, at)
        if shared > len(key) or at + fresh + length > last:
            raise ValueError("an entry lies beyond its block")
        key = key[:shared] + block[at : at + fresh]
        at += fresh + length
        yield key, block[at - length : at]


def _unpacked(packed: bytes, kind: int) -> bytes:
    if kind != 1:
        raise ValueError(f"unknown compression {kind}")
    import pyarrow

    size, _ = _varint(packed, 0)  # snappy data begins with the unpacked size
    if size > _MOST_INDEX_BYTES:
        raise ValueError(f"a block says that it unpacks to {size:,} bytes")
    try:
        unpacked: bytes = pyarrow.Codec("snappy").decompress(packed, decompressed_size=size, asbytes=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"a block cannot be unpacked ({error})") from None
    return unpacked


def _check(data: bytes, masked: int) -> None:
    """Checks bytes against a CRC32C, which LevelDB stores rotated by 15 bits and with a constant added."""
    import google_crc32c

    crc = google_crc32c.value(data)
    if ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF != masked:
        raise ValueError("its checksum is another")


def _entry(value: bytes) -> _Entry:
    fields = _fields(value)
    dims = [_first(_fields(dim), 1) for dim in _fields(_bytes(fields, 2)).get(2, []) if isinstance(dim, bytes)]
    if len(dims) > _MOST_RANK:
        raise ValueError(f"a tensor of {len(dims)} dimensions")
    return _Entry(_first(fields, 1), tuple(dims), *(_first(fields, number) for number in (3, 4, 5, 6)))


def _fields(message: bytes) -> dict[int, list[int | bytes]]:
    """The fields of a protocol buffer by number, as integers or bytes."""
    fields: dict[int, list[int | bytes]] = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value: int | bytes
        if tag & 7 == 0:
            value, at = _varint(message, at)
        elif tag & 7 == 2:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("a field lies beyond its message")
            value, at = message[at : at + length], at + length
        else:
            form = {5: "<I", 1: "<Q"}.get(tag & 7)
            if form is None:
                raise ValueError("a field of an unknown kind")
            value, at = struct.unpack_from(form, message, at)[0], at + struct.calcsize(form)
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _first(fields: dict[int, list[int | bytes]], number: int) -> int:
    value = fields.get(number, [0])[0]
    if not isinstance(value, int):
        raise ValueError("a field is no number")
    return value


def _bytes(fields: dict[int, list[int | bytes]], number: int) -> bytes:
    value = fields.get(number, [b""])[0]
    if not isinstance(value, bytes):
        raise ValueError("a field is no message")
    return value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Reads a number stored in seven bits per byte, lowest first; returns it and the offset behind it."""
    number = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise ValueError("a number does not end")
