"""Whether the parts of a text that were prepared apart (``bertkit prepare --shard``) make up the whole of it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bertkit import console
from bertkit.console import listed
from bertkit.corpus.store import CorpusStore
from bertkit.errors import BertkitError

# How a fingerprint begins (``Preparation.fingerprint``): the text's; of a part its number, from 0, and how many there are.
_FINGERPRINT = re.compile(r"([0-9a-f]*)(?:-(\d+)of(\d+)-)?")
_SHOWN = 3


class _Part(NamedTuple):
    folder: Path
    number: int
    """From 1."""
    of: int

    def __str__(self) -> str:
        return f"{self.folder} ({self.number} of {self.of})" if self.of > 1 else str(self.folder)


def _part_of(store: CorpusStore) -> tuple[str, _Part]:
    """The fingerprint of the text that a store is a part of, and which one it is."""
    text, number, of = _FINGERPRINT.match(store.info.fingerprint).groups()  # type: ignore[union-attr] # matches any text
    return text, _Part(store.folder, int(number or 0) + 1, int(of or 1))


def read_once(stores: Sequence[CorpusStore]) -> list[CorpusStore]:
    """One of the parts of each text that was divided, and all stores of whole texts."""
    once: dict[object, CorpusStore] = {}
    for store in stores:
        text, part = _part_of(store)
        once.setdefault(text if part.of > 1 else store.folder, store)
    return list(once.values())


def check_parts(stores: Sequence[CorpusStore]) -> None:
    """Warns if parts of a text are missing.

    Raises:
        BertkitError: parts hold the same documents, or parts of several texts are missing.
    """
    texts: dict[str, list[_Part]] = {}
    for store in stores:
        text, part = _part_of(store)
        texts.setdefault(text, []).append(part)
    partial: list[list[_Part]] = []
    for parts in texts.values():
        divisions, numbers = {part.of for part in parts}, {part.number for part in parts}
        if len(divisions) > 1 or len(numbers) < len(parts):
            raise BertkitError(
                f"prepared folders that hold the same documents of a text: {listed([*map(str, parts)], _SHOWN)}; give it once, "
                "or all parts of one division"
            )
        if len(numbers) < max(divisions):
            partial.append(parts)
    if len(partial) > 1:
        raise BertkitError(
            f"{' and '.join(str(parts[0]) for parts in partial[:2])} are parts of different texts, and other parts of both are "
            "missing: prepare all parts of a text from the same files"
        )
    for parts in partial:
        of, there = parts[0].of, {part.number for part in parts}
        missing = [str(number) for number in range(1, of + 1) if number not in there]
        are = "is" if len(missing) == 1 else "are"
        told = f"{len(missing):,} of {of:,} parts of the prepared text {are} missing beside {parts[0].folder}"
        given = f"what is given is about {len(there) / of:.0%} of it"
        console.warn(console.plain(f"{told}: {listed(missing, _SHOWN)}; {given}"))
