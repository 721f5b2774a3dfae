"""Texts as ids: long ones cut, or read in windows that overlap."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from bertkit.errors import BertkitError, rules_applied
from bertkit.finetuning.features import Features
from bertkit.runtime.text import sound
from bertkit.settings.schema import FinetuneDataSettings

_ROWS_AT_ONCE = 4_096
"""Rows that are encoded in one call: some tenths of a second, after which a signal is heard."""


class Encoder:
    """Texts, or pairs of texts, as features of at most so many tokens.

    Args:
        tokenizer: of the model, of the library ``tokenizers``; it is copied.
        pad_id: id of the token that fills up a batch.
        has_types: whether the model tells a first text from a second.
        settings: how long a feature may be, and what happens to what is longer.
    """

    def __init__(self, tokenizer: Any, pad_id: int, has_types: bool, settings: FinetuneDataSettings) -> None:
        self.pad_id, self.max_length, self._overflow = pad_id, settings.max_seq_length, settings.overflow
        self._has_types, self._stride = has_types, settings.stride
        self._tokenizer = copy.deepcopy(tokenizer)
        self._tokenizer.no_padding()

    @staticmethod
    def of(tokenizer: Any, settings: FinetuneDataSettings) -> "Encoder":
        """With a fast tokenizer of transformers."""
        has_types = "token_type_ids" in tokenizer.model_input_names
        return Encoder(tokenizer.backend_tokenizer, tokenizer.pad_token_id, has_types, settings)

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
        windows = (self._overflow or overflow) == "windows"
        pairs = bool(texts) and len(texts[0]) == 2
        overlap = self._overlap(pairs) if windows else 0
        if shortened != "longest_first":
            self._tokenizer.no_truncation()
            texts = [self._with_room(row, kept=0 if shortened == "only_second" else 1) for row in texts]
        self._tokenizer.enable_truncation(self.max_length, stride=overlap, strategy=shortened)
        # The fast way keeps no characters, and in the later windows of a pair gives the second text segment 0.
        is_plain = not (windows or with_characters or are_words)
        encode = self._tokenizer.encode_batch_fast if is_plain else self._tokenizer.encode_batch
        inputs = [_as_input(row, are_words) for row in texts]
        with rules_applied():
            wholes = [
                whole
                for begin in range(0, len(inputs), _ROWS_AT_ONCE)
                for whole in encode(inputs[begin : begin + _ROWS_AT_ONCE], is_pretokenized=are_words)
            ]
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
            offsets=[one.offsets for _, one in found] if with_characters else None,
            cut_rows=0 if windows else sum(bool(whole.overflowing) for whole in wholes),
        )

    def _overlap(self, pairs: bool) -> int:
        """Tokens that two windows share: ``data.stride``, or a quarter of a window."""
        # Each text of a pair has half of the room at least.
        room = (self.max_length - self._tokenizer.num_special_tokens_to_add(pairs)) // (2 if pairs else 1)
        if self._stride is not None and self._stride >= room:
            raise BertkitError(
                f"data.stride {self._stride} leaves nothing new in a window, which has room for {room} tokens of a "
                "text: make it smaller, or --seq-len larger"
            )
        return max(0, min(self.max_length // 4, room - 1)) if self._stride is None else self._stride

    def _with_room(self, row: Sequence[str], kept: int) -> list[str]:
        """A pair whose one text is not shortened by windows: it is cut to half of the room, where it is longer."""
        most = (self.max_length - self._tokenizer.num_special_tokens_to_add(True)) // 2
        with rules_applied(row[kept]):
            tokens = self._tokenizer.encode(sound(row[kept]), add_special_tokens=False)
        texts = list(row)
        if len(tokens.ids) > most:
            texts[kept] = sound(row[kept])[: tokens.offsets[most - 1][1]]
        return texts


def cut_rows(cut: int, rows: int, name: str, most: int, positions: int | None) -> str:
    """The line that counts the rows that lost their end.

    Args:
        name: of the split, if it has one.
        most: tokens that are read of a row.
        positions: tokens that the model reads at most; None where nothing limits them.
    """
    longer = "with --seq-len more of them"
    if most == positions:
        longer = "and more than that the model has no places for (--set model.max_position_embeddings)"
    return (
        f"{cut:,} of {rows:,} rows{name and f' in {name}'} are longer than {most} tokens and lost their end: "
        f"finetune with --set data.overflow=windows reads them whole, {longer}"
    )


def _as_input(row: Sequence[Any], are_words: bool) -> Any:
    texts = [[sound(word) for word in text] if are_words else sound(text) for text in row]
    return tuple(texts) if len(texts) == 2 else texts[0]
