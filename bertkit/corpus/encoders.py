"""Paragraphs → sentences → token ids, in flat arrays: three ways to the same ids, the fastest that fits first.

``nanotoken`` is a WordPiece in Rust that keeps what it has met (the extra ``bertkit[fast]``); ``words`` is ours, which
asks ``tokenizers`` for each different word once; ``tokenizers`` itself reads every tokenizer. The first two are
compared with the third on hard characters and on a sample of all they read.
"""

import json
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.util import find_spec
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from bertkit.corpus.sentences import split_sentences
from bertkit.errors import is_library_failure, rules_applied

ENCODERS = ("nanotoken", "words", "tokenizers")
"""Fastest first. The last one reads every tokenizer."""
_CHECKED_AT_FIRST, _CHECKED = 16, 256
"""One sentence in so many is compared with ``tokenizers``': of the first paragraphs, and of all that follow."""
_KEPT_BYTES = 40 * 2**20
"""Memory for the words whose ids are remembered: about 250,000 words, as many as 50 MB of Wikipedia hold."""
_NANOTOKEN_ENTRIES = 2**18  # of 130 bytes

_PUNCTUATION = [bytes([code]) for code in range(33, 127) if not chr(code).isalnum()]
# Words by themselves as well: dashes and quotation marks, Chinese punctuation and characters.
_ALONE = re.compile(
    "[\u2010-\u2027\u3001-\u3003\u3008-\u3011\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f\u3400-\u4dbf\u4e00-\u9fff]"
)
_HARD = (
    "café cafe\u0301 Ångström naïve ẞß İstanbul ΣίσυφΟΣ ﬁne \u212a ǅ Ấft Жу\u0301к",  # two ways to write an accent
    "a\u0338 =\u0338 !\u0301x ≠ \u037e \u1fef \u0958 가나 \u1100\u1161\u11a8 \u0301",  # decomposed into others
    "我喜欢a北京。很大，b！ 々〇カタカナ 𠀀x\uf900 一二 “q”—… «» ·°",
    "a\u200bb\u200dc\u00add\ufeffe\u2060f\u0001g\u007fh\ufffdi 👨\u200d👩\u200d👧\ufe0f x😀y",  # unseen
    "[SEP] [CLS]. [MASK]s [UNK] [PAD] ##s ## [unused0] don't U.S.A. a_b x^y~z`` $5 <b>50%</b>",
    "สวัสดีชาวโลก مرحبًا שָׁלוֹם नमस्ते",
    *(character * length for character in ("a", "é", "Ж") for length in (100, 101, 300)),  # 101 are [UNK]
    "",
    " ",
)

Encode = Callable[[Sequence[str]], tuple[np.ndarray, np.ndarray]]
"""Sentences → their ids one after the other (uint32 ``[tokens]``), and how many each has (int64 ``[sentences]``)."""


class Differs(Exception):  # noqa: N818 (no error of anybody's: there is another way)
    """An encoder does not give the ids that ``tokenizers`` gives."""


class EncodedChunk(NamedTuple):
    """Some paragraphs of the corpus as they go into the store."""

    ids: np.ndarray
    """uint32 ``[tokens]``."""
    lengths: np.ndarray
    """Tokens of each sentence, int64 ``[sentences]``, all at least 1."""
    document_ends: np.ndarray
    """Before which sentences documents end, int64 ``[documents that end here]``; the last may go on in the next chunk."""
    text_bytes: int
    """Of the paragraphs as UTF-8."""


class ChunkEncoder:
    """Splits paragraphs into sentences and sentences into ids. Can be sent to another process."""

    def __init__(self, encoder: str, tokenizer_json: str, language: str) -> None:
        self._how = encoder, tokenizer_json, language

    def __reduce__(self) -> tuple[Any, ...]:
        return ChunkEncoder, self._how

    @cached_property
    def _encode(self) -> Encode:
        encoder, tokenizer_json, _ = self._how
        if encoder == "tokenizers":
            return LibraryEncoder(tokenizer_json)
        return CheckedEncoder(encoder, tokenizer_json)

    def __call__(self, paragraphs: Sequence[str | None]) -> EncodedChunk:
        """Reads paragraphs; None ends a document.

        Raises:
            Differs: the encoder does not give the ids that ``tokenizers`` gives.
        """
        language = self._how[-1]
        sentences: list[str] = []
        ends: list[int] = []
        text_bytes = 0
        for paragraph in paragraphs:
            if paragraph is None:
                ends.append(len(sentences))
            else:
                sentences += split_sentences(paragraph, language)
                text_bytes += len(paragraph.encode("utf-8", "replace")) + 1
        ids, lengths = self._encode(sentences)
        # A sentence without a token is none.
        kept_before = np.concatenate([[0], np.cumsum(lengths > 0)])
        return EncodedChunk(ids, lengths[lengths > 0], kept_before[np.asarray(ends, dtype=np.int64)], text_bytes)


