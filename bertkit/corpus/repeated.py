"""Lines, or documents, that have occurred before, to the letter or nearly so: left out of a text as it streams by."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Literal

import numpy as np

from bertkit.errors import BertkitError
from bertkit.extras import import_extra
from bertkit.io.text import ReadReport

Repeated = Literal["lines", "documents", "near-duplicates"]
NEAR_EXTRA = "near"
"""The extra that brings the library for near duplicates."""
_RUN = 5
_WORDS = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+|[^\w\s]")
_LAST_MARK = 0xE01EF
_JOINERS = "\u200c\u200d"
"""Stand between letters of a word, as in Hindi and Persian."""
_CHARACTERS_AT_ONCE = 2**20
_LONGEST_CHARACTERS = 2**26
"""Of a document, which is held until its end is known."""
_Unit = list[str | None]
"""What is compared: a line, or the lines of a document and its end (None)."""


class Hashes:
    """64-bit hashes of what was met, in sorted runs of which each is at least twice as long as the next.

    10^8 of them take 0.8 GB, and as much again while runs become one.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def first_met(self, units: list[_Unit]) -> list[bool]:
        """Which of some lines or documents are met for the first time; from now on they are known."""
        is_new: list[bool] = self.first_met_hashes(np.array([_hash(unit) for unit in units], np.uint64)).tolist()
        return is_new

    def first_met_hashes(self, hashes: np.ndarray) -> np.ndarray:
        """As ``first_met``, for hashes: uint64, to bool."""
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


class MinHashes:
    """Signatures of documents that were met (MinHash, Broder 1997), 2.5 kB each with their index, by the library rensa.

    A near duplicate is a document of whose different runs of five words, and those of one met before, an estimated 0.8 or
    more are in both (the Jaccard index; five words and 0.8 as in arXiv:2107.06499). The estimate of 128 hashes has a standard
    deviation of 0.035 there (sqrt(0.8 * 0.2 / 128)); of pairs at 0.8, 5 % share none of the 16 bands of 8 hashes by which they
    are looked up ((1 - 0.8^8)^16), at 0.9 one in 10,000. Words are runs of letters, digits and the marks on them (as
    vowel signs in Hindi), in lower case; a Chinese character is a word, and so is a punctuation mark.
    """

    def __init__(self) -> None:
        library = import_extra("rensa", NEAR_EXTRA)
        self._met = library.RMinHashDeduplicator(threshold=0.8, num_perm=128, use_lsh=True, num_bands=16)
        self._count = 0

    def first_met(self, units: list[_Unit]) -> list[bool]:
        """Which of some documents are no near duplicates of those before; these are known from now on."""
        begin, self._count = self._count, self._count + len(units)
        is_new: list[bool] = self._met.add_pairs((str(begin + n), self._runs(unit)) for n, unit in enumerate(units))
        return is_new

    def _runs(self, unit: _Unit) -> Iterator[str]:
        words = _words(_text(unit).lower())
        return (" ".join(words[begin : begin + _RUN]) for begin in range(max(1, len(words) - _RUN + 1)))


def _words(text: str) -> list[str]:
    """The words of a text; the expression with marks takes twice as long, and is used where there are any."""
    if text.isascii():
        return _WORDS.findall(text)
    mark, words = _with_marks()
    return (words if mark.search(text) else _WORDS).findall(text)


@cache
def _with_marks() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Expressions for a mark, and for words with them, which ``\\w`` lacks."""
    every = "".join(one for one in map(chr, range(_LAST_MARK + 1)) if unicodedata.category(one).startswith("M"))
    every += _JOINERS
    letter = r"[^\W\u3400-\u9fff]"
    return re.compile(f"[{every}]"), re.compile(rf"[\u3400-\u9fff]|{letter}+(?:[{every}]+{letter}*)*|[^\w\s]")


def rule_of(what: Repeated) -> str:
    """Names how texts are compared, in fingerprints: with another rule, what was prepared by the one before is not taken."""
    return "near-duplicates-2" if what == "near-duplicates" else what


def without_repeated(paragraphs: Iterable[str | None], what: Repeated, report: ReadReport) -> Iterator[str | None]:
    """A text without the lines, or the documents, that have occurred in it before, to the character.

    Two different ones have the same hash by chance in 3 of 10,000 texts of 10^8 lines (n^2 / 2^65).

    Args:
        paragraphs: the text; None ends a document.
        what: is compared; "near-duplicates" are documents (see ``MinHashes``).
        report: takes the counts.

    Raises:
        BertkitError: a document is too long to be held, or rensa is not installed.
    """
    met = MinHashes() if what == "near-duplicates" else Hashes()
    for units in _some(([one] for one in paragraphs) if what == "lines" else _documents(paragraphs)):
        for unit, new in zip(units, met.first_met(units), strict=True):
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
    return int.from_bytes(
        hashlib.blake2b(_text(unit).encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
    )


def _text(unit: _Unit) -> str:
    # No line holds a line end: joined by them, other lines are another text.
    return "\n".join(one for one in unit if one)
