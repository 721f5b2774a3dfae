"""``bertkit finetune``: labelled rows → features → optimizer steps → the model folder of the best epoch."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.assets import EMBEDDED_LABELLED
from bertkit.errors import BertkitError
from bertkit.finetuning.card import finetuned_card
from bertkit.finetuning.chosen_columns import with_columns
from bertkit.finetuning.data import DataRequest, LabelledData, check_inputs, load_labelled, rows_without_a_hub
from bertkit.finetuning.evaluation import results_of
from bertkit.finetuning.fingerprint import data_fingerprint
from bertkit.finetuning.job import Setup, set_up
from bertkit.finetuning.rate import FROZEN_RATES, finetuning_rate
from bertkit.io.atomic import write_json, write_text
from bertkit.io.connection import is_offline
from bertkit.io.hub import EMBEDDED, NotFetchedError, model_folder
from bertkit.io.memory import MemoryRows
from bertkit.io.structured import read_toml
from bertkit.models.bert import save_model
from bertkit.models.folder import checked_folder, read_config
from bertkit.models.headed import encoder_tokenizer
from bertkit.models.saved import check_saved, hide_features
from bertkit.settings.recipes import Override, Resolved, given, load
from bertkit.settings.schema import WIDTH_OF_RECIPES, FinetuneRecipe
from bertkit.signals import stopped_cleanly
from bertkit.training import ranks, run_folder
from bertkit.training.record import RunRecord, read_record
from bertkit.training.schedule import say_long_warmup

if TYPE_CHECKING:
    from accelerate import Accelerator

    from bertkit.training.loop import Fitted

DEFAULT_MODEL = "google-bert/bert-base-uncased"


@dataclass(frozen=True)
class FinetuneRequest:
    """The arguments of ``bertkit finetune``; see its options."""

    task: str | None = None
    data: Path | None = None
    train: str | MemoryRows | None = None
    validation: str | MemoryRows | None = None
    overrides: Sequence[Override] = ()
    model: str = ""
    """The model; empty is bert-base-uncased, or the embedded model if neither task nor rows are named."""
    out: Path | None = None
    device: str = "auto"
    resume: bool = False
    overwrite: bool = False
    skip_bad_rows: bool = False

    @property
    def folder(self) -> Path:
        """The run's folder: ``out``, or the default one."""
        named = self.task or ""
        task = Path(named).stem if _is_own(self) else named.replace(":", "-")
        return self.out or Path("runs") / f"finetune-{task or _short(self.train)}"


def _short(train: str | MemoryRows | None) -> str:
    name = train if isinstance(train, str) else "own"
    return Path(name.split(":")[0]).name.split(".")[0] or "own"


def completed(request: FinetuneRequest) -> FinetuneRequest:
    """The request with defaults filled in: the model, and without task and rows the labelled texts of bertkit.

    Raises:
        BertkitError: both a task and rows are named, or held-out rows alone, or other options that exclude each other.
    """
    if request.task is not None and request.train is not None:
        raise BertkitError("give --task NAME (see bertkit recipes), or --train FILE with rows of your own, not both")
    split = given(request.overrides, "data.validation_split")
    excluding = {
        "--validation goes with --train FILE: a task has held-out rows of its own": request.task and request.validation,
        "--data goes with --task NAME, whose files are there": request.train and request.data,
        "--skip-bad-rows goes with --train FILE: of a task no row is left out": request.task and request.skip_bad_rows,
        "give --validation FILE or --validation-split, not both": request.validation and split,
        "--validation-split goes with --train FILE: a task has held-out rows of its own": request.task and split,
    }
    for message in (message for message, both in excluding.items() if both):
        raise BertkitError(message)
    if request.task is not None or request.train is not None:
        return replace(request, model=request.model or DEFAULT_MODEL)
    alone = {"--validation": request.validation, "--data": request.data, split.origin if split else "": split}
    for name in (name for name, value in alone.items() if value is not None):
        raise BertkitError(f"{name} alone does not say what to train on: add --train FILE, or --task NAME")
    model = request.model or EMBEDDED
    console.note(
        f"no --task and no --train given: using bertkit's own labelled texts, which tell sentences from scrambled words, "
        f"with --model {console.plain(model)}"
    )
    train, validation = (str(EMBEDDED_LABELLED / f"{name}.tsv") for name in ("train", "validation"))
    out = request.out or Path("runs") / "finetune-word-order"
    return replace(request, train=train, validation=validation, model=model, out=out)