def suitable_encoders(tokenizer_json: str, wanted: Sequence[str] = ENCODERS) -> list[str]:
    """Those of the wanted encoders that are installed and made for such a tokenizer, in the order given."""
    tokenizer = json.loads(tokenizer_json)
    return [name for name in wanted if _SUITS[name](tokenizer)]


def _nanotoken_suits(tokenizer: dict[str, Any]) -> bool:
    is_word_piece = tokenizer["model"].get("type") == "WordPiece"
    return is_word_piece and not _has_added_words(tokenizer) and find_spec("nanotoken") is not None


def _has_added_words(tokenizer: dict[str, Any]) -> bool:
    """Whether something is looked for in the text before it is cut into words: too rare for a sample to tell of it."""
    return not all(token["special"] for token in tokenizer["added_tokens"])


def _words_suit(tokenizer: dict[str, Any]) -> bool:
    """Whether it is plain BERT, of which the ids of a text are the ids of its words."""
    kinds = [(tokenizer[part] or {}).get("type") for part in ("normalizer", "pre_tokenizer", "model")]
    return (
        kinds == ["BertNormalizer", "BertPreTokenizer", "WordPiece"]
        and tokenizer["normalizer"]["handle_chinese_chars"]
        and not _has_added_words(tokenizer)
        and _tells_what_begins_a_word(tokenizer["model"])
    )


def _tells_what_begins_a_word(model: dict[str, Any]) -> bool:
    """Whether no word piece at the beginning of a word of letters and digits can look like one that continues a word."""
    prefix = model["continuing_subword_prefix"]
    return not all(map(str.isalnum, prefix)) and not model["unk_token"].startswith(prefix)


_SUITS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "nanotoken": _nanotoken_suits,
    "words": _words_suit,
    "tokenizers": lambda _: True,
}


