"""``bertkit finetune``: labelled data → rows as ids → steps → the best epoch's model folder."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.data import DataRequest, LabelledData, check_inputs, load_labelled
from bertkit.io.atomic import write_json, write_text
from bertkit.runtime.batches import TOKENS_AT_ONCE
from bertkit.settings.recipes import Override, load
from bertkit.settings.schema import FinetuneRecipe
from bertkit.training import run_folder

if TYPE_CHECKING:
    from accelerate import Accelerator

    from bertkit.finetuning.evaluation import SplitEvaluator
    from bertkit.training.loop import Fitted

DEFAULT_MODEL = "google-bert/bert-base-uncased"


@dataclass(frozen=True)
class FinetuneRequest:
    """What a person asks of ``bertkit finetune``; see its options."""

    task: str | None = None
    data: Path | None = None
    train: str | None = None
    validation: str | None = None
    overrides: Sequence[Override] = ()
    model: str = DEFAULT_MODEL
    out: Path | None = None
    device: str = "auto"
    resume: bool = False
    overwrite: bool = False

    @property
    def folder(self) -> Path:
        """Where the run goes where nothing else is said."""
        return self.out or Path("runs") / f"finetune-{self.task or _short(self.train or 'own')}"


def _short(name: str) -> str:
    return Path(name.split(":")[0]).name.split(".")[0] or "own"


def load_recipe(request: FinetuneRequest) -> FinetuneRecipe:
    """The task's recipe (or the plain one, for data of one's own) with what was overridden."""
    return load(FinetuneRecipe, "finetune", request.task or "own", request.overrides).settings


def data_request(request: FinetuneRequest, recipe: FinetuneRecipe) -> DataRequest:
    """What labelled data is wanted."""
    return DataRequest(
        task=recipe.task,
        data=request.data,
        train=request.train,
        validation=request.validation,
        validation_split=recipe.data.validation_split,
        seed=recipe.train.seed,
    )


def finetune(request: FinetuneRequest) -> dict[str, Any]:
    """Fine-tunes a classifier and leaves a model folder; returns what ``run.json`` holds.

    Raises:
        BertkitError: anything a person can mend.
        Interrupted: a signal came, and a checkpoint was written.
    """
    recipe = load_recipe(request)
    check_inputs(data_request(request, recipe))
    out = request.folder
    with run_folder.claimed(out, request.resume, request.overwrite):
        if request.resume and run_folder.is_finished(out):
            console.note(console.plain(f"{out} is finished: nothing to resume"))
            return run_folder.read_run(out)
        data = load_labelled(data_request(request, recipe))
        for told in data.notes:
            console.note(console.plain(told))
        return finetune_on(data, recipe, request)


def finetune_on(data: LabelledData, recipe: FinetuneRecipe, request: FinetuneRequest) -> dict[str, Any]:
    """One run on labelled data that is loaded already, into ``request.folder``."""
    from bertkit import hardware
    from bertkit.training import checkpoint
    from bertkit.training.loop import fit

    if data.train is None or data.train.labels is None:
        raise BertkitError(f"task {request.task} has no training rows: it is predicted by a model of another task")
    out = request.folder
    device = hardware.choose_device(request.device)
    precision = hardware.choose_precision(recipe.train.mixed_precision, device)
    accelerator = hardware.build_accelerator(device, precision, recipe.train.report_to, str(out))
    run = _build(data, recipe, request, accelerator)
    found = checkpoint.newest_checkpoint(out) if request.resume else None
    if request.resume:
        run_folder.check_same_maths(out, recipe, run.facts["data_fingerprint"])
        console.note(console.plain(f"resuming from {found}" if found else f"no checkpoint in {out}: starting fresh"))
    elif request.overwrite:
        run_folder.clear(out)
    if accelerator.is_main_process:
        run_folder.record(out, recipe, run.facts)
    console.note(
        f"[bold]{console.plain(str(run.facts['task']))}[/]: {len(data.train.texts):,} rows to train on, "
        f"{', '.join(f'{len(split.texts):,} in {split.name}' for split in data.validation)}; "
        f"{run.facts['parameters'] / 1e6:,.1f}M parameters ({console.plain(request.model)}) on {run.facts['device']} "
        f"({'fp32' if precision == 'no' else precision}); {run.facts['max_steps']:,} steps → {console.plain(str(out))}"
    )
    return _finish(run, data, recipe, fit(run.job, accelerator, found), accelerator)


@dataclass(frozen=True)
class _Run:
    job: Any
    evaluator: "SplitEvaluator"
    facts: dict[str, Any]
    tokenizer: Any


def _build(data: LabelledData, recipe: FinetuneRecipe, request: FinetuneRequest, accelerator: "Accelerator") -> _Run:
    import torch

    from bertkit.finetuning.batches import Encoder, FinetunePlan
    from bertkit.finetuning.evaluation import SplitEvaluator
    from bertkit.finetuning.metrics import METRICS, check_names, metric_names
    from bertkit.finetuning.objective import ClassificationObjective
    from bertkit.models.bert import choose_attention, save_model
    from bertkit.models.classifier import new_classifier
    from bertkit.training.loop import Job

    assert data.train is not None
    assert data.train.labels is not None
    train = recipe.train
    model, tokenizer, notes = new_classifier(
        request.model, data.label_names, data.problem_type, train.dropout, train.seed, train.from_scratch
    )
    for told in notes:
        console.note(console.plain(told))
    _check_length(recipe.data.max_seq_length, model, request.model)
    encoder = Encoder(tokenizer, recipe.data.max_seq_length)
    encoded = encoder(data.train.texts)
    choose_attention(model, accelerator.device.type, accelerator.mixed_precision, int(encoded.lengths.max()))
    steps_per_epoch = -(-len(data.train.texts) // train.batch_size)
    steps = train.max_steps or max(1, math.ceil((train.epochs or 3) * steps_per_epoch))
    share = -(-train.batch_size // accelerator.num_processes)
    fits = max(1, TOKENS_AT_ONCE[accelerator.device.type] // int(encoded.lengths.max()))
    plan = FinetunePlan(
        encoded,
        data.train.labels,
        encoder.pad_id,
        train.batch_size,
        steps,
        train.seed,
        min(share, train.micro_batch_size or fits),
    )
    metrics = recipe.task.metrics or metric_names(data.problem_type, len(data.label_names))
    check_names(metrics, data.problem_type, len(data.label_names))
    sign = 1 if METRICS[metrics[0]].greater_is_better else -1
    evaluator = SplitEvaluator(accelerator, data.validation, encoder, metrics, data.problem_type)
    weights = balanced_weights(data.train.labels, len(data.label_names)) if train.class_weights == "balanced" else None
    settings = train.model_copy(update={"eval_steps": train.eval_steps or steps_per_epoch})
    facts = _facts(data, request, train, accelerator, tokenizer, model) | {"metrics": list(metrics), "max_steps": steps}
    job = Job(
        objective=ClassificationObjective(model, None if weights is None else torch.from_numpy(weights)),
        plan=plan,
        settings=settings,
        out=request.folder,
        save_model=lambda model, where: save_model(model, tokenizer, where),
        evaluate=evaluator if data.validation else None,
        better=(lambda found: sign * found[f"eval_{metrics[0]}"]) if data.validation else None,
        patience=train.early_stopping_patience,
    )
    return _Run(job, evaluator, facts, tokenizer)


def _facts(
    data: LabelledData, request: FinetuneRequest, train: Any, accelerator: "Accelerator", tokenizer: Any, model: Any
) -> dict[str, Any]:
    """What ``run.json`` says before the first step."""
    from bertkit import hardware

    assert data.train is not None
    return {
        "kind": "finetune",
        "out": str(request.folder),
        "task": request.task or request.train,
        "base_model": request.model,
        "data_fingerprint": data_fingerprint(data, tokenizer),
        "rows": {split.name: len(split.texts) for split in [data.train, *data.validation]},
        "device": hardware.describe_device(accelerator.device.type),
        "num_processes": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
        "seed": train.seed,
        "parameters": model.num_parameters(),
    }


def _check_length(max_seq_length: int, model: Any, name: str) -> None:
    positions = getattr(model.config, "max_position_embeddings", None)
    padding = [
        module.padding_idx
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
    ]
    if positions is not None and padding:
        positions -= padding[0] + 1  # as in RoBERTa, whose positions begin behind the padding's id
    if positions is not None and max_seq_length > positions:
        raise BertkitError(
            f"data.max_seq_length {max_seq_length} is over the {positions} positions of {name}: "
            f"use --seq-len {positions} or less"
        )


def balanced_weights(labels: np.ndarray, num_labels: int) -> np.ndarray:
    """float32 ``[classes]``: rows / (classes × rows of the class), as scikit-learn's "balanced".

    Raises:
        BertkitError: the labels are no classes.
    """
    if labels.dtype != np.int64:
        raise BertkitError("class_weights = 'balanced' needs one class a row; it does not fit these labels")
    counts = np.bincount(labels, minlength=num_labels)
    return (len(labels) / (len(counts) * np.maximum(counts, 1))).astype(np.float32)


def data_fingerprint(data: LabelledData, tokenizer: Any) -> str:
    """Hash of the rows and of everything that decides their ids."""
    import hashlib

    digest = hashlib.blake2b(digest_size=16)
    for split in [data.train, *data.validation]:
        if split is not None:
            digest.update(json.dumps(split.texts, ensure_ascii=False).encode())
            digest.update(b"" if split.labels is None else split.labels.tobytes())
    digest.update(tokenizer.backend_tokenizer.to_str().encode())
    return digest.hexdigest()


def _finish(
    run: _Run, data: LabelledData, recipe: FinetuneRecipe, fitted: "Fitted", accelerator: "Accelerator"
) -> dict:
    """The best checkpoint's weights, its figures over the whole validation set, and the model folder."""
    from bertkit.finetuning.card import classifier_card
    from bertkit.finetuning.evaluation import prediction_rows
    from bertkit.finetuning.results import evaluation_results
    from bertkit.models.bert import save_model
    from bertkit.training import checkpoint

    out, (progress, objective) = run.job.out, fitted
    best = out / f"checkpoint-{progress.best_step}" if progress.best_step else None
    if best is not None and progress.best_step != progress.step:
        checkpoint.load_weights(best, objective.model)
    figures = run.evaluator(objective, progress.step) if data.validation else {}
    how = {"seconds": progress.seconds, "skipped_steps": progress.skipped_steps, "best_step": progress.best_step}
    results = evaluation_results(figures, run.evaluator.scored, data, run.facts["metrics"], recipe.train.seed)
    record = {**run.facts, **how, "results": results, "finished": True}
    accelerator.wait_for_everyone()
    if not accelerator.is_main_process:
        return record
    save_model(objective.model, run.tokenizer, out)
    write_json(out / "eval_results.json", results)
    if run.evaluator.scored:
        scored = run.evaluator.scored[0]
        rows = prediction_rows(scored, data.label_names, data.problem_type)
        # The texts too: `bertkit report` shows what was got wrong.
        rows = [{**row, "text": list(texts)} for row, texts in zip(rows, scored.split.texts, strict=True)]
        write_text(out / "predictions.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    record = run_folder.record(out, recipe, record)
    write_text(out / "README.md", classifier_card(out, record, recipe, data.label_names))
    return record


def with_settings(request: FinetuneRequest, out: Path, **settings: Any) -> FinetuneRequest:
    """The same request into another folder, with some settings of [train] replaced."""
    kept = [one for one in request.overrides if one.key.removeprefix("train.") not in settings]
    added = [Override(f"train.{name}", value, f"--{name}") for name, value in settings.items()]
    return replace(request, out=out, overrides=[*kept, *added])
