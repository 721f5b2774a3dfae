"""Text to word pieces and back, with or without transformers."""

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bertkit.errors import is_library_failure

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# What transformers' `clean_up_tokenization` does to a decoded text.
_CLEANED = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))  # fmt: skip
_SPECIAL = ("mask_token", "unk_token", "pad_token", "cls_token", "sep_token")


class UnsupportedError(Exception):
    """This model, or its tokenizer, needs torch and transformers; the message says why."""


class Encoding(NamedTuple):
    """A text, or a pair of texts, as a BERT reads it: with ``[CLS]`` and ``[SEP]``, without padding."""

    ids: list[int]
    type_ids: list[int]
    """The segment of each token: 0 for the first text, 1 for the second."""


class Pieces:
    """The word pieces of a model.

    Args:
        tokenizer: of the library ``tokenizers``; padding and truncation are switched off.
        special: ``mask_token``, ``unk_token``, ``pad_token``, ``cls_token`` and ``sep_token``.
        cleans_up: whether decoded text is tidied as transformers does it (``i do n't .`` → ``i don't.``).
    """

    def __init__(self, tokenizer: "Tokenizer", special: dict[str, str], cleans_up: bool) -> None:
        self.tokenizer, self._cleans_up = tokenizer, cleans_up
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.mask_token, self.unk_token = special["mask_token"], special["unk_token"]
        names = ("mask_token", "pad_token", "cls_token", "sep_token")
        self.mask_id, self.pad_id, self.cls_id, self.sep_id = (self.vocab[special[name]] for name in names)

    @cached_property
    def vocab(self) -> dict[str, int]:
        """Word piece → id."""
        ids: dict[str, int] = self.tokenizer.get_vocab()
        return ids

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Of the special tokens that stand for no text."""
        return frozenset({self.mask_id, self.cls_id, self.sep_id, self.pad_id})

    @cached_property
    def continuing_ids(self) -> frozenset[int]:
        """Of the pieces that go on with a word (``##s``)."""
        return frozenset(id_ for piece, id_ in self.vocab.items() if piece.startswith("##"))

    def rest_of_word(self, ids: Sequence[int], place: int) -> Iterator[int]:
        """The places of the pieces that go on with the word of a piece."""
        for after in range(place + 1, len(ids)):
            if ids[after] not in self.continuing_ids:
                return
            yield after

    def encode(self, text: str, pair: str | None = None, *, most: int | None = None) -> Encoding:
        """Ids with special tokens. Bytes of a command line that are no UTF-8 become question marks.

        Args:
            text, pair: one text, or two.
            most: tokens that are kept of more; of a pair, the longer one's end goes first.
        """
        if most is not None:
            self.tokenizer.enable_truncation(most, strategy="longest_first")
        try:
            found = self.tokenizer.encode(sound(text), None if pair is None else sound(pair))
        finally:
            self.tokenizer.no_truncation()
        return Encoding(found.ids, found.type_ids)

    def tokenize(self, text: str) -> list[str]:
        """Word pieces without special tokens."""
        pieces: list[str] = self.tokenizer.encode(sound(text), add_special_tokens=False).tokens
        return pieces

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of some ids."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
        for spaced, joined in _CLEANED if self._cleans_up else ():
            text = text.replace(spaced, joined)
        return text


def light_pieces(folder: Path) -> Pieces:
    """Those of a folder's tokenizer.json and tokenizer_config.json, without importing transformers.

    Raises:
        UnsupportedError: a tokenizer that only transformers reads rightly.
    """
    from tokenizers import Tokenizer

    try:
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        _check(config, content)
        special = {name: str(config[name]) for name in _SPECIAL}
        pieces = Pieces(Tokenizer.from_file(str(folder / "tokenizer.json")), special, cleans_up=True)
        pieces.encode(pieces.mask_token)
    except UnsupportedError:
        raise
    except BaseException as error:  # whatever a broken file makes the library raise: transformers' way says it well
        if not is_library_failure(error):
            raise
        raise UnsupportedError(f"its tokenizer ({error})") from error
    return pieces


def any_pieces(folder: Path) -> Pieces:
    """Those of any BERT's folder, by transformers.

    Raises:
        BertkitError: no tokenizer there, or none of a BERT.
    """
    from bertkit.models.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(str(folder))
    special = {name: str(getattr(tokenizer, name)) for name in _SPECIAL}
    return Pieces(tokenizer.backend_tokenizer, special, bool(tokenizer.clean_up_tokenization_spaces))


def _check(config: dict[str, Any], content: dict[str, Any]) -> None:
    """Only a plain BERT tokenizer, whose two files agree."""
    rules = content["normalizer"]
    told = {
        "do_lower_case": rules["lowercase"],
        "strip_accents": rules["strip_accents"],
        "tokenize_chinese_chars": rules["handle_chinese_chars"],
        "clean_up_tokenization_spaces": True,
        "tokenizer_class": "BertTokenizer",
    }
    for name, value in told.items():
        if config.get(name, value) != value:
            raise UnsupportedError(f"its tokenizer: {name} is {config[name]}")
    if rules["type"] != "BertNormalizer" or content["post_processor"]["type"] != "TemplateProcessing":
        raise UnsupportedError("its tokenizer is not a plain BERT tokenizer")


def sound(text: str) -> str:
    """Without lone surrogates, which no tokenizer takes."""
    return text.encode("utf-8", "replace").decode()