def check_model(request: FinetuneRequest, recipe: FinetuneRecipe) -> None:
    """Checks the model before the rows are read. If the hub cannot be reached for it, the message mentions the rows too.

    Raises:
        BertkitError: the model cannot be fetched, its files do not belong together, or the run would overwrite it.
    """
    if request.overwrite:
        run_folder.check_apart(request.folder, {"--model": request.model})
    try:
        checked_folder(request.model)
    except NotFetchedError as error:
        rows, dataset = "", recipe.task.dataset
        if is_offline() and dataset and request.train is None and request.data is None:
            rows = f"; the rows of {request.task} come from the hub as well: {rows_without_a_hub(dataset)}"
        raise BertkitError(f"{error}: --model {EMBEDDED}{rows}") from None


def load_recipe(request: FinetuneRequest) -> FinetuneRecipe:
    """The recipe of the task (or the general one, for a person's own rows) with the overrides."""
    return _resolved(request).settings


def _resolved(request: FinetuneRequest) -> Resolved[FinetuneRecipe]:
    return load(FinetuneRecipe, "finetune", request.task or "own", request.overrides)


def data_request(request: FinetuneRequest, recipe: FinetuneRecipe) -> DataRequest:
    """Which labelled rows the request asks for."""
    return DataRequest(
        task=recipe.task,
        data=request.data,
        train=request.train,
        validation=request.validation,
        validation_split=recipe.data.validation_split,
        seed=recipe.train.seed,
        skip_bad_rows=request.skip_bad_rows,
        weighed=recipe.train.class_weights == "balanced",
    )


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
            run_folder.check_same_kind(out, "finetune")
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
        run_folder.check_same_base(out, request.model)
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
            **run_folder.flat(recipe.model_dump()),
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
        run_folder.say_other_precision(out, accelerator.mixed_precision)
        console.note(console.plain(f"resuming from {newest}" if newest else f"no checkpoint in {out}: starting fresh"))
    elif request.overwrite:
        run_folder.clear(out)
    if accelerator.is_main_process:
        run_folder.record(out, recipe, run.facts)
    console.note(
        f"[bold]{console.plain(str(run.facts['task']))}[/]: {console.counted(len(data.train.texts), 'row', 'rows')} to train on, "
        f"{', '.join(f'{len(split.texts):,} in {split.name}' for split in data.validation)}; "
        f"{run.facts['parameters'] / 1e6:,.1f}M parameters ({console.plain(request.model)}) on {run.facts['device']} "
        f"({'fp32' if precision == 'no' else precision}); {console.counted(run.facts['max_steps'], 'step', 'steps')} → "
        f"{console.plain(str(out))}"
    )
    say_long_warmup(recipe.train.warmup, run.facts["max_steps"])
    return _finish(run, data, recipe, fit(run.job, accelerator, newest), accelerator)


def fingerprint_of(data: LabelledData, request: FinetuneRequest) -> str:
    """The fingerprint of the data, as a run of the request records it."""
    return data_fingerprint(data, encoder_tokenizer(model_folder(request.model), request.model))


def begun(data: LabelledData, recipe: FinetuneRecipe, request: FinetuneRequest, fingerprint: str) -> RunRecord:
    """The record of the run that is in the request's folder, which is the one that is asked for.

    Raises:
        BertkitError: it was begun with other settings, data or another model.
    """
    run_folder.check_same_base(request.folder, request.model)
    with console.kept():  # what is told of its learning rate, of which the run itself has told
        recipe = recorded_recipe(data, recipe, request)
    check_resumes(request.folder, recipe, fingerprint)
    return read_record(request.folder)


