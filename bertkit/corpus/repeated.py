"""Lines, or documents, that have occurred before: left out of a text as it streams by."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np

from bertkit.errors import BertkitError
from bertkit.io.text import ReadReport

Repeated = Literal["lines", "documents"]
_CHARACTERS_AT_ONCE = 2**20
_LONGEST_CHARACTERS = 2**26
"""Of a document, which is held until its end is known."""
_Unit = list[str | None]
"""What is compared: a line, or the lines of a document and its end (None)."""


class Hashes:
    """64-bit hashes that were met, in sorted runs of which each is at least twice as long as the next.

    10^8 of them take 0.8 GB, and as much again while runs become one.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def first_met(self, hashes: np.ndarray) -> np.ndarray:
        """Which of some hashes (uint64) are met for the first time, bool; from now on they are known."""
        different, places = np.unique(hashes, return_index=True)
        is_new = np.ones(len(different), bool)
        for run in self._runs:
            is_new &= run[np.minimum(np.searchsorted(run, different), len(run) - 1)] != different
        self._add(different[is_new])
        found = np.zeros(len(hashes), bool)
        found[places[is_new]] = True
        return found

    def _add(self, run: np.ndarray) -> None:
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.concatenate([self._runs.pop(), run])
            run.sort(kind="stable")
        if len(run):
            self._runs.append(run)


def without_repeated(paragraphs: Iterable[str | None], what: Repeated, report: ReadReport) -> Iterator[str | None]:
    """A text without the lines, or the documents, that have occurred in it before, to the character.

    Two different ones have the same hash by chance in 3 of 10,000 texts of 10^8 lines (n^2 / 2^65).

    Args:
        paragraphs: the text; None ends a document.
        what: is compared.
        report: takes the counts.

    Raises:
        BertkitError: a document is too long to be held.
    """
    met = Hashes()
    for units in _some(([one] for one in paragraphs) if what == "lines" else _documents(paragraphs)):
        is_new = met.first_met(np.array([_hash(unit) for unit in units], np.uint64))
        for unit, new in zip(units, is_new.tolist(), strict=True):
            if new or unit == [None]:
                yield from unit
            else:
                report.repeated += 1
                report.repeated_characters += _characters(unit)


def _documents(paragraphs: Iterable[str | None]) -> Iterator[_Unit]:
    document: _Unit = []
    characters = 0
    for one in paragraphs:
        document.append(one)
        characters += len(one or "")
        if characters > _LONGEST_CHARACTERS:
            raise BertkitError(
                f"a document has over {_LONGEST_CHARACTERS:,} characters, too many to be compared whole: put blank lines "
                "between documents, or use --set data.deduplicate=lines"
            )
        if one is None:
            yield document
            document, characters = [], 0
    if document:
        yield document


def _some(units: Iterable[_Unit]) -> Iterator[list[_Unit]]:
    some: list[_Unit] = []
    characters = 0
    for unit in units:
        some.append(unit)
        characters += 1 + _characters(unit)
        if characters > _CHARACTERS_AT_ONCE:
            yield some
            some, characters = [], 0
    if some:
        yield some


def _characters(unit: _Unit) -> int:
    return sum(len(one) for one in unit if one)


def _hash(unit: _Unit) -> int:
    # No line holds a line end: joined by them, other lines are another text.
    text = "\n".join(one for one in unit if one)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
