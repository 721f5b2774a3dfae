"""Text in, prepared corpus out: once for each content and tokenizer, streaming, never half."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from bertkit import console
from bertkit.corpus.reader import Source, fingerprint, read_paragraphs
from bertkit.corpus.store import CorpusStore, StoreWriter, is_store, open_store
from bertkit.errors import BertkitError, is_library_failure
from bertkit.io.atomic import new_folder
from bertkit.io.text import ReadReport

CHUNK_CHARACTERS = 2**20
"""Text tokenised at a time: enough for every core to have work, little enough for memory to stay flat."""
_OTHER_SPACES = re.compile(r"[^\S\n ]")
_COMPRESSED = (".gz", ".xz", ".zst")


@dataclass(frozen=True)
class Preparation:
    """What to prepare: the text, and how it is read."""

    sources: Sequence[Source]
    column: str = "text"
    language: str = "en"
    shard: tuple[int, int] = (0, 1)
    """(i, n): only every n-th document, from the i-th on, so that n machines can share the work."""

    @property
    def names(self) -> list[str]:
        return [source.name for source in self.sources]

    def paragraphs(self, report: ReadReport) -> Iterator[str | None]:
        """The whole corpus, paragraph by paragraph; None ends a document."""
        mine, shards = self.shard
        document = 0
        for paragraph in chain.from_iterable(read_paragraphs(one, self.column, report) for one in self.sources):
            if document % shards == mine:
                yield paragraph
            document += paragraph is None

    def estimated_bytes(self) -> int:
        """Size of the text, taking compressed files for four times their size; 0 where unknown."""
        return sum(
            source.path.stat().st_size * (4 if source.path.suffix in _COMPRESSED else 1)
            for source in self.sources
            if source.path is not None and source.path.is_file()
        )


def cache_folder() -> Path:
    """Where prepared corpora are kept: ``BERTKIT_CACHE``, else the platform's cache folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("BERTKIT_CACHE") or user_cache_path("bertkit"))


def prepare(preparation: Preparation, tokenizer: Any, out: Path | None = None) -> CorpusStore:
    """Tokenises the corpus into a store, in the cache or in ``out``, or opens the one that is there.

    Two processes that ask for the same store wait for one another; a killed one leaves only a temporary
    folder behind, which is never taken for a store.

    Raises:
        BertkitError: nothing to read, or unreadable (see ``corpus.reader``), or the disk is full.
    """
    from filelock import FileLock

    text = fingerprint(preparation.sources, preparation.column)
    if preparation.shard != (0, 1):
        text += "-{}of{}".format(*preparation.shard)
    text += f"-{preparation.language}"
    pieces = tokenizer_fingerprint(tokenizer)
    name = hashlib.blake2b(f"1 {text} {pieces}".encode(), digest_size=16).hexdigest()
    folder = out or cache_folder() / "corpora" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not is_store(folder):
            with new_folder(folder) as fresh:
                _write_store(fresh, preparation, tokenizer, fingerprint=text, tokenizer_fingerprint=pieces)
    return open_store(folder)


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """Hash of everything that decides which ids a text gets."""
    return hashlib.blake2b(tokenizer.backend_tokenizer.to_str().encode(), digest_size=16).hexdigest()


def _write_store(folder: Path, preparation: Preparation, tokenizer: Any, **described: str) -> None:
    encode = SentenceEncoder(tokenizer, preparation.language)
    report = ReadReport()
    total = preparation.estimated_bytes() / 1e6
    text_bytes = 0
    with (
        console.progress("preparing", total or None, "MB") as line,
        StoreWriter(folder, len(tokenizer)) as writer,
    ):
        for paragraphs in _chunks(preparation.paragraphs(report)):
            text_bytes += encode.into(writer, paragraphs)
            line.update(min(text_bytes / 1e6, total or float("inf")), f"{writer.tokens:,} tokens")
        writer.end_document()
        if not writer.tokens:
            raise nothing_in(preparation)
        notes = _reading_notes(report)
        writer.finish(
            sources=preparation.names,
            text_bytes=text_bytes,
            replaced_characters=report.replaced_characters,
            notes=notes,
            **described,
        )
    tokenizer.save_pretrained(folder)
    for told in notes:
        console.warn(console.plain(told))


def _reading_notes(report: ReadReport) -> list[str]:
    notes = []
    if report.replaced_characters:
        notes.append(
            f"{report.replaced_characters:,} bytes were not UTF-8 and were replaced, first at {report.first_replaced_at}"
        )
    if report.empty_files:
        notes.append(f"{len(report.empty_files)} empty files, first {report.empty_files[0]}")
    return notes


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


class SentenceEncoder:
    """Splits paragraphs into sentences and sentences into ids, on all cores (the tokenizer's own threads)."""

    def __init__(self, tokenizer: Any, language: str) -> None:
        import copy

        self._language = language
        self._backend = copy.deepcopy(tokenizer.backend_tokenizer)
        # "[SEP]" written in a text is text: as a token it would end a segment.
        self._backend.encode_special_tokens = True

    def into(self, writer: StoreWriter, paragraphs: Sequence[str | None]) -> int:
        """Appends paragraphs (None ends a document) to a store and returns their size in bytes."""
        sentences: list[str] = []
        ends: list[int] = []  # documents end before these sentences
        text_bytes = 0
        for paragraph in paragraphs:
            if paragraph is None:
                ends.append(len(sentences))
            else:
                sentences += self._sentences(paragraph)
                text_bytes += len(paragraph.encode("utf-8", "replace")) + 1
        encodings = self._backend.encode_batch_fast(sentences, add_special_tokens=False)
        ids = [encoding.ids for encoding in encodings]
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        flat = np.fromiter(chain.from_iterable(ids), dtype=np.uint32, count=int(lengths.sum()))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        begin = 0
        for end in ends:
            self._add(writer, flat[starts[begin] : starts[end]], lengths[begin:end])
            writer.end_document()
            begin = end
        self._add(writer, flat[starts[begin] :], lengths[begin:])
        return text_bytes

    def _sentences(self, paragraph: str) -> list[str]:
        from sentencex import segment

        # The splitter panics on some spaces of other scripts (a no-break space behind a full stop); to BERT's
        # cleaning they are spaces like any other.
        paragraph = _OTHER_SPACES.sub(" ", paragraph)
        try:
            return list(segment(self._language, paragraph))
        except BaseException as error:
            if not is_library_failure(error):
                raise
            return [paragraph]

    @staticmethod
    def _add(writer: StoreWriter, ids: np.ndarray, lengths: np.ndarray) -> None:
        if len(ids):
            writer.add_sentences(ids, lengths[lengths > 0])
