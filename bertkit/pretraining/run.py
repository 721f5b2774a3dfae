"""``bertkit pretrain``: corpus → tokenizer → prepared store → steps → model folder, in that order."""

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.console import listed
from bertkit.errors import BertkitError
from bertkit.io.atomic import write_text
from bertkit.models.bert import save_model
from bertkit.models.folder import bert_folder, read_config
from bertkit.models.saved import check_saved
from bertkit.pretraining import budget
from bertkit.pretraining.before_after import before_and_after
from bertkit.pretraining.card import pretraining_card
from bertkit.pretraining.dataset import PretrainingPlan
from bertkit.pretraining.job import Setup, set_up
from bertkit.pretraining.mix import facts_of
from bertkit.pretraining.overlap import say_overlap
from bertkit.pretraining.prepare import Prepared
from bertkit.pretraining.rate import adapting_rate
from bertkit.pretraining.request import PretrainRequest, ResolvedRequest, decided_already, resolve, with_steps
from bertkit.settings.recipes import given
from bertkit.settings.schema import WIDTH_OF_RECIPES
from bertkit.signals import stopped_cleanly
from bertkit.training import ranks, resume_checks, run_folder
from bertkit.training.metrics_log import last_evaluation, read_metrics
from bertkit.training.record import RunRecord, read_record
from bertkit.training.schedule import Course, say_long_warmup

if TYPE_CHECKING:
    from bertkit.training.forecast import Forecast


@stopped_cleanly(run_folder.GO_ON)
def pretrain(request: PretrainRequest) -> RunRecord:
    """Pretrains a BERT and writes the model folder; returns the record of the run (for a dry run, what it would be).

    Raises:
        BertkitError: an error that a person can correct.
        Interrupted: a signal arrived, and a checkpoint was written.
    """
    started_at_s = time.monotonic()
    resolved = resolve(request)
    run_folder.check_one_of(resolved.folder, request.resume, request.overwrite)
    if request.overwrite:
        run_folder.check_apart(resolved.folder, {"--model": request.model, "--tokenizer": request.tokenizer})
    if request.resume:
        resume_checks.check_same_kind(resolved.folder, "pretrain")
        resume_checks.check_same_base(resolved.folder, request.model)
        resume_checks.check_same_given(resolved.folder, request.given)
    resolved = _with_fitting_rate(resolved)
    claimed = run_folder.claimed(resolved.folder, request.resume, request.overwrite, request.dry_run)
    with ranks.together(request.device), claimed:
        if request.resume and (record := read_record(resolved.folder)).finished:
            _say_finished(resolved, record)
            return record
        return _train(resolved, started_at_s)


def _say_finished(request: ResolvedRequest, record: RunRecord) -> None:
    """Says that there is nothing to resume. The texts are compared by their names: preparing them may take hours.

    Raises:
        BertkitError: the run that is finished has other settings than this one.
    """
    out = request.folder
    resume_checks.check_same_settings(out, request.recipe, decided_already(request.asked))
    console.note(console.plain(f"{out} is finished: nothing to resume"))
    texts = {"corpus": ("text", request.names), "validation": ("held-out text", request.validation_names)}
    for field, (what, now) in texts.items():
        if (began := record.facts.get(field, now)) != now:
            theirs, ours = (listed(names, 3) or "a share of the text" for names in (began, now))
            told = (
                f"it was made with other {what}: {theirs}, not {ours}, which is not read (--out names another folder)"
            )
            console.warn(console.plain(told))


def _with_fitting_rate(resolved: ResolvedRequest) -> ResolvedRequest:
    """The request, for the recipe ``adapt`` with a learning rate for the width of its model; a person's own rate is kept."""
    asked, train = resolved.asked, resolved.recipe.train
    if resolved.recipe_name != "adapt" or asked.model is None or given(asked.overrides, "train.learning_rate"):
        return resolved
    width = read_config(bert_folder(asked.model), asked.model)["hidden_size"]
    rate = adapting_rate(train.learning_rate, width)
    if rate == train.learning_rate:
        return resolved
    console.note(
        f"learning rate {rate:.1e}, as the model is {width} wide: the recipe's {train.learning_rate:.0e} is for "
        f"{WIDTH_OF_RECIPES} (--lr says otherwise)"
    )
    train = train.model_copy(update={"learning_rate": rate})
    return replace(resolved, recipe=resolved.recipe.model_copy(update={"train": train}))


