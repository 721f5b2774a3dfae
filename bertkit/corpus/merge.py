"""Several prepared parts as one corpus."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bertkit import console
from bertkit.corpus.cache import cache_folder, opened
from bertkit.corpus.division import check_parts, read_once
from bertkit.corpus.store import IDS_FILE, CorpusInfo, CorpusStore, open_store, write_info
from bertkit.errors import BertkitError

_COPY_BYTES = 2**24
_COUNTS = ("documents", "sentences", "tokens", "text_bytes")
_COUNTS_OF_READING = ("replaced_characters", "empty_rows", "dropped_nuls")
"""Each part of a division has those of the whole text, all of which it has read."""


def merged(parts: Sequence[Path]) -> CorpusStore:
    """The parts of ``bertkit prepare --shard`` one after the other, each once, as a store in the cache.

    A warning says which parts of a text are missing.

    Raises:
        BertkitError: parts that were prepared with different tokenizers, or that do not go together.
    """
    once: dict[Path, Path] = {}
    for part in parts:
        once.setdefault(part.resolve(), part)
    if again := len(parts) - len(once):
        console.note(f"named more than once and read once: {again:,} of the inputs")
    stores = [open_store(part) for part in once.values()]
    for store in stores[1:]:
        if store.info.tokenizer_fingerprint != stores[0].info.tokenizer_fingerprint:
            raise BertkitError(f"{store.folder} was prepared with another tokenizer than {stores[0].folder}")
    check_parts(stores)
    if len(stores) == 1:
        return stores[0]
    text = hashlib.blake2b(digest_size=16)
    for store in stores:
        text.update(store.info.fingerprint.encode())
    folder = cache_folder() / "corpora" / f"merged-{text.hexdigest()}-{stores[0].info.tokenizer_fingerprint[:8]}"
    names = source_names(store.info for store in stores)

    def make(fresh: Path) -> None:
        join(fresh, stores, text.hexdigest(), names)

    return opened(folder, open_store, make)


def source_names(infos: Iterable[CorpusInfo]) -> list[str]:
    """The names of what prepared texts were read from, each once: all parts of a division have read the same."""
    return list(dict.fromkeys(name for info in infos for name in info.sources))


def join(folder: Path, stores: Sequence[CorpusStore], fingerprint: str, sources: Sequence[str]) -> CorpusInfo:
    """Writes one corpus out of several, which lie one after the other in it, into a folder that is there.

    Args:
        fingerprint: of the contents.
        sources: names of the inputs.
    """
    with (folder / IDS_FILE).open("wb") as ids:
        for store in stores:
            with (store.folder / IDS_FILE).open("rb") as part:
                shutil.copyfileobj(part, ids, _COPY_BYTES)
    for name, attribute in (("sentences.bin", "sentence_starts"), ("documents.bin", "document_starts")):
        shift = 0
        with (folder / name).open("wb") as file:
            file.write(np.zeros(1, dtype="<i8").tobytes())
            for store in stores:
                starts = getattr(store, attribute)
                file.write((np.asarray(starts[1:]) + shift).astype("<i8").tobytes())
                shift += int(starts[-1])
    counts = sum(np.asarray(store.token_counts) for store in stores)
    (folder / "counts.bin").write_bytes(np.asarray(counts, dtype="<i8").tobytes())
    infos, read = [store.info for store in stores], [store.info for store in read_once(stores)]
    info = replace(
        infos[0],
        fingerprint=fingerprint,
        sources=list(sources),
        first_replaced_at=next((info.first_replaced_at for info in infos if info.replaced_characters), None),
        empty_files=[name for info in read for name in info.empty_files],
        repeated=dict(sum((Counter(info.repeated) for info in infos), Counter())),
        **{name: sum(getattr(info, name) for info in infos) for name in _COUNTS},
        **{name: sum(getattr(info, name) for info in read) for name in _COUNTS_OF_READING},
    )
    write_info(folder, info)
    return info