class LibraryEncoder:
    """``tokenizers`` as it is."""

    def __init__(self, tokenizer_json: str) -> None:
        from tokenizers import Tokenizer

        self.backend = Tokenizer.from_str(tokenizer_json)
        # "[SEP]" written in a text is text: as a token it would end a segment.
        self.backend.encode_special_tokens = True

    def __call__(self, sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        with rules_applied():
            ids = [one.ids for one in self.backend.encode_batch_fast(sentences, add_special_tokens=False)]
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        flat = np.fromiter(chain.from_iterable(ids), dtype=np.uint32, count=int(lengths.sum()))
        return flat, lengths


class NanotokenEncoder:
    """``nanotoken``, a WordPiece in Rust."""

    def __init__(self, tokenizer_json: str) -> None:
        import nanotoken

        tokenizer = json.loads(tokenizer_json)
        # It has no `encode_special_tokens`: text it is if it does not know of them.
        tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if not token["special"]]
        tokenizer["post_processor"] = None
        nanotoken.set_cache_entries(_NANOTOKEN_ENTRIES)
        self._backend = nanotoken.Tokenizer.from_json(json.dumps(tokenizer))

    def __call__(self, sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        found = self._backend.encode_batch(sentences, add_special_tokens=False, parallel=False)
        return found.ids, np.diff(found.offsets)


class WordsEncoder:
    """``tokenizers`` asked once for each different word; what repeats, and most does, is looked up.

    BERT's rules look at a character at a time, and its word pieces at a word. So a text can be cut at every space
    and on both sides of every punctuation mark and Chinese character, and the ids stay the same.
    """

    def __init__(self, tokenizer_json: str) -> None:
        self._library = LibraryEncoder(tokenizer_json).backend
        model = json.loads(tokenizer_json)["model"]
        self._continues = np.zeros(self._library.get_vocab_size(), dtype=bool)
        prefix = model["continuing_subword_prefix"]
        self._continues[[id_ for piece, id_ in model["vocab"].items() if piece.startswith(prefix)]] = True
        self._forget()

    def _forget(self) -> None:
        self._numbers = _Numbers()
        self._ids = np.zeros(0, dtype=np.uint32)
        self._lengths = np.zeros(1, dtype=np.int64)
        self._starts = np.zeros(1, dtype=np.int64)

    def __call__(self, sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        words = self._words(sentences)
        numbers = np.fromiter(map(self._numbers.__getitem__, words), dtype=np.int64, count=len(words))
        self._learn()
        lengths = self._lengths[numbers]
        ends = np.cumsum(lengths)
        places = np.repeat(self._starts[numbers] - ends + lengths, lengths)
        ids = self._ids[places + np.arange(len(places))]
        sentence_ends = ends[numbers == 0]
        assert len(sentence_ends) == len(sentences), "a NUL in the text"
        if self._numbers.size > _KEPT_BYTES:
            self._forget()
        return ids, np.diff(sentence_ends, prepend=0)

    @staticmethod
    def _words(sentences: Sequence[str]) -> list[bytes]:
        """The words of all sentences, each sentence followed by a NUL."""
        text = " \0 ".join([*sentences, ""])
        data = text.encode()
        if len(data) > 1.1 * len(text):  # else these characters are too few to be worth looking for
            data = _ALONE.sub(r" \g<0> ", text).encode()
        for mark in _PUNCTUATION:
            data = data.replace(mark, b" " + mark + b" ")
        return data.split()

    def _learn(self) -> None:
        """Takes up the words that were met for the first time, in the order of their numbers."""
        fresh = self._numbers.fresh
        if not fresh:
            return
        plain = np.fromiter(map(bytes.isalnum, fresh), dtype=bool, count=len(fresh))  # in ASCII
        lengths = np.zeros(len(fresh), dtype=np.int64)
        simple, simple_lengths = self._ids_of_plain([word for word in fresh if word.isalnum()])
        others, other_lengths = self._ids_of_others([word for word in fresh if not word.isalnum()])
        lengths[plain], lengths[~plain] = simple_lengths, other_lengths
        starts = np.zeros(len(fresh), dtype=np.int64)
        starts[plain] = np.cumsum(simple_lengths) - simple_lengths
        starts[~plain] = np.cumsum(other_lengths) - other_lengths + len(simple)
        self._lengths = np.concatenate([self._lengths, lengths])
        self._starts = np.concatenate([self._starts, starts + len(self._ids)])
        self._ids = np.concatenate([self._ids, simple, others])
        fresh.clear()

    def _ids_of_plain(self, words: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Of letters and digits in ASCII: as one text, in which each word piece that continues nothing begins a word."""
        encoding = self._library.encode_batch_fast([b" ".join(words).decode()], add_special_tokens=False)[0]
        ids = np.array(encoding.ids, dtype=np.uint32)
        begins = np.flatnonzero(~self._continues[ids])
        assert len(begins) == len(words)
        return ids, np.diff(begins, append=len(ids))

    def _ids_of_others(self, words: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Of any characters, which may come to several words for BERT, or to none."""
        encoding = self._library.encode(
            [word.decode() for word in words], is_pretokenized=True, add_special_tokens=False
        )
        lengths = np.bincount(np.array(encoding.word_ids, dtype=np.int64), minlength=len(words))
        return np.array(encoding.ids, dtype=np.uint32), lengths


class _Numbers(dict[bytes, int]):
    """Word → its number, in the order in which they are first asked for."""

    def __init__(self) -> None:
        super().__init__({b"\0": 0})  # ends a sentence, and has no ids
        self.fresh: list[bytes] = []
        self.size = 0
        """Bytes of memory, about."""

    def __missing__(self, word: bytes) -> int:
        self.fresh.append(word)
        self.size += 150 + len(word)
        self[word] = number = len(self)
        return number


class CheckedEncoder:
    """A fast encoder that is compared with ``tokenizers``, on hard characters and on a sample of what it is given.

    Raises:
        Differs: other ids, or the encoder cannot read the tokenizer.
    """

    def __init__(self, name: str, tokenizer_json: str) -> None:
        self._name = name
        self._fast = _build(name, tokenizer_json)
        self._library = LibraryEncoder(tokenizer_json)
        self._every = _CHECKED_AT_FIRST
        self._compare(_HARD, *self._fast(_HARD))

    def __call__(self, sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        ids, lengths = self._fast(sentences)
        chosen = list(range(0, len(sentences), self._every))
        ends = np.cumsum(lengths)
        parts = [ids[ends[one] - lengths[one] : ends[one]] for one in chosen]
        if parts:
            self._compare([sentences[one] for one in chosen], np.concatenate(parts), lengths[chosen])
        self._every = _CHECKED
        return ids, lengths

    def _compare(self, sentences: Sequence[str], ids: np.ndarray, lengths: np.ndarray) -> None:
        true_ids, true_lengths = self._library(sentences)
        if np.array_equal(lengths, true_lengths) and np.array_equal(ids, true_ids):
            return
        raise Differs(f"{self._name} gave other ids than tokenizers")


def _build(name: str, tokenizer_json: str) -> Encode:
    if name == "words":
        return WordsEncoder(tokenizer_json)
    try:
        return NanotokenEncoder(tokenizer_json)
    except BaseException as error:  # rules that it does not know, or a version of it that we do not know
        if not is_library_failure(error):
            raise
        raise Differs(f"nanotoken cannot read this tokenizer ({str(error).splitlines()[0]})") from error
