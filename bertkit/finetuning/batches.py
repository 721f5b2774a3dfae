"""Labelled texts as token ids, and batches of like length so that hardly any padding is computed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.draws import key

if TYPE_CHECKING:
    import torch

_SORTED_BATCHES = 64
"""Batches whose rows are sorted by length together: enough for like lengths, few enough to stay well mixed."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of some rows.

    Attributes:
        ids: each row's ids with special tokens.
        types: each row's segment ids; None where the model has none.
        lengths: int64 ``[rows]``.
    """

    ids: list[list[int]]
    types: list[list[int]] | None
    lengths: np.ndarray


class Encoder:
    """Tokenizes texts or pairs of texts, truncating the longer of a pair first.

    Args:
        tokenizer: of the model (a fast one of transformers).
        max_seq_length: tokens, special tokens included.
    """

    def __init__(self, tokenizer: Any, max_seq_length: int) -> None:
        import copy

        self._backend = copy.deepcopy(tokenizer.backend_tokenizer)
        self._backend.no_padding()
        self._backend.enable_truncation(max_seq_length, strategy="longest_first")
        self._with_types = "token_type_ids" in tokenizer.model_input_names
        self.pad_id: int = tokenizer.pad_token_id

    def __call__(self, texts: Sequence[tuple[str, ...]]) -> Encoded:
        """The ids of rows of one or two texts."""
        inputs = [row if len(row) == 2 else row[0] for row in texts]
        encodings = self._backend.encode_batch_fast(inputs)
        ids = [encoding.ids for encoding in encodings]
        types = [encoding.type_ids for encoding in encodings] if self._with_types else None
        return Encoded(ids, types, np.array([len(row) for row in ids], dtype=np.int64))


def collate(encoded: Encoded, rows: Sequence[int], pad_id: int) -> "dict[str, torch.Tensor]":
    """``input_ids``, ``attention_mask`` and, where there are, ``token_type_ids``: int64 ``[rows, longest]``."""
    import torch

    lengths = encoded.lengths[list(rows)]
    inside = np.arange(int(lengths.max())) < lengths[:, None]
    batch = {"attention_mask": inside.astype(np.int64)}
    for name, values, fill in (("input_ids", encoded.ids, pad_id), ("token_type_ids", encoded.types, 0)):
        if values is not None:
            array = np.full(inside.shape, fill, dtype=np.int64)
            array[inside] = np.concatenate([values[row] for row in rows])
            batch[name] = array
    return {name: torch.from_numpy(array) for name, array in batch.items()}


def by_length(lengths: np.ndarray, batch_size: int) -> Iterator[list[int]]:
    """Row numbers in batches of like length, the longest first (so that memory runs out at once or never)."""
    order = np.argsort(-lengths, kind="stable")
    for begin in range(0, len(order), batch_size):
        yield order[begin : begin + batch_size].tolist()


class FinetunePlan:
    """Which rows each optimizer step sees (a ``training.steps.StepPlan``).

    Each epoch shuffles the rows, sorts them by length within stretches of many batches, and shuffles the batches.
    The order is a function of (seed, epoch); each row is seen once an epoch, and an epoch's last batch may be small.

    Args:
        labels: of all rows, as the objective takes them.
        micro_batch_tokens: tokens a device computes at a time, or None with ``micro_batch_size``.
    """

    def __init__(
        self,
        encoded: Encoded,
        labels: np.ndarray,
        pad_id: int,
        batch_size: int,
        total_steps: int,
        seed: int,
        micro_batch_size: int,
    ) -> None:
        self.total_steps = total_steps
        self._encoded, self._labels, self._pad_id = encoded, labels, pad_id
        self._batch_size, self._seed, self._micro_batch_size = batch_size, seed, micro_batch_size
        self.steps_per_epoch = -(-len(encoded.ids) // batch_size)
        self._epoch, self._batches = -1, [[0]]

    def micro_batch_size(self, step: int) -> int:  # noqa: ARG002 (the same in every step)
        return self._micro_batch_size

    def epoch(self, step: int) -> float:
        return step / self.steps_per_epoch

    def examples(self, step: int) -> list[int]:
        epoch, number = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._planned(epoch)
        return self._batches[number]

    def _planned(self, epoch: int) -> list[list[int]]:
        random = np.random.Generator(np.random.Philox(key(self._seed, epoch)))
        order = random.permutation(len(self._encoded.ids))
        stretch = self._batch_size * _SORTED_BATCHES
        batches: list[list[int]] = []
        for begin in range(0, len(order), stretch):
            some = order[begin : begin + stretch]
            some = some[np.argsort(-self._encoded.lengths[some], kind="stable")]
            batches += [some[i : i + self._batch_size].tolist() for i in range(0, len(some), self._batch_size)]
        return [batches[i] for i in random.permutation(len(batches))]

    def fetch(self, references: Sequence[int]) -> "dict[str, torch.Tensor]":
        import torch

        batch = collate(self._encoded, references, self._pad_id)
        batch["labels"] = torch.from_numpy(self._labels[list(references)])
        return batch
