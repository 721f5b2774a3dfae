"""Turns text into the ids of word pieces and back, with or without transformers."""

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bertkit import console
from bertkit.errors import BertkitError, is_library_failure, rules_applied
from bertkit.io.text import LONE_SURROGATE
from bertkit.models.folder import read_config

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# The replacements that `clean_up_tokenization` of transformers makes in a decoded text.
_CLEANED = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))  # fmt: skip
_SPECIAL = ("mask_token", "unk_token", "pad_token", "cls_token", "sep_token")


class UnsupportedError(Exception):
    """A model or a tokenizer needs torch and transformers; the message says why."""


class Encoding(NamedTuple):
    """A text or a pair of texts as a BERT reads it: with ``[CLS]`` and ``[SEP]``, without padding."""

    ids: list[int]
    type_ids: list[int]
    """The segment of each token: 0 for the first text, 1 for the second (or 0 where the model has one segment only)."""
    words: Sequence[int | None] = ()
    """The number of the word that each token belongs to, None for special tokens; empty where the tokenizer did not make
    the encoding."""


class TextEncoder:
    """The text encoder of a model.

    Args:
        tokenizer: a tokenizer of the library ``tokenizers``; its padding and truncation are switched off.
        special: the model's ``mask_token``, ``unk_token``, ``pad_token``, ``cls_token`` and ``sep_token``.
        cleans_up: whether decoded text is tidied (``i don ' t .`` → ``i don't.``), as transformers' clean_up_tokenization does.
        segments: how many segments the model has (``type_vocab_size``).
    """

    def __init__(self, tokenizer: "Tokenizer", special: dict[str, str], cleans_up: bool, segments: int = 2) -> None:
        self.tokenizer, self._cleans_up, self._segments = tokenizer, cleans_up, segments
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.mask_token, self.unk_token = special["mask_token"], special["unk_token"]
        names = ("mask_token", "pad_token", "cls_token", "sep_token")
        self.mask_id, self.pad_id, self.cls_id, self.sep_id = (self.vocab[special[name]] for name in names)

    @cached_property
    def vocab(self) -> dict[str, int]:
        """The ids by word piece."""
        ids: dict[str, int] = self.tokenizer.get_vocab()
        return ids

    @property
    def unk_id(self) -> int:
        """The id of the token for what is in no word piece."""
        return self.vocab[self.unk_token]

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """The ids of the special tokens, which stand for no text."""
        return frozenset({self.mask_id, self.cls_id, self.sep_id, self.pad_id})

    @cached_property
    def continuing_ids(self) -> frozenset[int]:
        """The ids of the pieces that continue a word (``##s``)."""
        return frozenset(id_ for piece, id_ in self.vocab.items() if piece.startswith("##"))

    def goes_on(self, text: Encoding, place: int) -> bool:
        """Whether the token at a place continues the word of the token before it."""
        if not text.words:
            return text.ids[place] in self.continuing_ids
        return text.words[place] is not None and text.words[place] == text.words[place - 1]

    def rest_of_word(self, text: Encoding, place: int) -> Iterator[int]:
        """The places behind a token that continue its word."""
        for after in range(place + 1, len(text.ids)):
            if not self.goes_on(text, after):
                return
            yield after

    def words(self, text: Encoding) -> list[tuple[int, int]]:
        """The places of each word, as (begin, end) with the end excluded. Special tokens are not words."""
        text_places = [place for place, id_ in enumerate(text.ids) if id_ not in self.special_ids]
        begins = [place for place in text_places if not self.goes_on(text, place)]
        return [(begin, max((begin, *self.rest_of_word(text, begin))) + 1) for begin in begins]

    def encode(self, text: str, pair: str | None = None, *, most: int | None = None) -> Encoding:
        """Encodes a text or a pair, with special tokens. Lone surrogates become U+FFFD (see ``sound``).

        Args:
            text: the text, or the first one of a pair.
            pair: the second text of a pair.
            most: the most tokens to keep; of a pair, the end of the longer text is cut first. None keeps all.

        Raises:
            BertkitError: a pattern of the tokenizer gives up on the text.
        """
        if most is not None:
            self.tokenizer.enable_truncation(most, strategy="longest_first")
        try:
            with rules_applied(text):
                encoded = self.tokenizer.encode(sound(text), None if pair is None else sound(pair))
        finally:
            self.tokenizer.no_truncation()
        return self._encoding(encoded)

    def windows(self, text: str, most: int) -> list[Encoding]:
        """Encodes a whole text in consecutive windows of at most ``most`` tokens, each with special tokens.

        Raises:
            BertkitError: as ``encode``.
        """
        self.tokenizer.enable_truncation(most)
        try:
            with rules_applied(text):
                first = self.tokenizer.encode(sound(text))
        finally:
            self.tokenizer.no_truncation()
        return [self._encoding(one) for one in [first, *first.overflowing]]

    def _encoding(self, encoded: Any) -> Encoding:
        type_ids = encoded.type_ids if self._segments > 1 else [0] * len(encoded.ids)
        for what, ids, known in (
            ("the id", encoded.ids, len(self.vocab)),
            ("the segment", type_ids, max(1, self._segments)),
        ):
            if max(ids, default=0) >= known:
                raise BertkitError(
                    f"the tokenizer gives {what} {max(ids):,}, and there are {known:,}, counted from 0: give the "
                    "tokenizer that the model was trained with"
                )
        return Encoding(encoded.ids, type_ids, encoded.word_ids)

    def masked(self, text: Encoding, places: Iterable[int]) -> Encoding:
        """A text with ``[MASK]`` at some places."""
        ids = list(text.ids)
        for place in places:
            ids[place] = self.mask_id
        return Encoding(ids, text.type_ids)

    def spelt(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        with rules_applied(text):
            ids: list[int] = self.tokenizer.encode(sound(text), add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text that ids stand for.

        Raises:
            BertkitError: a pattern of the tokenizer gives up on it.
        """
        with rules_applied():
            text: str = self.tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
        for spaced, joined in _CLEANED if self._cleans_up else ():
            text = text.replace(spaced, joined)
        return text


def light_text_encoder(folder: Path) -> TextEncoder:
    """The text encoder in a folder, read from tokenizer.json and tokenizer_config.json without importing transformers.

    Raises:
        UnsupportedError: only transformers can read the tokenizer correctly.
    """
    from tokenizers import Tokenizer

    try:
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        _check(folder, config, content)
        special = {name: str(config[name]) for name in _SPECIAL}
        segments = read_config(folder).get("type_vocab_size", 2)
        text_encoder = TextEncoder(Tokenizer.from_file(str(folder / "tokenizer.json")), special, True, segments)
        empty = [text_encoder.cls_id, text_encoder.sep_id]
        if text_encoder.encode("").ids != empty or not _known(config) <= text_encoder.vocab.keys():
            raise UnsupportedError("its tokenizer is put together from several files")
        pair = text_encoder.encode(text_encoder.mask_token, text_encoder.mask_token)
        mask, sep, second = text_encoder.mask_id, text_encoder.sep_id, int(segments > 1)
        if pair[:2] != ([text_encoder.cls_id, mask, sep, mask, sep], [0, 0, 0, second, second]):
            raise UnsupportedError("its tokenizer joins pairs in its own way")
        if max(text_encoder.vocab.values()) != len(text_encoder.vocab) - 1:
            raise UnsupportedError("the ids of its word pieces have gaps")
    except UnsupportedError:
        raise
    except (
        BaseException
    ) as error:  # a broken file may make the library raise anything; transformers then says what is wrong
        if not is_library_failure(error):
            raise
        raise UnsupportedError(f"its tokenizer ({error})") from error
    return text_encoder


def any_text_encoder(folder: Path, name: str = "") -> TextEncoder:
    """The text encoder in the folder of any BERT, read by transformers.

    Args:
        folder: the model's folder.
        name: the model's name, for messages.

    Raises:
        BertkitError: there is no tokenizer, it is not one for a BERT, or it has more word pieces than the model.
    """
    from bertkit.models.bert import own_tokenizer

    tokenizer = own_tokenizer(folder, name or str(folder))
    special = {name: str(getattr(tokenizer, name)) for name in _SPECIAL}
    segments = read_config(folder).get("type_vocab_size", 2)
    # Where a folder says nothing of it, transformers 5 leaves "i don ' t know .", and earlier ones tidied it.
    cleans_up = tokenizer.init_kwargs.get("clean_up_tokenization_spaces")
    return TextEncoder(tokenizer.backend_tokenizer, special, cleans_up is None or bool(cleans_up), segments)


def _known(config: dict[str, Any]) -> set[str]:
    """The tokens that a tokenizer_config.json adds to a vocabulary."""
    added = [token["content"] for token in (config.get("added_tokens_decoder") or {}).values()]
    further = (config.get("extra_special_tokens") or [], config.get("additional_special_tokens") or [])
    return {*added, *(str(token) for tokens in further for token in tokens)}


def _check(folder: Path, config: dict[str, Any], content: dict[str, Any]) -> None:
    """Raises an UnsupportedError unless the tokenizer is a plain BERT tokenizer whose two files agree."""
    rules = content["normalizer"]
    told = {
        "do_lower_case": rules["lowercase"],
        "strip_accents": rules["strip_accents"],
        "tokenize_chinese_chars": rules["handle_chinese_chars"],
        "clean_up_tokenization_spaces": True,
        "tokenizer_class": "BertTokenizer",
    }
    if (folder / "added_tokens.json").is_file():
        raise UnsupportedError("its tokenizer is put together from several files")
    for name, value in told.items():
        if config.get(name, value) != value:
            raise UnsupportedError(f"its tokenizer: {name} is {config[name]}")
    parts = ("normalizer", "pre_tokenizer", "post_processor", "model", "decoder")
    kinds = [content[part]["type"] for part in parts]
    # None of these kinds has patterns or replacements, which have to be checked first (``models.tokenizer_rules``).
    plain = ["BertNormalizer", "BertPreTokenizer", "TemplateProcessing", "WordPiece", "WordPiece"]
    if kinds != plain or not rules["clean_text"] or content["model"].get("max_input_chars_per_word", 100) != 100:
        raise UnsupportedError("its tokenizer is not a plain BERT tokenizer")


def sound(text: str) -> str:
    """The text as a tokenizer can read it, with as many characters; the first change of each kind is a warning.

    A lone surrogate (a byte of a command line that is not UTF-8, or half of a character), which no tokenizer accepts, becomes
    U+FFFD, as in a file. So does a NUL. BERT's cleaning drops both.
    """
    whole, halves = LONE_SURROGATE.subn("\ufffd", text)
    if halves:
        _say_replaced("lone surrogates (bytes that are not UTF-8, halves of characters)", halves, whole)
    if "\0" in whole:
        whole = whole.replace("\0", "\ufffd")
        _say_replaced("NUL characters", text.count("\0"), whole)
    return whole


def _say_replaced(what: str, count: int, text: str) -> None:
    if what not in _replaced:
        _replaced.append(what)
        shown = console.plain(text[:60])
        console.warn(f"{what} are read as U+FFFD, which a BERT drops, here and in what follows: {count:,} in '{shown}'")


_replaced: list[str] = []
