"""Texts as ids: long ones cut, or read in windows that overlap."""

import copy
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertkit import console
from bertkit.errors import BertkitError, rules_applied
from bertkit.finetuning.features import Features
from bertkit.runtime.text import sound
from bertkit.settings.schema import FinetuneDataSettings

_ROWS_AT_ONCE = 4_096
"""Rows that are encoded in one call: some tenths of a second, after which a signal is heard."""


class RowEncoder:
    """Texts, or pairs of texts, as features of at most so many tokens.

    Args:
        tokenizer: of the model, of the library ``tokenizers``; it is copied.
        pad_id: id of the token that fills up a batch.
        has_types: whether the model tells a first text from a second.
        settings: how long a feature may be, and what happens to what is longer.
        unk_id: id of the token for what is in no word piece; None if there is none.

    Attributes:
        special_ids: ids of the tokens that stand around any text.
        unk_id, unk_token: the token for what is in no word piece; None if there is none.
        tokenizer: the copy.
    """

    def __init__(
        self, tokenizer: Any, pad_id: int, has_types: bool, settings: FinetuneDataSettings, unk_id: int | None
    ) -> None:
        self.pad_id, self.max_length, self.overflow = pad_id, settings.max_seq_length, settings.overflow
        self._has_types, self._stride = has_types, settings.stride
        self.unk_id, self.unk_token = unk_id, None if unk_id is None else tokenizer.id_to_token(unk_id)
        self.tokenizer = copy.deepcopy(tokenizer)
        self.tokenizer.no_padding()
        self.special_ids = frozenset(self.tokenizer.encode("").ids)

    @staticmethod
    def of(tokenizer: Any, settings: FinetuneDataSettings) -> "RowEncoder":
        """With a fast tokenizer of transformers."""
        has_types = "token_type_ids" in tokenizer.model_input_names
        return RowEncoder(
            tokenizer.backend_tokenizer, tokenizer.pad_token_id, has_types, settings, tokenizer.unk_token_id
        )

    def __call__(
        self,
        texts: Sequence[Sequence[Any]],
        overflow: str = "truncate",
        shortened: str = "longest_first",
        are_words: bool = False,
        with_characters: bool = False,
    ) -> Features:
        """The features of rows of one or two texts.

        Windows overlap by ``data.stride`` tokens. Of a pair, what is not windowed stands in each window; where both
        texts are too long, each window of one meets each of the other.

        Args:
            overflow: where ``data.overflow`` leaves it open: "truncate" keeps the beginning, "windows" all.
            shortened: the text of a pair that is cut or windowed: "longest_first", "only_first" or "only_second".
            are_words: whether each text is a list of words instead of a string.
            with_characters: whether ``texts``, ``words`` and ``offsets`` are wanted.

        Raises:
            BertkitError: ``data.stride`` leaves no room for what is new in a window.
        """
        windows = (self.overflow or overflow) == "windows"
        if self._stride is not None and not windows:
            console.note_once(f"data.stride={self._stride} has no effect: rows are not read in windows (data.overflow)")
        pairs = bool(texts) and len(texts[0]) == 2
        overlap = self._overlap(pairs) if windows else 0
        given, cut = texts, dict[int, int]()
        if shortened != "longest_first":
            texts, cut = self._with_room(texts, kept=0 if shortened == "only_second" else 1)
        self.tokenizer.enable_truncation(self.max_length, stride=overlap, strategy=shortened)
        # The fast way keeps no characters, and in the later windows of a pair gives the second text segment 0.
        wholes = self._encoded(texts, are_words, fast=not (windows or with_characters or are_words))
        if not windows:
            over = [row for row, whole in enumerate(wholes) if whole.overflowing or row in cut]
            self.tokenizer.no_truncation()
            uncut = self._encoded([given[row] for row in over], are_words, fast=True)
            cut = {row: len(whole.ids) for row, whole in zip(over, uncut, strict=True)}
        found = [
            (row, one)
            for row, whole in enumerate(wholes)
            for one in ([whole, *whole.overflowing] if windows else [whole])
        ]
        return Features(
            ids=[one.ids for _, one in found],
            types=[one.type_ids for _, one in found] if self._has_types else None,
            rows=np.array([row for row, _ in found], dtype=np.int64),
            texts=[one.sequence_ids for _, one in found] if with_characters else None,
            words=[one.word_ids for _, one in found] if with_characters else None,
            offsets=[_with_marks(one, texts[row], are_words) for row, one in found] if with_characters else None,
            characters=_characters(given),
            cut=cut,
            windows=windows,
        )

    def _encoded(self, texts: Sequence[Sequence[Any]], are_words: bool, fast: bool) -> list[Any]:
        """Rows as ``tokenizers`` reads them, by the truncation that is set."""
        encode = self.tokenizer.encode_batch_fast if fast else self.tokenizer.encode_batch
        inputs = [_as_input(row, are_words) for row in texts]
        with rules_applied():
            return [
                whole
                for begin in range(0, len(inputs), _ROWS_AT_ONCE)
                for whole in encode(inputs[begin : begin + _ROWS_AT_ONCE], is_pretokenized=are_words)
            ]

    def _overlap(self, pairs: bool) -> int:
        """Tokens that two windows share: ``data.stride``, or a quarter of a window."""
        # Each text of a pair has half of the room at least.
        room = (self.max_length - self.tokenizer.num_special_tokens_to_add(pairs)) // (2 if pairs else 1)
        if self._stride is not None and self._stride >= room:
            raise BertkitError(
                f"data.stride {self._stride} leaves nothing new in a window, which has room for {room} tokens of a "
                "text: make it smaller, or --seq-len larger"
            )
        return max(0, min(self.max_length // 4, room - 1)) if self._stride is None else self._stride

    def _with_room(self, pairs: Sequence[Sequence[str]], kept: int) -> tuple[list[Sequence[str]], dict[int, int]]:
        """Pairs of which the one text is whole in each window: it has half of the room, and what the other leaves.

        Args:
            kept: which of the two that is.

        Returns:
            The pairs, that text cut where it is longer; and of each that was cut how many tokens a window must have to hold it.
        """
        special = self.tokenizer.num_special_tokens_to_add(True)
        room = self.max_length - special
        self.tokenizer.no_truncation()
        fitting, cut = list(pairs), dict[int, int]()
        for number, row in enumerate(pairs):
            tokens = self._read(row[kept])
            if len(tokens.ids) <= room // 2:
                continue
            other = len(self._read(row[1 - kept]).ids)
            most = max(room // 2, room - other)
            if len(tokens.ids) > most:
                texts = list(row)
                texts[kept] = sound(row[kept])[: tokens.offsets[most - 1][1]]
                fitting[number] = texts
                cut[number] = special + len(tokens.ids) + min(len(tokens.ids), other)
        return fitting, cut

    def _read(self, text: str) -> Any:
        with rules_applied(text):
            return self.tokenizer.encode(sound(text), add_special_tokens=False)


def _characters(rows: Sequence[Sequence[Any]]) -> Counter[str]:
    """How often each character stands in rows of strings or of lists of words."""
    counts = Counter[str]()
    for row in rows:
        for text in row:
            counts.update(text if isinstance(text, str) else "".join(text))
    return counts


def _with_marks(one: Any, texts: Sequence[Any], are_words: bool) -> list[tuple[int, int]]:
    """The characters of each token of a feature, with the marks behind them that the tokenizer's rules drop, as accents: else an
    answer, or an entity, would lose its last one.

    Example: of "cafe\u0301 au lait", which an uncased BERT reads as "cafe", the first token has the characters 0 to 5.
    """
    offsets: list[tuple[int, int]] = one.offsets
    if all(word.isascii() for text in texts for word in (text if are_words else (text,))):
        return offsets
    sources = [
        None if number is None else (number, word if are_words else None)
        for number, word in zip(one.sequence_ids, one.word_ids, strict=True)
    ]
    widened = []
    for place, (source, (begin, end)) in enumerate(zip(sources, offsets, strict=True)):
        if source is not None:
            text = texts[source[0]] if source[1] is None else texts[source[0]][source[1]]
            goes_on = place + 1 < len(sources) and sources[place + 1] == source
            limit = offsets[place + 1][0] if goes_on else len(text)
            while end < limit and unicodedata.category(text[end])[0] == "M":
                end += 1
        widened.append((begin, end))
    return widened


def _as_input(row: Sequence[Any], are_words: bool) -> Any:
    texts = [[sound(word) for word in text] if are_words else sound(text) for text in row]
    return tuple(texts) if len(texts) == 2 else texts[0]
