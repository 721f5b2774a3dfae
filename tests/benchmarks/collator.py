"""``python -m benchmarks collator``: our collator beside transformers' one, on one core and the same sequences."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.apart import apart
from benchmarks.pretrain import as_row, on_prepared, their_collator, work_of
from benchmarks.rounds import OURS, Turn, compare, repeated
from bertkit.pretraining.dataset import collator_for
from bertkit.pretraining.request import PretrainRequest

THEIRS = "transformers' DataCollatorForLanguageModeling"


def bench_collator(request: PretrainRequest, batches: int, rounds: int) -> dict[str, Any]:
    """Tokens a second of both: padding, masking and making the tensors of so many batches of ready sequences."""
    work = work_of(request)
    prepared = on_prepared(request, work.corpus)
    wanted = {name: partial(_collating, prepared, batches, name == OURS) for name in (OURS, THEIRS)}
    with apart(wanted) as contestants:
        figures = compare(contestants, rounds)
    return {
        "work": f"collate batches of {work.recipe.train.batch_size}, length {work.plan.max_seq_length(0)}",
        "unit": "tokens/s",
        "device": "CPU, 1 thread",
        "figures": [one.as_json() for one in figures],
    }


def _collating(request: PretrainRequest, batches: int, mine: bool) -> Callable[[], Turn]:
    torch.set_num_threads(1)
    work = work_of(request)
    collate: Any = (collator_for if mine else their_collator)(work.corpus.tokenizer, work.recipe.data)
    features = [
        [as_row(work.plan.example(one), work.corpus.tokenizer) for one in work.plan.examples(step)]
        for step in range(batches)
    ]
    tokens = sum(len(row["input_ids"]) for batch in features for row in batch)
    return partial(repeated, partial(_collate_all, collate, features), tokens)


def _collate_all(collate: Callable[[Any], Any], features: list[list[dict[str, Any]]]) -> None:
    for batch in features:
        collate(batch)