def recorded_recipe(data: LabelledData, recipe: FinetuneRecipe, request: FinetuneRequest) -> FinetuneRecipe:
    """The recipe as a run's folder records it: with the head and the columns of the rows, and a learning rate that fits the
    model."""
    # The head is recorded by its name: two heads may share a class of transformers, which is all that config.json tells.
    task = with_columns(recipe.task, data.columns).model_copy(update={"head": data.head.name})
    return with_fitting_rate(recipe, request).model_copy(update={"task": task})


def check_resumes(out: Path, recipe: FinetuneRecipe, fingerprint: str) -> None:
    """Refuses a resume with other settings or rows than the run in ``out`` began with, as ``run_folder.check_same_maths``.

    Early runs do not record the columns that were recognised: the fingerprint tells whether the same ones are read.
    """
    columns = {name for name in run_folder.flat(recipe.model_dump()) if re.match(r"task\.(text|label|columns)\b", name)}
    path = out / run_folder.RECIPE
    begun = run_folder.flat(read_toml(path)) if path.is_file() else {}
    run_folder.check_same_maths(out, recipe, fingerprint, {name for name in columns if not begun.get(name)})


def with_fitting_rate(recipe: FinetuneRecipe, request: FinetuneRequest) -> FinetuneRecipe:
    """The recipe with a learning rate for the width of the model and for what is trained; a person's own rate is kept."""
    width = read_config(model_folder(request.model), request.model).get("hidden_size")
    if _is_rate_given(request, recipe) or not isinstance(width, int):
        return recipe
    whose = "default" if _is_own(request) else "recipe's"
    train, theirs = recipe.train, f"the {whose} {recipe.train.learning_rate:.0e} is for"
    if train.encoder == "frozen":
        rate, why = FROZEN_RATES[train.classifier], f"as the encoder is frozen: {theirs} all of a model"
    else:
        rate = finetuning_rate(train.learning_rate, width)
        why = f"as the model is {width} wide: {theirs} {WIDTH_OF_RECIPES}"
    if rate == train.learning_rate:
        return recipe
    console.note(f"learning rate {rate:.1e}, {why} (--lr says otherwise)")
    return recipe.model_copy(update={"train": train.model_copy(update={"learning_rate": rate})})


def _is_own(request: FinetuneRequest) -> bool:
    """Whether the recipe is a person's own file."""
    return (request.task or "").endswith(".toml")


def _is_rate_given(request: FinetuneRequest, recipe: FinetuneRecipe) -> bool:
    """Whether a person gave the learning rate, as an option or in a recipe of their own."""
    if given(request.overrides, "train.learning_rate"):
        return True
    if not _is_own(request):
        return False
    if "train.learning_rate" in _resolved(request).origins:
        return True
    # Early runs of such a recipe kept the default for every model; they are resumed with it.
    begun = request.folder / run_folder.RECIPE
    recorded = run_folder.flat(read_toml(begun)) if request.resume and begun.is_file() else {}
    return recorded.get("train.learning_rate") == recipe.train.learning_rate


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
        told = zip(first.predictions, map(head.shown, first.split.texts), strict=True)
        rows = [{**row, **text} for row, text in told]
        write_text(out / run_folder.PREDICTIONS, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    record = run_folder.record(out, recipe, facts)
    write_text(out / "README.md", finetuned_card(out, record, recipe, head))
    return record


def with_settings(request: FinetuneRequest, out: Path, **settings: Any) -> FinetuneRequest:
    """The same request for another folder, with some settings replaced; those of [train] are named without "train."."""
    full = {name if "." in name else f"train.{name}": value for name, value in settings.items()}
    kept = [one for one in request.overrides if not {one.key, f"train.{one.key}"} & full.keys()]
    added = [Override(key, value, f"--grid {key}={value}") for key, value in full.items()]
    return replace(request, out=out, overrides=[*kept, *added])
