"""``bertkit pretrain``: corpus → tokenizer → prepared store → steps → model folder, in that order."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.assets import EMBEDDED_CORPUS
from bertkit.corpus.sources import find_sources
from bertkit.errors import BertkitError
from bertkit.io.atomic import write_text
from bertkit.pretraining.dataset import EvaluationSet, PretrainingPlan, collator_for, sampler_for
from bertkit.pretraining.evaluation import Evaluator, LearningWatch
from bertkit.pretraining.prepare import Prepared, is_prepared, prepare_for_training, say_changes
from bertkit.settings.recipes import Override, load
from bertkit.settings.schema import PretrainRecipe
from bertkit.training import ranks, run_folder

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import BertForPreTraining

    from bertkit.training.loop import Job

# Tokens a device computes at a time where nothing else is said: enough to keep it busy, little enough to fit. On a GPU
# what fits is tried out.
_MICRO_BATCH_TOKENS = {"cpu": 4_096, "mps": 8_192}

_ANY_LENGTH = 2**31


@dataclass(frozen=True)
class PretrainRequest:
    """What a person asks of ``bertkit pretrain``; see its options."""

    corpus: Sequence[str] = ()
    out: Path | None = None
    recipe: str | None = None
    overrides: Sequence[Override] = ()
    model: str | None = None
    tokenizer: str | None = None
    validation: Sequence[str] = ()
    device: str = "auto"
    budget_s: float | None = None
    """Seconds from the call to the end of the run; decides the number of steps."""
    dry_run: bool = False
    """Only say what would be trained and how long it would take."""
    resume: bool = False
    overwrite: bool = False

    @property
    def inputs(self) -> list[str]:
        """The corpus, or the embedded one where none is given."""
        return list(self.corpus) or [str(EMBEDDED_CORPUS)]

    @property
    def folder(self) -> Path:
        """Where the run goes: ``--out``, or ``runs/pretrain-`` and the corpus's name."""
        name = "stdin" if self.inputs[0] == "-" else Path(self.inputs[0]).name.split(".")[0]
        return self.out or Path("runs") / f"pretrain-{name.replace('*', '').strip('-_ ') or 'corpus'}"


def pretrain(request: PretrainRequest) -> dict[str, Any]:
    """Pretrains a BERT and leaves a model folder; returns what ``run.json`` holds (of a dry run, what it would say).

    Raises:
        BertkitError: anything a person can mend: see «What bad input gets» in CONTRIBUTING.md.
        Interrupted: a signal came, and a checkpoint was written.
    """
    started_at_s = time.monotonic()
    if not request.corpus:
        console.note(f"no corpus given: using the embedded one, {EMBEDDED_CORPUS.name}, simple stories in English")
    _check_inputs(request)
    with ranks.together(request.device):
        if request.dry_run:
            return _train(request, started_at_s)
        with run_folder.claimed(request.folder, request.resume, request.overwrite):
            if request.resume and run_folder.is_finished(request.folder):
                console.note(console.plain(f"{request.folder} is finished: nothing to resume"))
                return run_folder.read_run(request.folder)
            return _train(request, started_at_s)


def inspect(request: PretrainRequest) -> tuple[PretrainingPlan, Prepared, PretrainRecipe]:
    """What ``pretrain`` would train on, without training: the plan of its steps, the corpus and the recipe.

    Raises:
        BertkitError: as ``pretrain`` before its first step.
    """
    from bertkit import hardware

    _check_inputs(request)
    _, recipe = _recipe(request, hardware.choose_device(request.device))
    corpus = _corpus(request, recipe)
    whole = recipe.train.batch_size
    return _plan(recipe, corpus, partial(_micro_batch_size, whole, whole, 1)), corpus, recipe


def _check_inputs(request: PretrainRequest) -> None:
    """All that can be known to be wrong before anything heavy is imported."""
    load(PretrainRecipe, "pretrain", request.recipe or "tiny", _overrides(request))
    steps_given = [one for one in request.overrides if one.key.rpartition(".")[2] in ("max_steps", "epochs")]
    if request.budget_s is not None and steps_given:
        raise BertkitError(f"--budget chooses the number of steps: leave {steps_given[0].origin} out, or --budget")
    if request.recipe == "adapt" and request.model is None:
        raise BertkitError("the recipe adapt goes on from a model: give --model with a folder or a hub name")
    if not is_prepared(request.inputs):
        find_sources(request.inputs)
    if request.validation and not is_prepared(request.validation):
        find_sources(request.validation)


