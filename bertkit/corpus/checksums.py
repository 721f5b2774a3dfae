"""Checksums of the files of a folder: the ends of each looked at cheaply, or all of it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from bertkit.errors import BertkitError
from bertkit.io.structured import parsed_json

_FILE = "checksums.json"
_BLOCK = 2**20
_END_BYTES = 2**19
"""Of either end: a file of a megabyte is read whole, and a store is looked at in some milliseconds."""


class Checksum(TypedDict):
    """Of one file; the hashes are BLAKE2b with 32 hex digits."""

    bytes: int
    ends: str
    """Of the first and the last half megabyte."""
    whole: str


def checksums(folder: Path, but: str) -> dict[str, Checksum]:
    """Those of all files that a folder holds now, by name; not that of ``but``, which is to hold them."""
    return {
        path.name: Checksum(bytes=path.stat().st_size, ends=_hash_of_ends(path), whole=_hash(path))
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != but
    }


def verify(folder: Path, known: Mapping[str, Checksum], wholly: bool) -> None:
    """Holds the files of a folder against their checksums, by their sizes and ends, or wholly.

    Raises:
        BertkitError: naming the first file that is missing or damaged.
    """
    for name, checksum in known.items():
        path = folder / name
        if not path.is_file():
            raise damaged(path, "it is missing")
        if path.stat().st_size != checksum["bytes"]:
            raise damaged(path, f"not the {checksum['bytes']:,} bytes it should have")
        if _hash_of_ends(path) != checksum["ends"] or (wholly and _hash(path) != checksum["whole"]):
            raise damaged(path, "its content is not what was written")


def write_checksums(folder: Path) -> None:
    """Keeps the checksums of a folder's files in a file beside them."""
    (folder / _FILE).write_text(json.dumps(checksums(folder, but=_FILE), indent=2) + "\n", encoding="utf-8")


def check_against_checksums(folder: Path, wholly: bool = True) -> None:
    """Holds a folder against the checksums that it keeps, by sizes and ends or wholly; one without any is its reader's.

    Raises:
        BertkitError: a file is missing or damaged.
    """
    path = folder / _FILE
    if path.is_file():
        try:
            verify(folder, parsed_json(path.read_text(encoding="utf-8")), wholly)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise damaged(path, "its content is not what was written") from error


def damaged(path: Path, how: str) -> BertkitError:
    """The error for a file of a prepared corpus that cannot be used."""
    return BertkitError(f"{path} is damaged ({how}): prepare the corpus anew")


def _hash(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _hash_of_ends(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        digest.update(file.read(_END_BYTES))
        file.seek(max(file.tell(), path.stat().st_size - _END_BYTES))
        digest.update(file.read(_END_BYTES))
    return digest.hexdigest()
