"""The prepared corpus: flat token ids on disk with the offsets of sentences and documents, memory-mapped.

A folder of four flat little-endian files, which stay out of memory until they are read, beside the tokenizer's:

    ids.bin         the tokens of all sentences, one after the other, without special tokens (uint16 or uint32)
    sentences.bin   int64 [sentences + 1], where each sentence starts, in tokens
    documents.bin   int64 [documents + 1], where each document starts, in sentences
    counts.bin      int64 [vocabulary], how often each token occurs
    corpus.json     what it was made from, how large it is, and the checksums of all files: written last
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np

from bertkit.console import counted
from bertkit.corpus.checksums import Checksum, checksums, damaged, verify
from bertkit.errors import BertkitError
from bertkit.io.structured import parsed_json
from bertkit.io.text import replaced

INFO_FILE, IDS_FILE = "corpus.json", "ids.bin"
_FORMAT = 1
_CHECKED_AT_ONCE = 2**22  # numbers


@dataclass(frozen=True)
class CorpusInfo:
    """What a prepared corpus was made from and how large it is."""

    fingerprint: str
    """Of the contents of the inputs, and of how they are read: language, shard, what is left out as repeated."""
    tokenizer_fingerprint: str
    sources: list[str]
    documents: int
    sentences: int
    tokens: int
    vocab_size: int
    text_bytes: int
    """UTF-8 bytes of the paragraphs that were read."""
    replaced_characters: int = 0
    first_replaced_at: str | None = None
    """FILE:LINE."""
    empty_files: list[str] = field(default_factory=list)
    empty_rows: int = 0
    """Of tables and datasets."""
    dropped_nuls: int = 0
    """NUL characters in their cells."""
    repeated: dict[str, int] = field(default_factory=dict)
    """How many ``lines``, ``documents`` or ``near-duplicates`` were left out because they had occurred before, and their
    ``characters``; empty if none were looked for, and then not written."""
    format: int = _FORMAT
    files: dict[str, Checksum] = field(default_factory=dict)
    """Checksums of all other files in the folder; none in a store of before they were kept."""

    @property
    def notes(self) -> list[str]:
        """What there is to say of the text, in lines; none where all is well."""
        told = []
        if self.replaced_characters:
            told.append(replaced(self.replaced_characters, self.first_replaced_at))
        if self.empty_files:
            told.append(f"{counted(len(self.empty_files), 'empty file', 'empty files')}, first {self.empty_files[0]}")
        if self.empty_rows:
            told.append(f"{counted(self.empty_rows, 'row without a text is', 'rows without a text are')} left out")
        if self.dropped_nuls:
            nuls = counted(self.dropped_nuls, "NUL character in cells is", "NUL characters in cells are")
            told.append(f"{nuls} dropped, as BERT's cleaning does")
        return told


@dataclass(frozen=True)
class CorpusStore:
    """A prepared corpus, open for reading.

    Attributes:
        ids: tokens, uint16 or uint32 ``[tokens]``.
        sentence_starts: int64 ``[sentences + 1]``, in tokens; sentence ``s`` is
            ``ids[sentence_starts[s]:sentence_starts[s + 1]]``.
        document_starts: int64 ``[documents + 1]``, in sentences.
        token_counts: int64 ``[vocabulary]``.
    """

    folder: Path
    info: CorpusInfo
    ids: np.ndarray
    sentence_starts: np.ndarray
    document_starts: np.ndarray
    token_counts: np.ndarray

    def __reduce__(self) -> "tuple[Callable[[Path], CorpusStore], tuple[Path]]":
        # A data worker that is started afresh (macOS, Windows) opens the files itself; a pickled
        # memory map would carry the whole corpus along.
        return open_store, (self.folder,)


def is_store(folder: Path) -> bool:
    """Whether a folder is a whole prepared corpus."""
    return os.path.isfile(folder / INFO_FILE)  # pathlib raises where the folder is closed


def read_info(folder: Path) -> CorpusInfo:
    """Reads only the description of a prepared corpus.

    Raises:
        BertkitError: no prepared corpus, or one of another format.
    """
    path = folder / INFO_FILE
    try:
        values = parsed_json(path.read_text(encoding="utf-8"))
        checksum = values.pop("checksum", None)
        info = CorpusInfo(**{name: value for name, value in values.items() if name != "notes"})  # once kept as text
        _check_types(info)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise BertkitError(f"{path} does not describe a prepared corpus: prepare the corpus anew") from error
    if info.format != _FORMAT:
        raise BertkitError(f"{path} has format {info.format}, this version reads {_FORMAT}: prepare the corpus anew")
    if checksum not in (None, _checksum(values)):
        raise damaged(path, "its content is not what was written")
    return info


def _check_types(info: CorpusInfo) -> None:
    """Raises a TypeError, AttributeError or KeyError where a value is not of the type that ``CorpusInfo`` says."""
    sums, lists = info.files.values(), (info.sources, info.empty_files)
    numbers = [value for name, value in vars(info).items() if CorpusInfo.__annotations__[name] is int]
    numbers += [*info.repeated.values(), *(one["bytes"] for one in sums)]
    texts = [info.fingerprint, info.tokenizer_fingerprint, info.first_replaced_at or ""]
    texts += [*info.sources, *info.empty_files, *(text for one in sums for text in (one["ends"], one["whole"]))]
    are_numbers = all(type(value) is int and value >= 0 for value in numbers)
    if not (are_numbers and all(type(value) is list for value in lists) and all(type(value) is str for value in texts)):
        raise TypeError("a value is of another type")


def write_info(folder: Path, info: CorpusInfo) -> None:
    """Writes the description, which makes a folder a whole prepared corpus, with the checksums of what is there."""
    described = {name: value for name, value in asdict(info).items() if name != "repeated" or value}
    values = {**described, "files": checksums(folder, but=INFO_FILE)}
    text = json.dumps({**values, "checksum": _checksum(values)}, indent=2, ensure_ascii=False) + "\n"
    (folder / INFO_FILE).write_text(text, encoding="utf-8", errors="backslashreplace")


def _checksum(values: dict[str, object]) -> str:
    return hashlib.blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=16).hexdigest()


def open_store(folder: Path) -> CorpusStore:
    """Opens a prepared corpus; only the offsets that are used are ever read from disk.

    Raises:
        BertkitError: the folder is no prepared corpus, or the sizes or the ends of its files are not what was written.
    """
    info = read_info(folder)
    verify(folder, info.files, wholly=False)
    ids_dtype = _ids_dtype(info.vocab_size)
    return CorpusStore(
        folder=folder,
        info=info,
        ids=_map(folder / IDS_FILE, ids_dtype, info.tokens),
        sentence_starts=_map(folder / "sentences.bin", "<i8", info.sentences + 1),
        document_starts=_map(folder / "documents.bin", "<i8", info.documents + 1),
        token_counts=_map(folder / "counts.bin", "<i8", info.vocab_size),
    )


def open_verified(folder: Path) -> CorpusStore:
    """Opens a prepared corpus after all of it was read and held against its checksums, and against its own rules.

    Raises:
        BertkitError: anything is not what was written.
    """
    store = open_store(folder)
    verify(folder, store.info.files, wholly=True)
    check_starts(store)
    for begin in range(0, store.info.tokens, _CHECKED_AT_ONCE):
        check_ids(store, store.ids[begin : begin + _CHECKED_AT_ONCE])
    return store


def check_starts(store: CorpusStore) -> None:
    """Makes sure that the starts of sentences and documents rise from 0 to the end, in bounded memory.

    Raises:
        BertkitError: they do not.
    """
    for name, starts, end in (
        ("documents.bin", store.document_starts, store.info.sentences),
        ("sentences.bin", store.sentence_starts, store.info.tokens),
    ):
        rises = starts[0] == 0 and starts[-1] == end
        for begin in range(0, len(starts) - 1, _CHECKED_AT_ONCE):
            rises = rises and bool((np.diff(starts[begin : begin + _CHECKED_AT_ONCE + 1]) > 0).all())
        if not rises:
            raise damaged(store.folder / name, "its starts do not rise to the end")


def check_ids(store: CorpusStore, ids: np.ndarray) -> None:
    """Makes sure that ids of a store are of its vocabulary.

    Raises:
        BertkitError: they are not.
    """
    if len(ids) and ids.max() >= store.info.vocab_size:
        raise damaged(store.folder / IDS_FILE, f"it holds ids beyond the {store.info.vocab_size:,} of the vocabulary")


def _ids_dtype(vocab_size: int) -> str:
    return "<u2" if vocab_size <= 2**16 else "<u4"


def _map(path: Path, dtype: str, length: int) -> np.ndarray:
    expected = length * np.dtype(dtype).itemsize
    if not path.is_file() or path.stat().st_size != expected:
        raise damaged(path, f"not the {expected:,} bytes it should have")
    return np.memmap(path, dtype=dtype, mode="r") if length else np.zeros(0, dtype)


class StoreWriter:
    """Writes a store chunk by chunk; nothing but the token counts is held in memory."""

    def __init__(self, folder: Path, vocab_size: int) -> None:
        self._folder = folder
        self._dtype = _ids_dtype(vocab_size)
        self._files = {name: (folder / f"{name}.bin").open("wb") for name in ("ids", "sentences", "documents")}
        self.counts = np.zeros(vocab_size, dtype=np.int64)
        self.tokens = self.sentences = self.documents = 0
        self._sentences_before_document = 0
        self._write("sentences", [0])
        self._write("documents", [0])

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for file in self._files.values():
            file.close()

    def add_sentences(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """Appends sentences: their tokens one after the other, and how many each has (all at least 1)."""
        self._files["ids"].write(ids.astype(self._dtype).tobytes())
        self.counts += np.bincount(ids, minlength=len(self.counts))
        self._write("sentences", self.tokens + np.cumsum(lengths, dtype=np.int64))
        self.tokens += len(ids)
        self.sentences += len(lengths)

    def add_chunk(self, ids: np.ndarray, lengths: np.ndarray, document_ends: np.ndarray) -> None:
        """Appends sentences, and ends documents before some of them; one without a sentence is no document.

        Args:
            ids, lengths: as ``add_sentences`` takes them.
            document_ends: before which of these sentences documents end, int64, ascending.
        """
        ends = np.unique(self.sentences + document_ends)
        ends = ends[ends > self._sentences_before_document]
        if len(ids):
            self.add_sentences(ids, lengths)
        if len(ends):
            self._write("documents", ends)
            self.documents += len(ends)
            self._sentences_before_document = int(ends[-1])

    def end_document(self) -> None:
        """Ends the document; one without a sentence is no document."""
        if self.sentences > self._sentences_before_document:
            self._write("documents", [self.sentences])
            self.documents += 1
            self._sentences_before_document = self.sentences

    def finish(self, **described: object) -> CorpusInfo:
        """Writes the counts and, last, the description; whatever else the folder is to hold must be there."""
        for file in self._files.values():
            file.flush()
        (self._folder / "counts.bin").write_bytes(self.counts.astype("<i8").tobytes())
        info = CorpusInfo(
            documents=self.documents,
            sentences=self.sentences,
            tokens=self.tokens,
            vocab_size=len(self.counts),
            **described,  # type: ignore[arg-type]
        )
        write_info(self._folder, info)
        return info

    def _write(self, name: str, offsets: Sequence[int] | np.ndarray) -> None:
        self._files[name].write(np.asarray(offsets, dtype="<i8").tobytes())
