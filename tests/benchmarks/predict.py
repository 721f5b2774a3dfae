"""``python -m benchmarks predict``: our batches of like length beside transformers' pipeline, with the same classifier."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import pipeline

from benchmarks.apart import apart
from benchmarks.machine import forward_flops, peak_flops
from benchmarks.rounds import OURS, Turn, compare, repeated
from benchmarks.stand_in import write_random_bert
from bertkit import hardware
from bertkit.errors import BertkitError
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.inputs import read_texts
from bertkit.finetuning.predictor import open_predictor, predictions
from bertkit.finetuning.task_rows import load_split
from bertkit.models.bert import save_model
from bertkit.models.headed import load_headed, new_headed
from bertkit.settings.recipes import load
from bertkit.settings.schema import FinetuneRecipe

BATCH_SIZE = 32
PIPELINE = f'pipeline("text-classification", batch_size={BATCH_SIZE})'
WORD_ORDER = Path(__file__).parent.parent / "assets" / "word_order" / "validation.tsv"
Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class PredictBench:
    """Which rows, by which model.

    Attributes:
        source: a file with a row a line, or a table; None takes the embedded word-order rows.
        task, data: its validation rows instead, from the hub or from GLUE's TSVs.
        model: a classifier, or an encoder that gets a head with random weights; None takes a new ``tiny`` one.
    """

    source: str | None = None
    task: str | None = None
    data: Path | None = None
    model: str | None = None
    device: str = "auto"


def bench_predict(request: PredictBench, rounds: int) -> dict[str, Any]:
    """Rows a second of both, from the text to labelled probabilities, over all of the rows again and again."""
    device = hardware.choose_device(request.device)
    texts = _texts(request)
    with tempfile.TemporaryDirectory(prefix="bertkit-bench-") as folder:
        model = _classifier(request.model, Path(folder))
        wanted = {OURS: partial(ours, model, texts, device), PIPELINE: partial(theirs, model, texts, device)}
        with apart(wanted) as contestants:
            figures = compare(contestants, rounds)
        classifier = open_predictor(model, device)
    lengths = classifier.encoder(texts).tokens
    peak = peak_flops(device, "no")
    asked = forward_flops(classifier.model.config, lengths, np.ones_like(lengths)) / len(texts)
    return {
        "work": f"predict {len(texts):,} rows of {request.task or request.source or WORD_ORDER.name} "
        f"({lengths.mean():.0f} tokens on average) by {request.model or 'a new tiny'}",
        "unit": "rows/s",
        "device": hardware.describe_device(device),
        "peak_tflops": peak / 1e12,
        "figures": [{**one.as_json(), "share_of_peak": one.speed * asked / peak} for one in figures],
    }


def _texts(request: PredictBench) -> Rows:
    if request.task is not None:
        task = load(FinetuneRecipe, "finetune", request.task, []).settings.task
        texts = load_split(task, request.data, task.validation_splits[0]).texts
    else:
        texts = list(read_texts(str(request.source or WORD_ORDER), ()))
    if not texts:
        raise BertkitError(f"{request.task or request.source} has no rows to predict")
    return texts


def _classifier(model: str | None, folder: Path) -> str:
    """The folder of a model with a classification head: its own, or one with random weights."""
    if model is None:
        write_random_bert(folder / "bert", "tiny", None)
        model = str(folder / "bert")
    try:
        load_headed(SequenceHead.auto_class, model)
    except BertkitError as error:
        if "was not fine-tuned" not in str(error):
            raise
        head = OneClass(["negative", "positive"])
        made, tokenizer, _ = new_headed(head.auto_class, model, head.model_config(), None, 0)
        save_model(made, tokenizer, folder / "classifier")
        return str(folder / "classifier")
    return model


def ours(model: str, texts: Rows, device: str) -> Callable[[], Turn]:
    """``bertkit predict`` from the rows to what it prints."""
    classifier = open_predictor(model, device)
    return _warm(lambda rows: list(predictions(classifier, iter(rows))), texts)


def theirs(model: str, texts: Rows, device: str) -> Callable[[], Turn]:
    """transformers' pipeline over a list of the rows."""
    longest = open_predictor(model, device).encoder.max_length
    classify = pipeline("text-classification", model=model, device=torch.device(device), batch_size=BATCH_SIZE)
    return _warm(lambda rows: classify(as_inputs(rows), truncation=True, max_length=longest, top_k=None), texts)


def _warm(predict: Callable[[Rows], Sequence[Any]], texts: Rows) -> Callable[[], Turn]:
    predict(texts[:BATCH_SIZE])
    return partial(repeated, partial(predict, texts), len(texts))


def as_inputs(rows: Rows) -> list[Any]:
    """Rows of one or two texts as the pipeline takes them."""
    return [{"text": row[0], "text_pair": row[1]} if len(row) == 2 else row[0] for row in rows]
