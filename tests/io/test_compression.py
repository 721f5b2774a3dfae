"""Compressed files: what is whole reads as Python's own modules read it, what no text packs to is given up early."""

import bz2
import gzip
import lzma
import tracemalloc

import pytest
import zstandard

from bertkit.errors import BertkitError
from bertkit.io import compression
from bertkit.io.compression import open_binary

COMPRESS = {
    ".gz": gzip.compress,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def read(path):
    with open_binary(path) as stream:
        return stream.read()


def read_through(path):
    with open_binary(path) as stream:
        while stream.read(2**16):
            pass


@pytest.mark.parametrize("suffix", COMPRESS)
def test_frames_one_after_the_other_are_one_text(tmp_path, suffix):
    path = tmp_path / f"a.txt{suffix}"
    parts = [b"one line\n" * 10_000, b"", b"the end"]
    path.write_bytes(b"".join(map(COMPRESS[suffix], parts)))
    assert read(path) == b"".join(parts)


@pytest.mark.parametrize("padding", [4, 2**13, 2**13 + 4])
def test_xz_may_be_padded_between_and_behind_its_streams(tmp_path, padding):
    path = tmp_path / "a.txt.xz"
    path.write_bytes(b"".join(lzma.compress(part) + b"\0" * padding for part in (b"one ", b"two")))
    assert read(path) == b"one two"


@pytest.mark.parametrize("suffix", COMPRESS)
@pytest.mark.parametrize("place", ["in the first", "in a later one", "behind the last", "cut"])
def test_damage_in_any_frame_is_named(tmp_path, suffix, place):
    path = tmp_path / f"a.txt{suffix}"
    first, second = (COMPRESS[suffix](b"one line\n" * 10) for _ in range(2))
    flipped = bytes([first[0] ^ 1]) + first[1:]  # a bit of what a frame begins with
    content = {
        "in the first": flipped + second,
        "in a later one": first + flipped + second,
        "behind the last": first + second + b"junk",
        "cut": first + second[:-1],
    }
    path.write_bytes(content[place])
    with pytest.raises(BertkitError, match=rf"a\.txt\{suffix} is damaged: its \{suffix} data cannot be decompressed"):
        read(path)


def test_of_a_bz2_no_more_is_held_than_is_read(tmp_path, monkeypatch):
    """A block of it, of some 40 bytes, may unpack to 46 MB."""
    monkeypatch.setattr(compression, "_EXPANSION_JUDGED_FROM_BYTES", 2**25)
    path = tmp_path / "a.txt.bz2"
    path.write_bytes(bz2.compress(b"\0" * 2**26))
    tracemalloc.start()
    with pytest.raises(BertkitError, match=r"a\.txt\.bz2 unpacks to more than 200 times"):
        read_through(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


@pytest.mark.parametrize("suffix", COMPRESS)
def test_a_bomb_is_given_up_long_before_it_is_unpacked(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(compression, "_EXPANSION_JUDGED_FROM_BYTES", 2**20)
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(COMPRESS[suffix](b"a cat " * 2**23))
    monkeypatch.setattr(compression, "_PACKED_BYTES", 2**6)
    tracemalloc.start()
    with pytest.raises(BertkitError, match=rf"a\.txt\{suffix} unpacks to more than 200 times its [\d,]+ bytes"):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24 < len(b"a cat ") * 2**23


def test_little_text_may_be_packed_as_far_as_it_goes(tmp_path):
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress(b"rain " * 2**20))
    assert len(read(path)) == 5 * 2**20 > 200 * path.stat().st_size


def test_xz_that_asks_for_much_memory_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.txt.xz"
    path.write_bytes(lzma.compress(b"text", preset=9))
    assert read(path) == b"text"
    monkeypatch.setattr(compression, "_XZ_MEMORY_BYTES", 2**20)
    with pytest.raises(BertkitError, match=r"a\.txt\.xz .*[Mm]emory usage limit"):
        read(path)
