"""``bertkit inspect --train``: checks labelled rows, without a model."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bertkit.finetuning.data import load_table, look_at
from bertkit.finetuning.features import Split
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.request import FinetuneRequest, data_request, load_recipe
from bertkit.finetuning.row_sources import check_inputs
from bertkit.finetuning.rows.table_check import TableCheck
from bertkit.finetuning.unread import Reach, Unread
from bertkit.finetuning.windows import RowEncoder
from bertkit.io.hub import model_folder
from bertkit.models.headed import encoder_tokenizer
from bertkit.settings.schema import FinetuneDataSettings

_NO_LIMIT = 2**30


def inspect(request: FinetuneRequest) -> tuple[TableCheck, list[str]]:
    """Figures of the rows of ``request.train`` and ``request.validation``, and lines about what was guessed.

    Rows that cannot be used are left out and listed. Lengths are counted with the tokenizer of ``request.model``.

    Raises:
        BertkitError: the rows or the tokenizer cannot be read, or the columns or labels cannot be recognised.
    """
    recipe = load_recipe(request)
    wanted = data_request(replace(request, skip_bad_rows=True), recipe)
    check_inputs(wanted)
    data = load_table(wanted)
    lengths = _Lengths(encoder_tokenizer(model_folder(request.model, weights=False), request.model), data.head)
    look = look_at(data, lengths, recipe.data.max_seq_length)
    described = [data.head.described(data.train)] if data.train is not None else []
    named = [split.name for split in look.splits if split.rows]
    misread = [told for name, unread in zip(named, lengths.unread, strict=True) for told in unread.told_misread(name)]
    return replace(look, misread=misread), [told for told in [*data.notes, *described] if told]


class _Lengths:
    """Counts the tokens of rows as a head reads them; of several features the longest counts.

    Args:
        tokenizer: a fast tokenizer of transformers.
        head: reads the rows.

    Attributes:
        unread: what a model with this tokenizer does not read of the rows of each call.
    """

    def __init__(self, tokenizer: Any, head: Head) -> None:
        settings = FinetuneDataSettings(max_seq_length=_NO_LIMIT, overflow="truncate")
        self._encoder, self._head = RowEncoder.of(tokenizer, settings), head
        self.unread: list[Unread] = []

    def __call__(self, texts: Sequence[Any]) -> list[int]:
        features = self._head.features(Split("", list(texts), None), self._encoder)
        self.unread.append(Unread(self._encoder, Reach(None, can_grow=False)).add(features, len(texts)))
        longest = np.zeros(len(texts), dtype=np.int64)
        np.maximum.at(longest, features.rows, [len(ids) for ids in features.ids])
        return [int(tokens) for tokens in longest]
