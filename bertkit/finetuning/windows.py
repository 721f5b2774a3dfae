"""Texts as ids: long ones cut, or read in windows that overlap."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertkit import console
from bertkit.console import counted
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
    """

    def __init__(self, tokenizer: Any, pad_id: int, has_types: bool, settings: FinetuneDataSettings) -> None:
        self.pad_id, self.max_length, self.overflow = pad_id, settings.max_seq_length, settings.overflow
        self._has_types, self._stride = has_types, settings.stride
        self._tokenizer = copy.deepcopy(tokenizer)
        self._tokenizer.no_padding()

    @staticmethod
    def of(tokenizer: Any, settings: FinetuneDataSettings) -> "RowEncoder":
        """With a fast tokenizer of transformers."""
        has_types = "token_type_ids" in tokenizer.model_input_names
        return RowEncoder(tokenizer.backend_tokenizer, tokenizer.pad_token_id, has_types, settings)

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
        self._tokenizer.enable_truncation(self.max_length, stride=overlap, strategy=shortened)
        # The fast way keeps no characters, and in the later windows of a pair gives the second text segment 0.
        wholes = self._encoded(texts, are_words, fast=not (windows or with_characters or are_words))
        if not windows:
            over = [row for row, whole in enumerate(wholes) if whole.overflowing or row in cut]
            self._tokenizer.no_truncation()
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
            offsets=[one.offsets for _, one in found] if with_characters else None,
            cut=cut,
            windows=windows,
        )

    def _encoded(self, texts: Sequence[Sequence[Any]], are_words: bool, fast: bool) -> list[Any]:
        """Rows as ``tokenizers`` reads them, by the truncation that is set."""
        encode = self._tokenizer.encode_batch_fast if fast else self._tokenizer.encode_batch
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
        room = (self.max_length - self._tokenizer.num_special_tokens_to_add(pairs)) // (2 if pairs else 1)
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
        special = self._tokenizer.num_special_tokens_to_add(True)
        room = self.max_length - special
        self._tokenizer.no_truncation()
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
            return self._tokenizer.encode(sound(text), add_special_tokens=False)


@dataclass(frozen=True)
class Reach:
    """How much a model could read of a row.

    Attributes:
        tokens: at most; None where nothing limits them.
        can_grow: whether it can be given more places (``model.max_position_embeddings``), as BERTs can.
    """

    tokens: int | None
    can_grow: bool

    @staticmethod
    def of(model: Any) -> "Reach":
        """That of a model of transformers."""
        from bertkit.models.headed import positions_of

        return Reach(positions_of(model), model.config.model_type == "bert")


class Cuts:
    """Counts the rows of which something is not read, as features come."""

    def __init__(self) -> None:
        self._rows = self._cut = self._longest = 0
        self._windows: bool | None = False

    def add(self, features: Features, rows: int) -> "Cuts":
        """Takes up the features of so many rows."""
        self._rows += rows
        self._cut += len(features.cut)
        self._longest = max(self._longest, *features.cut.values(), 0)
        self._windows = features.windows
        return self

    def told(self, name: str, read: int, reach: Reach) -> list[str]:
        """A line with their number and what would read them whole; none where there are none.

        Args:
            name: of the split, if it has one.
            read: tokens that are read of a row.
            reach: of the model.
        """
        if not self._cut:
            return []
        rows = f"of {self._rows:,} rows{name and f' in {name}'}"
        if self._windows:
            what = f"{self._cut:,} {rows} lost the end of the text that is in each window, which is over half of {read} tokens"
        else:
            one, more = (f"{rows} {verb} longer than {read} tokens and lost" for verb in ("is", "are"))
            what = counted(self._cut, f"{one} its end", f"{more} their end")
        return [f"{what}: {'; '.join(self._ways(read, reach))}"]

    def _ways(self, read: int, reach: Reach) -> list[str]:
        fits = reach.tokens is None or self._longest <= reach.tokens
        whole = [f"--seq-len {self._longest}"] * fits + ["--set data.overflow=windows"] * (self._windows is False)
        them = "it" if self._cut == 1 else "them"
        told = [f"finetune with {' or '.join(whole)} reads {them} whole"] if whole else []
        if not fits:
            farther = f" (--seq-len {reach.tokens})" if read != reach.tokens else ""
            grown = ", and more with --set model.max_position_embeddings=N" if reach.can_grow else ""
            told.append(f"the model reads at most {reach.tokens} tokens{farther}{grown}")
        return told


def _as_input(row: Sequence[Any], are_words: bool) -> Any:
    texts = [[sound(word) for word in text] if are_words else sound(text) for text in row]
    return tuple(texts) if len(texts) == 2 else texts[0]