def _overrides(request: PretrainRequest) -> list[Override]:
    """What was asked for, and how long a text the model is to read that is gone on from: at least what it does now."""
    if request.model is None:
        return list(request.overrides)
    from bertkit.models.folder import max_positions

    def reading(tokens: int) -> list[Override]:
        return [Override("model.max_position_embeddings", tokens, f"--model {request.model}"), *request.overrides]

    known = max_positions(request.model)
    asked = load(PretrainRecipe, "pretrain", request.recipe or "adapt", reading(_ANY_LENGTH)).settings.data.phases
    return reading(max(known, *(tokens for _, tokens in asked)))


@dataclass(frozen=True)
class _Run:
    """A run that is ready to begin."""

    request: PretrainRequest
    recipe_name: str
    recipe: PretrainRecipe
    corpus: Prepared
    model: "BertForPreTraining"
    accelerator: "Accelerator"
    micro_batch_tokens: int | None
    """What a device computes at a time; None where that is yet to be found."""


def _set_up(request: PretrainRequest) -> _Run:
    from bertkit import hardware
    from bertkit.models.bert import choose_attention

    device = hardware.choose_device(request.device)
    name, recipe = _recipe(request, device)
    precision = hardware.choose_precision(recipe.train.mixed_precision, device)
    corpus = _corpus(request, recipe)
    if corpus.text is not None:
        say_changes(corpus.text)
    model = _model(request, recipe, corpus)
    choose_attention(model, device, precision, max(tokens for _, tokens in recipe.data.phases))
    accelerator = hardware.build_accelerator(device, precision, recipe.train.report_to, str(request.folder))
    # A resume computes as the run began, to the bit.
    known = run_folder.read_run(request.folder).get("micro_batch_tokens") if request.resume else None
    return _Run(request, name, recipe, corpus, model, accelerator, known or _MICRO_BATCH_TOKENS.get(device))


def _recipe(request: PretrainRequest, device: str) -> tuple[str, PretrainRecipe]:
    """The recipe that was asked for, or the one that suits the device, with what was overridden."""
    from bertkit.models.folder import check_pairs

    name = request.recipe or ("adapt" if request.model else "base" if device == "cuda" else "tiny")
    recipe = load(PretrainRecipe, "pretrain", name, _overrides(request)).settings
    if request.model is not None and recipe.data.sentence_objective != "none":
        check_pairs(request.model)
    if request.budget_s is not None and request.resume:
        # The steps of a budget are chosen once.
        recipe = with_steps(recipe, run_folder.read_run(request.folder).get("max_steps") or recipe.train.max_steps)
    return name, recipe


def _corpus(request: PretrainRequest, recipe: PretrainRecipe) -> Prepared:
    from bertkit.models.folder import bert_folder
    from bertkit.models.tokenizer import load_tokenizer

    given = request.tokenizer or (str(bert_folder(request.model)) if request.model else None)
    return prepare_for_training(request.inputs, request.validation, load_tokenizer(given) if given else None, recipe)


def _model(request: PretrainRequest, recipe: PretrainRecipe, corpus: Prepared) -> "BertForPreTraining":
    """A new BERT, or the one to go on from."""
    from bertkit.models.bert import load_bert_for_pretraining, new_bert

    if request.model is None:
        corpus.tokenizer.model_max_length = recipe.model.max_position_embeddings
        return new_bert(recipe.model, corpus.tokenizer, recipe.train.seed)
    positions = recipe.model.max_position_embeddings
    model, _, notes = load_bert_for_pretraining(request.model, corpus.tokenizer, recipe.train.seed, positions)
    corpus.tokenizer.model_max_length = positions
    for told in notes:
        console.note(console.plain(told))
    return model


