"""``python -m benchmarks finetune``: ours, without padding, beside the Trainer with either way of padding."""

import dataclasses
import random
import tempfile
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from benchmarks.apart import apart
from benchmarks.machine import TRAINING, forward_flops, peak_flops
from benchmarks.plain import Plain
from benchmarks.pretrain import after_the_first_step
from benchmarks.rounds import OURS, Turn, compare
from benchmarks.trainer import TRAINER, trainer_turn
from bertkit import hardware
from bertkit.errors import BertkitError
from bertkit.finetuning.batches import collate
from bertkit.finetuning.data import load_labelled
from bertkit.finetuning.features import Features, Split
from bertkit.finetuning.labelled import LabelledData
from bertkit.finetuning.request import FinetuneRequest, data_request, load_recipe, with_settings
from bertkit.finetuning.run import finetune_on
from bertkit.finetuning.windows import RowEncoder
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
    def train(self) -> Split:
        assert self.data.train is not None
        return self.data.train

    @cached_property
    def encoder(self) -> RowEncoder:
        folder = model_folder(self.request.model)
        return RowEncoder.of(encoder_tokenizer(folder, str(folder)), self.recipe.data)

    @cached_property
    def features(self) -> Features:
        return self.data.head.features(self.train, self.encoder)

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
    """Operations for an example, forward and backward, on average; None where the encoder names its sizes otherwise."""
    config = AutoConfig.from_pretrained(model_folder(work.request.model))
    if not all(hasattr(config, name) for name in ("hidden_size", "num_hidden_layers", "intermediate_size")):
        return None
    head, asked, units = work.data.head, 0.0, len(work.features.units)
    for unit in range(units):
        batch = collate(work.features, [unit], work.encoder.pad_id, head)
        lengths, wanted = (mask.sum(dim=1).numpy() for mask in (batch["attention_mask"], head.read(batch)))
        asked += forward_flops(config, lengths, wanted)
    return TRAINING * asked / units


def _ours(request: FinetuneRequest, steps: int) -> Callable[[], Turn]:
    return partial(_our_turn, _work(request, steps))


def _our_turn(work: _Work) -> Turn:
    steps = work.steps
    with tempfile.TemporaryDirectory(prefix="bertkit-bench-") as folder:
        out = Path(folder) / "run"
        out.mkdir()
        steps_per_epoch = -(-len(work.features.units) // work.recipe.train.batch_size)
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
    stride = stride_of(work.recipe)
    plain = Plain(data.head, tokenizer, work.recipe.data.max_seq_length, stride, padded)
    rows = plain.rows(data.train)
    # In the order of a shuffled epoch after another, as the Trainer would take them.
    drawn, wanted = random.Random(train.seed), train.batch_size * work.steps
    chosen: list[Any] = []
    while len(chosen) < wanted:
        chosen += drawn.sample(rows, k=min(len(rows), wanted - len(chosen)))
    return trainer_turn(model, plain.collate, chosen, train, work.steps, work.device, work.precision, work.examples)


def stride_of(recipe: FinetuneRecipe) -> int:
    """Tokens that two windows share, as ``RowEncoder`` has them: a quarter of a window where nothing is said."""
    return recipe.data.max_seq_length // 4 if recipe.data.stride is None else recipe.data.stride
