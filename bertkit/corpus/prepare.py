"""Text in, prepared corpus out: once for each content and tokenizer, streaming, never half."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.corpus.cache import cache_folder, opened
from bertkit.corpus.encoders import ENCODERS
from bertkit.corpus.parts import remove_parts, write_by_parts
from bertkit.corpus.preparation import Preparation, nothing_in
from bertkit.corpus.store import CorpusInfo, CorpusStore, open_store, open_verified
from bertkit.corpus.writing import write_store


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
