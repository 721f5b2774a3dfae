"""``python -m benchmarks tasks``: the figures of several seeds, ours and those of transformers' Trainer on the same rows."""

import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, Trainer, TrainerCallback

from benchmarks.finetune import stride_of
from benchmarks.plain import Plain
from benchmarks.trainer import arguments_of
from bertkit import console, hardware
from bertkit.errors import BertkitError
from bertkit.finetuning.data import load_labelled
from bertkit.finetuning.evaluation import results_of, scored
from bertkit.finetuning.labelled import LabelledData
from bertkit.finetuning.predictor import open_predictor
from bertkit.finetuning.request import FinetuneRequest, data_request, load_recipe, with_fitting_rate, with_settings
from bertkit.finetuning.run import finetune_on
from bertkit.finetuning.windows import RowEncoder
from bertkit.models.bert import save_model
from bertkit.models.headed import new_headed
from bertkit.settings.schema import FinetuneRecipe
from bertkit.training.schedule import warmup_steps


@dataclass(frozen=True)
class Run:
    """One training: its best epoch's figure with its interval, and how long it took."""

    seed: int
    figure: float
    interval: tuple[float, float]
    seconds: float


def bench_tasks(request: FinetuneRequest, seeds: int, most_rows: int | None) -> dict[str, Any]:
    """Both by turns, a run of each a seed, with the same rows, hyper-parameters, precision and choice of the best epoch.

    Args:
        most_rows: to train on; of more, so many are drawn, the same for all runs.
    """
    recipe = with_fitting_rate(load_recipe(request), request)
    data = _fewer(load_labelled(data_request(request, recipe)), most_rows)
    metric = data.head.metrics(recipe.task.metrics)[0]
    ours, theirs = [], []
    for seed in range(recipe.train.seed, recipe.train.seed + seeds):
        with tempfile.TemporaryDirectory(prefix="bertkit-bench-") as folder:
            one = with_settings(request, Path(folder) / "ours", seed=seed)
            one.folder.mkdir()
            ours.append(_ours(data, one, seed, metric))
            theirs.append(_theirs(data, one, seed, metric, Path(folder) / "theirs"))
        console.note(f"seed {seed}: bertkit {ours[-1].figure:.4f}, Trainer {theirs[-1].figure:.4f}")
    assert data.train is not None
    rows = {split.name: len(split.texts) for split in [data.train, *data.validation]}
    return {"task": request.task or Path(str(request.train)).stem, "model": request.model, "metric": metric, "rows": rows,
            "bertkit": _said(ours), "trainer": _said(theirs)}  # fmt: skip


def as_line(found: dict[str, Any]) -> str:
    """A row of a table in Markdown."""
    sides = [
        f"{100 * one['mean']:.1f} ± {100 * one['spread']:.1f} ({100 * one['low']:.1f} to {100 * one['high']:.1f})"
        for one in (found["bertkit"], found["trainer"])
    ]
    seconds = " / ".join(f"{found[side]['seconds']:.0f} s" for side in ("bertkit", "trainer"))
    rows = " / ".join(f"{count:,}" for count in found["rows"].values())
    return f"| {found['task']} | {found['model']} | {rows} | {found['metric']} | {' | '.join(sides)} | {seconds} |"


def _fewer(data: LabelledData, most_rows: int | None) -> LabelledData:
    if data.train is None or data.train.labels is None or not data.validation:
        raise BertkitError("give rows to train on and rows to validate on")
    rows = len(data.train.texts)
    if most_rows is None or rows <= most_rows:
        return data
    console.note(f"{most_rows:,} of {rows:,} training rows are drawn (--rows)")
    return replace(data, train=data.train.taken("train", sorted(random.Random(0).sample(range(rows), most_rows))))