def total_steps(recipe: PretrainRecipe, corpus: Prepared) -> int:
    """``max_steps``, or the steps that ``epochs`` passes over the training documents take.

    Raises:
        BertkitError: the corpus has fewer examples than one batch.
    """
    batch_size, epochs_a_step = recipe.train.batch_size, 0.0
    for share, tokens in recipe.data.phases:
        examples = len(sampler_for(corpus.store, corpus.training, recipe.data, tokens, recipe.train.seed))
        if examples < batch_size:
            raise BertkitError(
                f"the corpus has {corpus.training.tokens:,} tokens to train on, which are {examples:,} examples of "
                f"{tokens}: fewer than one batch of {batch_size}; give more text, or lower --batch-size"
            )
        epochs_a_step += share * batch_size / examples
    if recipe.train.max_steps is not None:
        return recipe.train.max_steps
    return max(1, round((recipe.train.epochs or 1) / epochs_a_step))


def _plan(recipe: PretrainRecipe, corpus: Prepared, micro_batch_size: Callable[[int], int]) -> PretrainingPlan:
    return PretrainingPlan(
        corpus.store,
        corpus.training,
        recipe.data,
        collator_for(corpus.tokenizer, recipe.data),
        recipe.train.batch_size,
        total_steps(recipe, corpus),
        recipe.train.seed,
        micro_batch_size,
    )


