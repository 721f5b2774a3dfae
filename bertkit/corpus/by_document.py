"""Numbers by document: in memory where they are few, else computed once and memory-mapped by all ranks of a machine.

Of a corpus of a million documents 9 bytes a document are nothing; of 10^8 they are a gigabyte in each rank. Those lie in
the cache as flat little-endian files, in a folder whose name says what they were computed from, and are mapped: what
the ranks of one machine read of them is in memory once.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bertkit.corpus.cache import cache_folder, name_of, opened
from bertkit.corpus.checksums import check_against_checksums, write_checksums
from bertkit.corpus.store import CorpusStore

MAPPED_FROM = 2**20
"""Documents."""
_ABOUT_THE_TEXT = ("sources", "first_replaced_at", "empty_files", "repeated")
_AT_ONCE = 2**20
"""Documents whose numbers are computed at a time."""

Chunks = Iterator[Mapping[str, np.ndarray]]


def chunks_of(documents: int) -> Iterator[range]:
    """The documents of a corpus, some at a time."""
    for first in range(0, documents, _AT_ONCE):
        yield range(first, min(first + _AT_ONCE, documents))


def tokens_of(store: CorpusStore, starts: np.ndarray, documents: range) -> np.ndarray:
    """How many tokens each of these documents has, int64 ``[documents]``.

    Args:
        store: the corpus.
        starts: int64 ``[documents + 1]``, where each document starts, in sentences.
        documents: which ones.
    """
    return np.diff(np.asarray(store.sentence_starts)[np.asarray(starts[documents.start : documents.stop + 1])])


def computed_once(
    store: CorpusStore, what: tuple[object, ...], dtypes: Mapping[str, str], compute: Callable[[], Chunks]
) -> dict[str, np.ndarray]:
    """Arrays that are computed from the documents in their order, by name.

    Args:
        store: the corpus that they are of.
        what: a name, and all else that they are a function of.
        dtypes: of each array, by its name.
        compute: the chunks of all arrays, in the order of the documents.

    Raises:
        BertkitError: what ``compute`` raises, or the cache cannot be written.
    """
    if store.info.documents < MAPPED_FROM:
        chunks = list(compute())
        return {name: np.concatenate([chunk[name] for chunk in chunks]).astype(dtype) for name, dtype in dtypes.items()}

    def make(folder: Path) -> None:
        with ExitStack() as open_files:
            files = {name: open_files.enter_context(_file(folder, name).open("wb")) for name in dtypes}
            for chunk in compute():
                for name, dtype in dtypes.items():
                    files[name].write(chunk[name].astype(dtype).tobytes())
        write_checksums(folder)

    def mapped(folder: Path) -> dict[str, np.ndarray]:
        check_against_checksums(folder, wholly=False)
        return {name: np.memmap(_file(folder, name), dtype=dtype, mode="r") for name, dtype in dtypes.items()}

    return opened(cache_folder() / "by_document" / _name(store, what), mapped, make)


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.bin"


def _name(store: CorpusStore, what: tuple[object, ...]) -> str:
    """A folder's name, which says what is in it and of which store."""
    described = {key: value for key, value in asdict(store.info).items() if key not in _ABOUT_THE_TEXT}
    return f"{what[0]}-{name_of(json.dumps([described, what], sort_keys=True))}"
