"""``python -m benchmarks finetune``: our batches of like length beside the Trainer with either way of padding."""

import dataclasses
import random
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoConfig, DataCollatorWithPadding, default_data_collator

from benchmarks.apart import apart
from benchmarks.machine import TRAINING, forward_flops, peak_flops
from benchmarks.pretrain import after_the_first_step
from benchmarks.rounds import OURS, Turn, compare
from benchmarks.trainer import TRAINER, trainer_turn
from bertkit import hardware
from bertkit.errors import BertkitError
from bertkit.finetuning.data import LabelledData, load_labelled
from bertkit.finetuning.run import FinetuneRequest, data_request, finetune_on, load_recipe, with_settings
from bertkit.finetuning.windows import Encoder
from bertkit.io.hub import model_folder
from bertkit.models.headed import encoder_tokenizer, new_headed
from bertkit.settings.schema import FinetuneRecipe
from bertkit.training.metrics_log import read_metrics


@dataclasses.dataclass(frozen=True)
class _Work:
    request: FinetuneRequest
    recipe: FinetuneRecipe
    data: LabelledData
    device: str
    precision: str
    steps: int

    @property
    def texts(self) -> list[tuple[str, ...]]:
        assert self.data.train is not None
        return self.data.train.texts

    @property
    def examples(self) -> int:
        """Of all steps but the first, which is left out."""
        return self.recipe.train.batch_size * (self.steps - 1)


def bench_finetune(request: FinetuneRequest, steps: int, rounds: int) -> dict[str, Any]:
    """Examples a second of all three, each over so many steps of its own random rows; the first step is left out."""
    work = _work(request, steps)
    wanted = {
        OURS: partial(_ours, request, steps),
        f"{TRAINER}, padded to the batch's longest": partial(_trainer, request, steps, False),
        f"{TRAINER}, padded to {work.recipe.data.max_seq_length}": partial(_trainer, request, steps, True),
    }
    with apart(wanted) as contestants:
        figures = compare(contestants, rounds)
    peak, asked = peak_flops(work.device, work.precision), _flops_an_example(work)
    return {
        "work": f"finetune {request.model} on {request.task or request.train}, batch {work.recipe.train.batch_size}, "
        f"{'fp32' if work.precision == 'no' else work.precision}",
        "unit": "examples/s",
        "device": hardware.describe_device(work.device),
        "peak_tflops": peak / 1e12,
        "figures": [
            {**one.as_json(), "share_of_peak": None if asked is None else one.speed * asked / peak} for one in figures
        ],
    }


def _work(request: FinetuneRequest, steps: int) -> _Work:
    device = hardware.choose_device(request.device)
    recipe = load_recipe(request)
    precision = hardware.choose_precision(recipe.train.mixed_precision, device)
    data = dataclasses.replace(load_labelled(data_request(request, recipe)), validation=[])
    if data.train is None or data.train.labels is None:
        raise BertkitError(f"task {request.task} has no training rows: name one that has, such as sst2")
    return _Work(request, recipe, data, device, precision, steps)


def _flops_an_example(work: _Work) -> float | None:
    """Operations for a row, forward and backward, on average; None where the encoder names its sizes otherwise."""
    folder = model_folder(work.request.model)
    config = AutoConfig.from_pretrained(folder)
    if not all(hasattr(config, name) for name in ("hidden_size", "num_hidden_layers", "intermediate_size")):
        return None
    lengths = Encoder.of(encoder_tokenizer(folder, str(folder)), work.recipe.data)(work.texts).tokens
    return TRAINING * forward_flops(config, lengths, np.ones_like(lengths)) / len(lengths)


def _ours(request: FinetuneRequest, steps: int) -> Callable[[], Turn]:
    return partial(_our_turn, _work(request, steps))


def _our_turn(work: _Work) -> Turn:
    steps = work.steps
    with tempfile.TemporaryDirectory(prefix="bertkit-bench-") as folder:
        out = Path(folder) / "run"
        out.mkdir()
        steps_per_epoch = -(-len(work.texts) // work.recipe.train.batch_size)
        epochs = (steps - 0.5) / steps_per_epoch  # is rounded up to whole steps
        one = with_settings(work.request, out, epochs=epochs, logging_steps=steps, save_steps=10 * steps)
        finetune_on(work.data, load_recipe(one), one)
        _, seconds, waited_s = after_the_first_step(read_metrics(out))
    return Turn(work.examples, seconds, waited_s)


def _trainer(request: FinetuneRequest, steps: int, padded: bool) -> Callable[[], Turn]:
    return partial(_their_turn, _work(request, steps), padded)


def _their_turn(work: _Work, padded: bool) -> Turn:
    data, train = work.data, work.recipe.train
    assert data.train is not None
    assert data.train.labels is not None
    model, tokenizer, _ = new_headed(
        data.head.auto_class,
        work.request.model,
        data.head.model_config(),
        train.dropout,
        train.seed,
        train.from_scratch,
    )
    # In the order of a shuffled epoch after another, as the Trainer would take them.
    drawn, wanted = random.Random(train.seed), train.batch_size * work.steps
    chosen: list[int] = []
    while len(chosen) < wanted:
        chosen += drawn.sample(range(len(work.texts)), k=min(len(work.texts), wanted - len(chosen)))
    columns = zip(*(work.texts[row] for row in chosen), strict=True)
    encoded = tokenizer(
        *map(list, columns),
        truncation=True,
        max_length=work.recipe.data.max_seq_length,
        padding="max_length" if padded else False,
    )
    labels = data.train.labels[chosen].tolist()
    rows = [
        {**{name: values[row] for name, values in encoded.items()}, "labels": label} for row, label in enumerate(labels)
    ]
    collate = default_data_collator if padded else DataCollatorWithPadding(tokenizer)
    return trainer_turn(model, collate, rows, train, work.steps, work.device, work.precision, work.examples)
