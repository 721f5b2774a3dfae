"""``bertkit bench finetune``: our batches of like length beside the Trainer with either way of padding."""

import dataclasses
import random
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from transformers import DataCollatorWithPadding, default_data_collator

from bertkit.bench.rounds import Turn, compare
from bertkit.bench.trainer import TRAINER, trainer_seconds
from bertkit.models.classifier import new_classifier
from bertkit.settings.schema import FinetuneRecipe
from bertkit.tasks.data import LabelledData, load_labelled
from bertkit.tasks.run import FinetuneRequest, data_request, finetune_on, load_recipe, with_settings
from bertkit.training import hardware
from bertkit.training.log import read_metrics


def bench_finetune(request: FinetuneRequest, steps: int, rounds: int) -> dict[str, Any]:
    """Examples a second of all three, each over so many steps of its own random rows; the first step is left out."""
    device = hardware.choose_device(request.device)
    recipe = load_recipe(request)
    precision = hardware.choose_precision(recipe.train.mixed_precision, device)
    data = dataclasses.replace(load_labelled(data_request(request, recipe)), validation=[])
    examples = recipe.train.batch_size * (steps - 1)
    figures = compare(
        {
            "bertkit": partial(_ours, data, request, steps, examples),
            f"{TRAINER}, padded to the batch's longest": partial(
                _trainer, data, recipe, request, steps, device, precision, examples, False
            ),
            f"{TRAINER}, padded to {recipe.data.max_seq_length}": partial(
                _trainer, data, recipe, request, steps, device, precision, examples, True
            ),
        },
        rounds,
    )
    return {
        "work": f"finetune {request.model} on {request.task or request.train}, batch {recipe.train.batch_size}, "
        f"{'fp32' if precision == 'no' else precision}",
        "unit": "examples/s",
        "device": hardware.describe_device(device),
        "figures": [one.as_json() for one in figures],
    }


def _ours(data: LabelledData, request: FinetuneRequest, steps: int, examples: int) -> Turn:
    assert data.train is not None
    with tempfile.TemporaryDirectory(prefix="bertkit-bench-") as folder:
        out = Path(folder) / "run"
        out.mkdir()
        steps_per_epoch = -(-len(data.train.texts) // load_recipe(request).train.batch_size)
        epochs = (steps - 0.5) / steps_per_epoch  # is rounded up to whole steps
        one = with_settings(request, out, epochs=epochs, logging_steps=steps, save_steps=10 * steps)
        finetune_on(data, load_recipe(one), one)
        first, last = read_metrics(out)
    return Turn(examples, (last["tokens"] - first["tokens"]) / last["tokens_per_second"])


def _trainer(
    data: LabelledData,
    recipe: FinetuneRecipe,
    request: FinetuneRequest,
    steps: int,
    device: str,
    precision: str,
    examples: int,
    padded: bool,
) -> Turn:
    assert data.train is not None
    assert data.train.labels is not None
    model, tokenizer, _ = new_classifier(request.model, data.label_names, data.problem_type, None, recipe.train.seed)
    chosen = random.Random(recipe.train.seed).sample(range(len(data.train.texts)), k=recipe.train.batch_size * steps)
    columns = zip(*(data.train.texts[row] for row in chosen), strict=True)
    encoded = tokenizer(
        *map(list, columns),
        truncation=True,
        max_length=recipe.data.max_seq_length,
        padding="max_length" if padded else False,
    )
    labels = data.train.labels[chosen].tolist()
    rows = [
        {**{name: values[row] for name, values in encoded.items()}, "labels": label} for row, label in enumerate(labels)
    ]
    collate = default_data_collator if padded else DataCollatorWithPadding(tokenizer)
    return Turn(examples, trainer_seconds(model, collate, rows, recipe.train, steps, device, precision))
