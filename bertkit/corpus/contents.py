"""What the inputs hold: their fingerprint, and whether what was read is what was hashed."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bertkit.corpus.paragraphs import UNKNOWN_REVISION, hub_revision
from bertkit.corpus.sources import Source
from bertkit.errors import BertkitError
from bertkit.io.compression import is_compressed
from bertkit.io.remote import AnyFile
from bertkit.io.tables import form

_HASH_BLOCK = 2**20


class _File(NamedTuple):
    path: AnyFile
    size_bytes: int
    modified_ns: int
    inode: int
    digest: bytes

    def is_still(self, now: "_File") -> bool:
        """Whether a file is what it was; one that another machine has hashed is known by its size and hash alone."""
        return self == (now if self.inode else now._replace(modified_ns=0, inode=0))


@dataclass(frozen=True)
class Contents:
    """The inputs as they were when they were hashed."""

    hashed: bytes
    """Of each input in order its form and the hash of its content; of a hub dataset, its revision."""
    files: Sequence[_File]
    datasets: Sequence[tuple[Source, str]] = ()
    """Those of the hub, with their revisions."""

    @property
    def fingerprint(self) -> str:
        """32 hex digits."""
        return hashlib.blake2b(self.hashed, digest_size=16).hexdigest()

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """The block reads the inputs; at its end they must be what they were.

        Raises:
            BertkitError: a file that has another size, time, inode or hash, or a dataset of the hub that has another
                revision, whatever else was wrong with it.
        """
        try:
            yield
        except BertkitError:
            self._check()
            raise
        self._check()

    def _check(self) -> None:
        for file in self.files:
            if not file.path.is_file() or not file.is_still(_look_at(file.path)):
                raise changed(file.path)
        for source, revision in self.datasets:
            if hub_revision(source) not in (revision, UNKNOWN_REVISION):
                raise changed(source.name)


def contents(sources: Sequence[Source], column: str) -> Contents:
    """Reads and hashes the inputs.

    Raises:
        BertkitError: a file cannot be read; the hub cannot be asked.
    """
    hashed = bytearray()
    files: list[_File] = []
    datasets: list[tuple[Source, str]] = []
    for source in sources:
        if source.hub is not None:
            datasets.append((source, hub_revision(source)))
            hashed += repr((source.hub, datasets[-1][1], column)).encode()
            continue
        assert source.path is not None
        paths: Sequence[AnyFile] = [source.path]
        if isinstance(source.path, Path) and source.is_saved_dataset:
            paths = sorted(source.path.rglob("*"))
        kind = "dataset" if source.is_saved_dataset else form(source.path)
        compression = source.path.suffix if is_compressed(source.path) else ""
        hashed += repr((kind, "" if kind == "txt" else column, compression)).encode()
        for path in paths:
            if path.is_file():
                files.append(_look_at(path))
                hashed += files[-1].digest
    return Contents(bytes(hashed), files, datasets)


def changed(what: AnyFile | str) -> BertkitError:
    """The error for an input that is not what was hashed."""
    return BertkitError(f"{what} changed while it was read: nothing was kept; run again when nobody writes to it")


def joined(several: Iterable[Contents]) -> Contents:
    """What inputs hold of which the parts were hashed apart, in order, on machines that know files by other inodes."""
    parts = list(several)
    files = [file._replace(modified_ns=0, inode=0) for part in parts for file in part.files]
    datasets = [one for part in parts for one in part.datasets]
    return Contents(b"".join(part.hashed for part in parts), files, datasets)


def _look_at(path: AnyFile) -> _File:
    digest = hashlib.blake2b(digest_size=16)
    try:
        about = path.stat()  # before the content: a change that comes after is one
        with path.open("rb") as file:
            while block := file.read(_HASH_BLOCK):
                digest.update(block)
    except OSError as error:
        raise BertkitError(f"cannot read {path}: {error.strerror or error}") from error
    return _File(path, about.st_size, about.st_mtime_ns, about.st_ino, digest.digest())
