"""Several prepared pieces as one corpus."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bertkit.corpus.prepare import cache_folder
from bertkit.corpus.store import CorpusStore, is_store, open_store, write_info
from bertkit.errors import BertkitError
from bertkit.io.atomic import new_folder

_COPY_BYTES = 2**24


def merged(pieces: Sequence[Path]) -> CorpusStore:
    """The pieces of ``bertkit prepare --shard`` one after the other, as a store in the cache.

    Raises:
        BertkitError: pieces that were prepared with different tokenizers.
    """
    stores = [open_store(piece) for piece in pieces]
    if len(stores) == 1:
        return stores[0]
    for store in stores[1:]:
        if store.info.tokenizer_fingerprint != stores[0].info.tokenizer_fingerprint:
            raise BertkitError(f"{store.folder} was prepared with another tokenizer than {stores[0].folder}")
    text = hashlib.blake2b(digest_size=16)
    for store in stores:
        text.update(store.info.fingerprint.encode())
    folder = cache_folder() / "corpora" / f"merged-{text.hexdigest()}-{stores[0].info.tokenizer_fingerprint[:8]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    from filelock import FileLock

    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not is_store(folder):
            with new_folder(folder) as fresh:
                _write(fresh, stores, text.hexdigest())
    return open_store(folder)


def _write(folder: Path, stores: Sequence[CorpusStore], fingerprint: str) -> None:
    with (folder / "ids.bin").open("wb") as ids:
        for store in stores:
            with (store.folder / "ids.bin").open("rb") as piece:
                while block := piece.read(_COPY_BYTES):
                    ids.write(block)
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
    infos = [store.info for store in stores]
    write_info(
        folder,
        replace(
            infos[0],
            fingerprint=fingerprint,
            sources=[name for info in infos for name in info.sources],
            notes=[note for info in infos for note in info.notes],
            **{
                name: sum(getattr(info, name) for info in infos)
                for name in ("documents", "sentences", "tokens", "text_bytes", "replaced_characters")
            },
        ),
    )
