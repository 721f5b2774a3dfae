"""What to prepare: the text, how it is read, and which parts of it an engine prepares apart."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any, Protocol, TypeVar

from bertkit import console
from bertkit.corpus.cache import name_of
from bertkit.corpus.contents import Contents, contents, joined
from bertkit.corpus.paragraphs import read_paragraphs
from bertkit.corpus.repeated import Repeated, rule_of, without_repeated
from bertkit.corpus.sources import Source
from bertkit.errors import BertkitError
from bertkit.io.compression import is_compressed
from bertkit.io.text import ReadReport

T = TypeVar("T")
PART_BYTES = 2**28
"""Text of a part, about: half a minute of a core, which is all that a lost machine's core loses."""
_LARGE_BYTES = 4 * PART_BYTES
"""A file with more text than this is spoken of."""


class Engine(Protocol):
    """Does the same work on several parts, in other processes or on other machines."""

    def __call__(self, work: "Callable[[Preparation], T]", parts: "Sequence[Preparation]") -> Iterator[tuple[int, T]]:
        """The number of each part with what the work has given, in the order in which they are done.

        Raises:
            BertkitError: a part cannot be done.
        """
        ...


@dataclass(frozen=True)
class Preparation:
    """What to prepare: the text, and how it is read."""

    sources: Sequence[Source]
    column: str = "text"
    language: str = "en"
    shard: tuple[int, int] = (0, 1)
    """(i, n): only every n-th document, from the i-th on, so that n machines can share the work."""
    engine: Engine | None = None
    """What works on parts of the text elsewhere; None reads and prepares all of it here."""
    deduplicate: Repeated | None = None
    """What is left out if it has occurred before (see ``corpus.repeated``)."""
    left_out: Sequence[str] = ()
    """What is to be said of inputs of which not all is read, once they are (see ``sources.find_sources``)."""

    @property
    def names(self) -> list[str]:
        return [source.name for source in self.sources]

    @cached_property
    def contents(self) -> Contents:
        """The inputs as they were when they were first asked for, hashed once.

        Raises:
            BertkitError: see ``corpus.contents``.
        """
        return joined(part.contents for part in self.parts) if self.engine else contents(self.sources, self.column)

    @cached_property
    def parts(self) -> "list[Preparation]":
        """What the engine prepares apart, with its contents hashed there.

        Raises:
            BertkitError: as ``contents``.
        """
        return _hashed_parts(self)

    @property
    def fingerprint(self) -> str:
        """Of the contents and of how they are read.

        Raises:
            BertkitError: as ``contents``.
        """
        shard = "-{}of{}".format(*self.shard) if self.shard != (0, 1) else ""
        return f"{self.text_fingerprint}{shard}-{self.language}"

    @property
    def text_fingerprint(self) -> str:
        """The fingerprint of the text alone: of the contents, without what is left out of them.

        Raises:
            BertkitError: as ``contents``.
        """
        return self.contents.fingerprint + (f"-{rule_of(self.deduplicate)}" if self.deduplicate else "")

    def store_name(self, tokenizer: Any) -> str:
        """Of the prepared corpus in the cache."""
        described = f"3 {self.fingerprint} {tokenizer_fingerprint(tokenizer)}"
        return name_of(described)

    def paragraphs(self, report: ReadReport) -> Iterator[str | None]:
        """The whole corpus, paragraph by paragraph; None ends a document. What occurs again is left out, if asked for."""
        whole = self._paragraphs(report)
        return whole if self.deduplicate is None else without_repeated(whole, self.deduplicate, report)

    def _paragraphs(self, report: ReadReport) -> Iterator[str | None]:
        mine, shards = self.shard
        document = 0
        for paragraph in chain.from_iterable(read_paragraphs(one, self.column, report) for one in self.sources):
            if document % shards == mine:
                yield paragraph
            document += paragraph is None

    def estimated_bytes(self) -> int:
        """Size of the text, taking compressed files for four times their size; 0 where unknown."""
        return sum(map(estimated_bytes, self.sources))


def estimated_bytes(source: Source) -> int:
    """Size of the text of one input, as ``Preparation.estimated_bytes`` takes it."""
    if source.path is None or not source.path.is_file():
        return 0
    return source.path.stat().st_size * (4 if is_compressed(source.path) else 1)


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """Hash of everything that decides which ids a text gets."""
    return name_of(tokenizer.backend_tokenizer.to_str())


def nothing_in(preparation: Preparation) -> BertkitError:
    """The error for a corpus without a word."""
    return BertkitError(f"no text in {', '.join(preparation.names[:3])}: the corpus is empty")


def _hashed_parts(preparation: Preparation) -> list[Preparation]:
    """The parts of a corpus in order, whole inputs each, their contents hashed by the engine.

    Raises:
        BertkitError: see ``corpus.contents``.
    """
    assert preparation.engine is not None
    groups: list[list[Source]] = []
    left = 0
    for source in preparation.sources:
        if left <= 0:
            groups.append([])
            left = PART_BYTES
        groups[-1].append(source)
        left -= estimated_bytes(source)
    _say_what_is_large(preparation.sources)
    parts = [replace(preparation, sources=group, engine=None) for group in groups]
    with console.progress("hashing", len(parts), "parts") as line:
        for done, (number, part) in enumerate(preparation.engine(_hashed, parts), 1):
            parts[number] = part
            line.update(done)
    return parts


def _say_what_is_large(sources: Sequence[Source]) -> None:
    large = {source.name: size for source in sources if (size := estimated_bytes(source)) > _LARGE_BYTES}
    if large:
        name = max(large, key=lambda name: large[name])
        told = f"{name}, about {large[name] / 1e9:,.1f} GB of text" + (", the largest" if len(large) > 1 else "")
        console.note(
            console.plain(
                f"parts are whole files, and {len(large)} {'is' if len(large) == 1 else 'are'} large ({told}): cut into smaller "
                "ones they could be shared by more machines"
            )
        )


def _hashed(part: Preparation) -> Preparation:
    part.contents  # noqa: B018 (hashed here, and known with the part from now on)
    return part