def _micro_batch_size(given: int | None, share: int, budget_tokens: int, max_seq_length: int) -> int:
    """Sequences of a length that a device computes at a time (a function of its own: data workers are sent it)."""
    return min(share, given or max(1, budget_tokens // max_seq_length))


def _job(run: _Run) -> "Job":
    """The model with its loss, the steps, and how they are evaluated and saved."""
    from bertkit.models.bert import save_model
    from bertkit.pretraining.objective import BertPretrainingObjective
    from bertkit.training.loop import Job

    recipe, corpus, accelerator = run.recipe, run.corpus, run.accelerator
    share = -(-recipe.train.batch_size // accelerator.num_processes)
    budget = run.micro_batch_tokens or 1  # sequences of any length are tried one at a time until more is known
    micro_batch_size = partial(_micro_batch_size, recipe.train.micro_batch_size, share, budget)

    @cache
    def evaluation_set(max_seq_length: int) -> EvaluationSet:
        collate = collator_for(corpus.tokenizer, recipe.data)
        return EvaluationSet(
            corpus.validation_store, corpus.validation, recipe.data, collate, max_seq_length, recipe.train.seed
        )

    plan = _plan(recipe, corpus, micro_batch_size)
    evaluator = Evaluator(accelerator, evaluation_set, plan.max_seq_length, micro_batch_size)
    return Job(
        objective=BertPretrainingObjective(run.model, recipe.data.sentence_objective != "none"),
        plan=plan,
        settings=recipe.train,
        out=run.request.folder,
        save_model=lambda model, where: save_model(model, corpus.tokenizer, where),
        evaluate=evaluator if len(evaluation_set(plan.max_seq_length(0))) else None,
        watch=LearningWatch(corpus.baseline, plan.total_steps),
    )


def _same_on_all_ranks(run: _Run) -> dict[str, Any]:
    """What the ranks must have in common, by the names that people know."""
    info, request = run.corpus.store.info, run.request
    return {
        **run_folder.flat(run.recipe.model_dump()),
        "precision": run.accelerator.mixed_precision,
        "the tokenizer": f"{len(run.corpus.tokenizer):,} word pieces ({info.tokenizer_fingerprint})",
        "the data": f"{info.tokens:,} tokens ({run.corpus.fingerprint})",
        "--resume": request.resume,
        "--budget": request.budget_s,
    }


def _facts(run: _Run, total_steps: int) -> dict[str, Any]:
    """What ``run.json`` says before the first step."""
    from bertkit import hardware

    info, accelerator = run.corpus.store.info, run.accelerator
    return {
        "kind": "pretrain",
        "out": str(run.request.folder),
        "recipe": run.recipe_name,
        "corpus": info.sources,
        "data_fingerprint": run.corpus.fingerprint,
        "base_model": run.request.model,
        "device": hardware.describe_device(accelerator.device.type),
        "num_processes": accelerator.num_processes,
        "mixed_precision": accelerator.mixed_precision,
        "batch_size": run.recipe.train.batch_size,
        "micro_batch_tokens": run.micro_batch_tokens,
        "seed": run.recipe.train.seed,
        "parameters": run.model.num_parameters(),
        "documents": info.documents,
        "sentences": info.sentences,
        "tokens_in_corpus": info.tokens,
        "training_tokens": run.corpus.training.tokens,
        "held_out_tokens": run.corpus.validation.tokens,
        "unigram_entropy": run.corpus.baseline.entropy,
        "most_frequent_token_share": run.corpus.baseline.most_frequent,
        "max_steps": total_steps,
    }


def _train(request: PretrainRequest, started_at_s: float) -> dict[str, Any]:
    from bertkit import hardware
    from bertkit.models.bert import save_model
    from bertkit.models.saved import check_saved
    from bertkit.training import checkpoint
    from bertkit.training.loop import fit

    run, out = _set_up(request), request.folder
    accelerator = run.accelerator
    ranks.agree(_same_on_all_ranks(run))
    found = checkpoint.newest_checkpoint(out) if request.resume else None
    if request.resume:
        run_folder.check_same_maths(out, run.recipe, run.corpus.fingerprint)
        console.note(console.plain(f"resuming from {found}" if found else f"no checkpoint in {out}: starting fresh"))
    with hardware.memory_errors():
        run, job, facts = _planned(run, started_at_s, checkpoint.read_progress(found).step if found else 0)
    if request.dry_run:
        return facts
    if accelerator.is_main_process:
        run_folder.check_space(out, facts["parameters"], job.plan.total_steps, run.recipe.train)
    if request.overwrite and not request.resume:
        run_folder.clear(out)
    if accelerator.is_main_process:
        run_folder.record(out, run.recipe, facts)
    progress, objective = fit(job, accelerator, found)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        save_model(objective.model, run.corpus.tokenizer, out)
        check_saved(out, objective.model)
        facts = _finish(run, {**facts, "seconds": progress.seconds, "skipped_steps": progress.skipped_steps})
    return facts


def _planned(run: _Run, started_at_s: float, steps_done: int) -> "tuple[_Run, Job, dict[str, Any]]":
    """The run with what a device computes at a time, and the steps of its budget; what starts, said and for run.json."""
    from bertkit.pretraining import budget
    from bertkit.training.step_cost import step_costs, steps_within

    request, job = run.request, _job(run)
    if run.micro_batch_tokens is None and run.recipe.train.micro_batch_size is None:
        found = budget.micro_batch_tokens(job, run.accelerator)
        run = replace(run, micro_batch_tokens=found)
        job = _job(run)
    plan = budget.plan_of(job)
    costs = step_costs(job.objective, plan, plan.stretches(), run.accelerator)
    if request.budget_s is not None and not (request.resume and run_folder.read_run(request.folder)):
        left_s = request.budget_s - (time.monotonic() - started_at_s)
        steps = steps_within(
            left_s, costs, run.recipe.data.max_eval_examples, run.recipe.train.batch_size, run.recipe.train.eval_steps
        )
        run = replace(run, recipe=with_steps(run.recipe, ranks.from_main(steps)))
        job = _job(run)
        stretches = budget.plan_of(job).stretches()
        costs = [cost._replace(steps=stretch) for cost, stretch in zip(costs, stretches, strict=False)]
    facts = _facts(run, job.plan.total_steps)
    budget.say_what_starts(job, run.accelerator, facts, costs, steps_done)
    return run, job, facts


def with_steps(recipe: PretrainRecipe, max_steps: int | None) -> PretrainRecipe:
    """The recipe with another number of steps."""
    train = recipe.train.model_copy(update={"max_steps": max_steps, "epochs": None})
    return recipe.model_copy(update={"train": train})


def _finish(run: _Run, facts: dict[str, Any]) -> dict[str, Any]:
    """Writes the record and the model card; on the main process only."""
    from bertkit.pretraining.card import pretraining_card
    from bertkit.training.metrics_log import read_metrics

    out = run.request.folder
    evaluations = [line for line in read_metrics(out) if "eval_loss" in line]
    results = evaluations[-1] if evaluations else {}
    record = run_folder.record(out, run.recipe, {**facts, "results": results, "finished": True})
    write_text(out / "README.md", pretraining_card(out, record, run.recipe))
    return record
