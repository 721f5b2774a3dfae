"""``bertkit finetune``: labelled rows → features → optimizer steps → the model folder of the best epoch."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.card import finetuned_card
from bertkit.finetuning.data import load_labelled
from bertkit.finetuning.evaluation import results_of
from bertkit.finetuning.features import Split
from bertkit.finetuning.fingerprint import data_fingerprint
from bertkit.finetuning.job import Setup, set_up
from bertkit.finetuning.labelled import LabelledData
from bertkit.finetuning.request import (
    FinetuneRequest,
    check_model,
    completed,
    data_request,
    load_recipe,
    recorded_recipe,
)
from bertkit.finetuning.row_sources import check_inputs
from bertkit.io.atomic import write_json, write_text
from bertkit.io.hub import model_folder
from bertkit.io.structured import read_toml
from bertkit.models.bert import save_model
from bertkit.models.headed import encoder_tokenizer
from bertkit.models.saved import check_saved, hide_features
from bertkit.settings.recipes import flat
from bertkit.settings.schema import FinetuneRecipe
from bertkit.signals import stopped_cleanly
from bertkit.training import ranks, resume_checks, run_folder
from bertkit.training.record import RunRecord, read_record
from bertkit.training.schedule import say_long_warmup

if TYPE_CHECKING:
    from accelerate import Accelerator

    from bertkit.training.loop import Fitted


@stopped_cleanly(run_folder.GO_ON)
def finetune(request: FinetuneRequest) -> RunRecord:
    """Fine-tunes a model and writes its folder; returns the record of the run.

    Raises:
        BertkitError: an error that a person can correct.
        Interrupted: a signal arrived, and a checkpoint was written.
    """
    request = completed(request)
    recipe = load_recipe(request)
    check_inputs(data_request(request, recipe))
    out = request.folder
    with ranks.together(request.device), run_folder.claimed(out, request.resume, request.overwrite):
        if request.resume:
            resume_checks.check_same_kind(out, "finetune")
        check_model(request, recipe)
        data = load_labelled(data_request(request, recipe))
        for told in data.notes:
            console.note(console.plain(told))
        if request.resume and read_record(out).finished:
            record = begun(data, recipe, request, fingerprint_of(data, request))
            console.note(console.plain(f"{out} is finished: nothing to resume"))
            return record
        return finetune_on(data, recipe, request)


def finetune_on(data: LabelledData, recipe: FinetuneRecipe, request: FinetuneRequest) -> RunRecord:
    """Makes one run on labelled data that is loaded already, in ``request.folder``.

    Raises:
        BertkitError: as for ``finetune``.
    """
    from bertkit import hardware
    from bertkit.training import checkpoint
    from bertkit.training.loop import fit
    from bertkit.training.optimizer import check_optimizer

    if data.train is None or data.train.labels is None:
        raise BertkitError(f"task {request.task} has no training rows: it is predicted by a model of another task")
    out = request.folder
    if request.resume:
        resume_checks.check_same_base(out, request.model)
    recipe = recorded_recipe(data, recipe, request)
    if recipe.train.deterministic:
        hardware.be_deterministic()
    device = hardware.choose_device(request.device)
    precision = hardware.choose_precision(recipe.train.mixed_precision, device)
    accelerator = hardware.build_accelerator(device, precision, recipe.train.report_to, str(out))
    run = set_up(data, recipe, request, accelerator)
    check_optimizer(run.job.objective, recipe.train)  # before anything is overwritten
    ranks.agree(
        {
            **flat(recipe.model_dump()),
            **{name: run.facts[name] for name in ("base_model", "mixed_precision", "data_fingerprint")},
            "--resume": request.resume,
        }
    )
    if accelerator.is_main_process:
        total_steps, keeps_best = run.facts["max_steps"], run.job.better is not None
        run_folder.check_checkpoints_fit(out, run.facts["parameters"], total_steps, run.job.settings, keeps_best)
    newest = checkpoint.newest_checkpoint(out) if request.resume else None
    if request.resume:
        check_resumes(out, recipe, run.facts["data_fingerprint"])
        resume_checks.say_other_precision(out, accelerator.mixed_precision)
        console.note(console.plain(f"resuming from {newest}" if newest else f"no checkpoint in {out}: starting fresh"))
    elif request.overwrite:
        run_folder.clear(out)
    if accelerator.is_main_process:
        run_folder.record(out, recipe, run.facts)
    _say_what_starts(data.train, data.validation, run.facts)
    say_long_warmup(recipe.train.warmup, run.facts["max_steps"])
    return _finish(run, data, recipe, fit(run.job, accelerator, newest), accelerator)


def _say_what_starts(train: Split, validation: Sequence[Split], facts: dict[str, Any]) -> None:
    precision = facts["mixed_precision"]
    console.note(
        f"[bold]{console.plain(facts['task'])}[/]: {console.counted(len(train.texts), 'row', 'rows')} to train on, "
        f"{', '.join(f'{len(split.texts):,} in {split.name}' for split in validation)}; "
        f"{console.in_millions(facts['parameters'])} parameters ({console.plain(facts['base_model'])}) on {facts['device']} "
        f"({'fp32' if precision == 'no' else precision}); {console.counted(facts['max_steps'], 'step', 'steps')} → "
        f"{console.plain(facts['out'])}"
    )


def fingerprint_of(data: LabelledData, request: FinetuneRequest) -> str:
    """The fingerprint of the data, as a run of the request records it."""
    return data_fingerprint(data, encoder_tokenizer(model_folder(request.model), request.model))


def begun(data: LabelledData, recipe: FinetuneRecipe, request: FinetuneRequest, fingerprint: str) -> RunRecord:
    """The record of the run that is in the request's folder, which is the one that is asked for.

    Raises:
        BertkitError: it was begun with other settings, data or another model.
    """
    resume_checks.check_same_base(request.folder, request.model)
    with console.kept():  # what is told of its learning rate, of which the run itself has told
        recipe = recorded_recipe(data, recipe, request)
    check_resumes(request.folder, recipe, fingerprint)
    return read_record(request.folder)


def check_resumes(out: Path, recipe: FinetuneRecipe, fingerprint: str) -> None:
    """Refuses a resume with other settings or rows than the run in ``out`` began with, as ``resume_checks.check_same_maths``.

    Early runs do not record the columns that were recognised: the fingerprint tells whether the same ones are read.
    """
    columns = {name for name in flat(recipe.model_dump()) if re.match(r"task\.(text|label|columns)\b", name)}
    path = out / run_folder.RECIPE
    recorded = flat(read_toml(path)) if path.is_file() else {}
    resume_checks.check_same_maths(out, recipe, fingerprint, {name for name in columns if not recorded.get(name)})


def _finish(
    run: Setup, data: LabelledData, recipe: FinetuneRecipe, fitted: "Fitted", accelerator: "Accelerator"
) -> RunRecord:
    """Ends a run: loads the best weights, evaluates them on the whole validation set, and writes the model folder."""
    from bertkit.training import checkpoint

    out, (progress, objective) = run.job.out, fitted
    best = out / f"checkpoint-{progress.best_step}" if progress.best_step else None
    if best is not None and progress.best_step != progress.step:
        checkpoint.load_best_weights(best, objective.model)
    calibration: dict[str, float] = {}
    head = run.evaluator.head = run.evaluator.head.finished(objective.model)
    if data.validation:
        run.evaluator(objective, progress.step)
        calibration = run.evaluator.calibrate(objective.model) if recipe.train.calibrate else {}
        head = run.evaluator.tune()
        objective.model.config.update(head.model_config())
    how = {"seconds": progress.seconds, "skipped_steps": progress.skipped_steps, "best_step": progress.best_step}
    results = calibration | results_of(run.evaluator.scored, head, run.facts["metrics"], recipe.train.seed)
    facts = {**run.facts, **how, "results": results, "finished": True}
    accelerator.wait_for_everyone()
    if not accelerator.is_main_process:
        return RunRecord(**facts)
    save_model(objective.model, run.tokenizer, out)
    hide_features(out)
    check_saved(out, objective.model)
    write_json(out / run_folder.RESULTS, results)
    if run.evaluator.scored:
        first = run.evaluator.scored[0]
        # With the texts, for `bertkit report` shows the errors.
        rows = ({**row, **head.shown(text)} for row, text in zip(first.predictions, first.split.texts, strict=True))
        write_text(out / run_folder.PREDICTIONS, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    record = run_folder.record(out, recipe, facts)
    write_text(out / "README.md", finetuned_card(out, record, recipe, head))
    return record