def _train(request: ResolvedRequest, started_at_s: float) -> RunRecord:
    from bertkit import hardware
    from bertkit.training import checkpoint
    from bertkit.training.loop import fit

    run, out, asked = set_up(request), request.folder, request.asked
    accelerator = run.accelerator
    ranks.agree(run.same_on_all_ranks())
    newest = checkpoint.newest_checkpoint(out) if asked.resume else None
    if asked.resume:
        _check_same_text(out, request, run.corpus)
        resume_checks.check_same_maths(out, run.recipe, run.corpus.fingerprint, decided_already(asked))
        _check_same_held_out(out, request.before, run.corpus)
        resume_checks.say_other_precision(out, accelerator.mixed_precision)
        console.note(console.plain(f"resuming from {newest}" if newest else f"no checkpoint in {out}: starting fresh"))
    if accelerator.is_main_process:
        say_overlap(run.corpus, run.recipe.data.deduplicate is not None)
    with hardware.memory_errors():
        run, plan, forecast = _forecast(run, started_at_s)
    progress = checkpoint.read_progress(newest) if newest else checkpoint.Progress()
    plan.refit(Course(plan.total_steps, progress.refits))
    run.settle_length(plan)
    facts = run.facts(plan)
    budget.say_what_starts(forecast, plan, accelerator, facts, progress.step)
    say_long_warmup(run.recipe.train.warmup, plan.course.planned_steps)
    job = run.job(plan, forecast)
    if accelerator.is_main_process:
        run_folder.check_checkpoints_fit(out, facts["parameters"], plan.total_steps, run.recipe.train)
    if asked.dry_run:
        return RunRecord(**facts)
    if asked.overwrite:
        run_folder.clear(out)
    if accelerator.is_main_process:
        run_folder.record(out, run.recipe, facts)
    progress, objective = fit(job, accelerator, newest)
    accelerator.wait_for_everyone()
    facts |= {"seconds": progress.seconds, "skipped_steps": progress.skipped_steps, "max_steps": plan.total_steps}
    facts |= facts_of(run.corpus.training, plan.passes())
    if plan.longest_example() != facts["learned_length"]:  # a budget left out a phase, or made room for one
        run.settle_length(plan)
        facts["learned_length"] = plan.longest_example()
    if progress.refits:
        run = replace(run, recipe=with_steps(run.recipe, plan.total_steps))
    record = RunRecord(**facts)
    if accelerator.is_main_process:
        save_model(objective.model, run.corpus.tokenizer, out)
        check_saved(out, objective.model)
        record = _finish(run, facts)
    return record


def _check_same_text(out: Path, request: ResolvedRequest, corpus: Prepared) -> None:
    """Refuses a resume with text of other names and contents; ``resume_checks.check_same_maths`` does, if its names are the same.

    Raises:
        BertkitError: the message names both texts.
    """
    before, now = request.before, request.names
    if before.data_fingerprint not in ("", corpus.fingerprint) and before.corpus != now:
        raise BertkitError(
            f"cannot resume {out} with the text {listed(now, 3)}: it was begun with {listed(before.corpus, 3)}; give the same, "
            "or start anew with --overwrite"
        )


def _check_same_held_out(out: Path, before: RunRecord, corpus: Prepared) -> None:
    """Refuses a resume with other held-out text: what is trained on goes by it, and so do all figures.

    Raises:
        BertkitError: the message says what the run began with.
    """
    if before.validation_fingerprint is not None:
        given = f"--validation {listed(before.validation, 3)}" if before.validation else ""
        was = given or "a share of the text held out (no --validation)"
        is_same = before.validation_fingerprint == corpus.validation_fingerprint
    else:  # a run of before it was recorded
        was = f"{before.held_out_tokens:,} tokens held out, and these are {corpus.held_out_tokens:,}"
        is_same = before.facts.get("held_out_tokens", corpus.held_out_tokens) == corpus.held_out_tokens
    if not is_same:
        names = corpus.validation_names
        now = f"with --validation {listed(names, 3)}" if names else "without --validation"
        was += ", whose text was another" if names and names == before.validation else ""
        raise BertkitError(
            f"cannot resume {out} {now}: it was begun with {was}; give the same, or start anew with --overwrite"
        )


def _forecast(run: Setup, started_at_s: float) -> tuple[Setup, PretrainingPlan, "Forecast"]:
    """Decides the micro-batch and, for a budget, the number of steps; returns the run, its plan and its forecast."""
    from bertkit.training.forecast import Forecast
    from bertkit.training.step_cost import step_costs

    plan, train, asked = run.plan(), run.recipe.train, run.request.asked
    plan.say_few_examples()
    if run.micro_batch_tokens is None and train.micro_batch_size is None:
        tokens = budget.micro_batch_tokens(run.objective, plan, run.accelerator)
        run = replace(run, micro_batch_tokens=tokens)
        plan = run.plan()
    tried = step_costs(run.objective, plan, plan.stretches(), run.accelerator, train)
    costs = {plan.phase(cost.steps.start): cost for cost in tried}
    examples, left_s = len(run.evaluation_set(plan.max_seq_length(plan.total_steps - 1))), None
    if asked.budget_s is not None:
        left_s = asked.budget_s - (time.monotonic() - started_at_s)
        if not run.request.before.max_steps:  # only once: a resume keeps the schedule of its run
            steps = ranks.from_main(Forecast(plan, costs, train, examples).steps_within(left_s, 0))
            if steps == 1:
                spent = console.duration(asked.budget_s - left_s)
                console.warn(
                    f"--budget leaves no time to train: {spent} of it are spent, and the evaluation at the end of {examples:,} "
                    "held-out examples needs its own (--set data.max_eval_examples=N); one step is made; give more"
                )
            run = replace(run, recipe=with_steps(run.recipe, steps))
            plan = run.plan()
    return run, plan, Forecast(plan, costs, train, examples, left_s)


def _finish(run: Setup, facts: dict[str, Any]) -> RunRecord:
    """Writes the record and the model card, on the main process only."""
    out = run.request.folder
    results = last_evaluation(read_metrics(out))
    if base := run.request.asked.model:
        results |= before_and_after(base, str(out), run.corpus, run.recipe, run.request.device)
    record = run_folder.record(out, run.recipe, {**facts, "results": results, "finished": True})
    write_text(out / "README.md", pretraining_card(out, record, run.recipe))
    return record
