"""Text in, prepared corpus out: once for each content and tokenizer, streaming, never half."""

import contextlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.cores import usable_cores
from bertkit.corpus.cache import cache_folder, name_of, opened
from bertkit.corpus.contents import Contents, contents, joined
from bertkit.corpus.encoders import ENCODERS, ChunkEncoder, Differs, EncodedChunk, suitable_encoders
from bertkit.corpus.paragraphs import read_paragraphs
from bertkit.corpus.repeated import Repeated, rule_of, without_repeated
from bertkit.corpus.sources import Source
from bertkit.corpus.store import CorpusInfo, CorpusStore, StoreWriter, open_store, open_verified
from bertkit.corpus.workers import in_order
from bertkit.errors import BertkitError
from bertkit.io.compression import is_compressed
from bertkit.io.text import ReadReport

if TYPE_CHECKING:
    from bertkit.corpus.parts import Engine

CHUNK_CHARACTERS = 2**20
"""Text tokenised at a time: enough for a process to be worth asking, little enough for memory to stay flat."""
_PARALLEL_FROM_CHUNKS = 8
"""Less text than this is done before other processes have started."""
_MAX_PROCESSES = 8  # reading, which one process does for all, is about eight times as fast as the rest


@dataclass(frozen=True)
class Preparation:
    """What to prepare: the text, and how it is read."""

    sources: Sequence[Source]
    column: str = "text"
    language: str = "en"
    shard: tuple[int, int] = (0, 1)
    """(i, n): only every n-th document, from the i-th on, so that n machines can share the work."""
    engine: "Engine | None" = None
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
        from bertkit.corpus.parts import hashed_parts

        return hashed_parts(self)

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


def prepare(
    preparation: Preparation,
    tokenizer: Any,
    out: Path | None = None,
    encoders: Sequence[str] = ENCODERS,
    verify: bool = False,
) -> CorpusStore:
    """Tokenises the corpus into a store, in the cache or in ``out``, or opens the one that is there.

    Args:
        preparation: the text.
        tokenizer: whose ids are wanted.
        out: None takes the cache.
        encoders: as ``write_store`` takes them.
        verify: read all of a store that is there, rather than the ends of its files.

    Raises:
        BertkitError: nothing to read, or unreadable (see ``corpus.paragraphs``), or changed while it was read; the disk
            is full; ``out`` holds a damaged store.
        Interrupted: a signal came; nothing was kept.
    """
    from bertkit.corpus.parts import remove_parts, write_by_parts

    def make(folder: Path) -> None:
        write = write_store if preparation.engine is None else write_by_parts
        info = write(folder, preparation, tokenizer, encoders)
        if not info.tokens:
            raise nothing_in(preparation)

    folder = out or cache_folder() / "corpora" / preparation.store_name(tokenizer)
    store = opened(folder, open_verified if verify else open_store, make)
    remove_parts(preparation, tokenizer)
    store = store if out else named(store, preparation.names)
    say_notes(store.info)
    return store


def named(store: CorpusStore, names: Sequence[str]) -> CorpusStore:
    """A store of the cache with the names of today's inputs: it may have been made when they had others."""
    info, now = store.info, dict(zip(store.info.sources, names, strict=False))
    at = info.first_replaced_at
    if at is not None:
        file, _, line = at.rpartition(":")
        at = f"{now.get(file, file)}:{line}"
    empty_files = [now.get(file, file) for file in info.empty_files]
    return replace(store, info=replace(info, sources=list(names), first_replaced_at=at, empty_files=empty_files))


def say_notes(info: CorpusInfo) -> None:
    """Warns of what was replaced in a text or left out of it, each time that the text is used."""
    for told in info.notes:
        console.warn(console.plain(told))


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """Hash of everything that decides which ids a text gets."""
    return name_of(tokenizer.backend_tokenizer.to_str())


def write_store(
    folder: Path, preparation: Preparation, tokenizer: Any, encoders: Sequence[str], processes: int = _MAX_PROCESSES
) -> CorpusInfo:
    """Writes a corpus, which may be empty, into a folder that is there.

    Args:
        encoders: the ways to the ids, fastest first; all write the same store. One that is found to differ from
            ``tokenizers`` is given up, with a warning, and its work is done again by the next.
        processes: at most so many, and one a core.

    Raises:
        BertkitError: as ``prepare``.
    """
    with preparation.contents.unchanged():
        for encoder in suitable_encoders(tokenizer.backend_tokenizer.to_str(), encoders):
            try:
                return _write_with(encoder, folder, preparation, tokenizer, processes)
            except Differs as difference:
                console.warn(console.plain(f"{difference}: preparing without it"))
    raise AssertionError("the last encoder differs from nothing")


def _write_with(encoder: str, folder: Path, preparation: Preparation, tokenizer: Any, processes: int) -> CorpusInfo:
    encode = ChunkEncoder(encoder, tokenizer.backend_tokenizer.to_str(), preparation.language)
    report = ReadReport()
    total = preparation.estimated_bytes() / 1e6
    text_bytes = 0
    writer = StoreWriter(folder, len(tokenizer))
    with (
        console.progress("preparing", total or None, "MB") as line,
        writer,
        contextlib.closing(_encoded(encode, _chunks(preparation.paragraphs(report)), processes)) as encoded,
    ):
        for chunk in encoded:
            writer.add_chunk(chunk.ids, chunk.lengths, chunk.document_ends)
            text_bytes += chunk.text_bytes
            line.update(min(text_bytes / 1e6, total or float("inf")), f"{writer.tokens:,} tokens")
        writer.end_document()
        tokenizer.save_pretrained(folder)
        return writer.finish(
            fingerprint=preparation.fingerprint,
            tokenizer_fingerprint=tokenizer_fingerprint(tokenizer),
            sources=preparation.names,
            text_bytes=text_bytes,
            replaced_characters=report.replaced_characters,
            first_replaced_at=report.first_replaced_at,
            empty_files=report.empty_files,
            empty_rows=report.empty_rows,
            dropped_nuls=report.dropped_nuls,
            repeated=_counts_of_repeated(preparation, report),
        )


def _counts_of_repeated(preparation: Preparation, report: ReadReport) -> dict[str, int]:
    what = preparation.deduplicate
    return {} if what is None else {what: report.repeated, "characters": report.repeated_characters}


def nothing_in(preparation: Preparation) -> BertkitError:
    """The error for a corpus without a word."""
    return BertkitError(f"no text in {', '.join(preparation.names[:3])}: the corpus is empty")


def _chunks(paragraphs: Iterable[str | None]) -> Iterator[list[str | None]]:
    """Groups paragraphs and ends of documents into lists of about ``CHUNK_CHARACTERS``."""
    chunk: list[str | None] = []
    size = 0
    for paragraph in paragraphs:
        chunk.append(paragraph)
        size += len(paragraph) if paragraph is not None else 1
        if size >= CHUNK_CHARACTERS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _encoded(
    encode: ChunkEncoder, chunks: Iterator[list[str | None]], most: int
) -> Generator[EncodedChunk, None, None]:
    """The chunks as ids, in order: by this process where they are few, else by one a core, at most ``most``."""
    first = list(islice(chunks, _PARALLEL_FROM_CHUNKS))
    processes = min(usable_cores(), most) if len(first) == _PARALLEL_FROM_CHUNKS else 1
    return in_order(encode, chain(first, chunks), processes)