def _said(runs: Sequence[Run]) -> dict[str, Any]:
    """Mean and standard deviation over the seeds; the interval is that of the run in the middle."""
    figures = [run.figure for run in runs]
    middle = sorted(runs, key=lambda run: run.figure)[len(runs) // 2]
    return {
        "mean": statistics.fmean(figures),
        "spread": statistics.stdev(figures) if len(figures) > 1 else 0.0,
        "low": middle.interval[0],
        "high": middle.interval[1],
        "seconds": statistics.fmean(run.seconds for run in runs),
        "figures": figures,
    }


def _run(seed: int, results: dict[str, Any], metric: str, seconds: float) -> Run:
    figure = results[f"eval_{metric}"]
    return Run(seed, figure, tuple(results.get(f"eval_{metric}_interval_95", (figure, figure))), seconds)


def _ours(data: LabelledData, request: FinetuneRequest, seed: int, metric: str) -> Run:
    started_at_s = time.perf_counter()
    record = finetune_on(data, load_recipe(request), request)
    return _run(seed, record.results, metric, time.perf_counter() - started_at_s)


def _theirs(data: LabelledData, request: FinetuneRequest, seed: int, metric: str, folder: Path) -> Run:
    recipe = with_fitting_rate(load_recipe(request), request)
    train, head = recipe.train, data.head
    assert data.train is not None
    started_at_s = time.perf_counter()
    model, tokenizer, _ = new_headed(head.auto_class, request.model, head.model_config(), train.dropout, seed)
    device = hardware.choose_device(request.device)
    precision = hardware.choose_precision(train.mixed_precision, device)
    plain = Plain(head, tokenizer, recipe.data.max_seq_length, stride_of(recipe))
    rows = plain.rows(data.train)
    steps = train.max_steps or round((train.epochs or 3) * -(-len(rows) // train.batch_size))
    arguments = arguments_of(
        str(folder), train, device, precision, seed=seed, data_seed=seed, max_steps=steps,
        warmup_steps=warmup_steps(train.warmup, steps), weight_decay=train.weight_decay, max_grad_norm=train.max_grad_norm,
        adam_beta1=train.adam_beta1, adam_beta2=train.adam_beta2, adam_epsilon=train.adam_epsilon,
    )  # fmt: skip
    best = _Best(data, recipe, tokenizer, folder, device)
    trainer = Trainer(model, arguments, data_collator=plain.collate, train_dataset=rows, callbacks=[best])
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    assert best.results
    return _run(seed, best.results, metric, time.perf_counter() - started_at_s)


class _Best(TrainerCallback):
    """Judges the Trainer's model after each epoch, saved and loaded again, by the head's own figures on the first validation
    split, and keeps those of the best; they are seqeval's, and those of SQuAD's scripts (see the tests of the heads)."""

    def __init__(self, data: LabelledData, recipe: FinetuneRecipe, tokenizer: Any, folder: Path, device: str) -> None:
        self._head, self._split, self._seed = data.head, data.validation[0], recipe.train.seed
        self._metrics = data.head.metrics(recipe.task.metrics)
        self._features = data.head.features(self._split, RowEncoder.of(tokenizer, recipe.data))
        self._save = lambda model: save_model(model, tokenizer, folder)
        self._open = lambda: open_predictor(str(folder), device)
        self.results: dict[str, Any] = {}

    def on_epoch_end(self, *_: Any, model: Any = None, **__: Any) -> None:
        self._save(model)
        found, head = self._judged(self._open().logits(self._features)), self._head
        if not self.results or head.goodness(self._metrics[0], found) > head.goodness(self._metrics[0], self.results):
            self.results = found

    def _judged(self, logits: list[Any]) -> dict[str, Any]:
        one = scored(self._head, logits, self._features, self._split, self._metrics)
        tuned = self._head.tuned(one.predictions, self._split)
        if tuned is not self._head:
            one = scored(tuned, logits, self._features, self._split, self._metrics)
        return results_of([one], tuned, self._metrics, self._seed)
