"""Writes a text as a store: read, cut into chunks, encoded by one process or several, streaming."""

import contextlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.cores import usable_cores
from bertkit.corpus.encoders import ChunkEncoder, Differs, EncodedChunk, suitable_encoders
from bertkit.corpus.preparation import Preparation, tokenizer_fingerprint
from bertkit.corpus.store import CorpusInfo, StoreWriter
from bertkit.corpus.workers import in_order
from bertkit.io.text import ReadReport

CHUNK_CHARACTERS = 2**20
"""Text tokenised at a time: enough for a process to be worth asking, little enough for memory to stay flat."""
_PARALLEL_FROM_CHUNKS = 8
"""Less text than this is done before other processes have started."""
_MAX_PROCESSES = 8  # reading, which one process does for all, is about eight times as fast as the rest


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
