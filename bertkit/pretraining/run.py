"""``bertkit pretrain``: corpus → tokenizer → prepared store → steps → model folder, in that order."""

import time
from dataclasses import replace
from typing import Any

from bertkit import console
from bertkit.io.atomic import write_text
from bertkit.models.bert import save_model
from bertkit.models.saved import check_saved
from bertkit.pretraining import resume
from bertkit.pretraining.before_after import before_and_after
from bertkit.pretraining.card import pretraining_card
from bertkit.pretraining.job import Setup, set_up
from bertkit.pretraining.mix import facts_of
from bertkit.pretraining.overlap import say_overlap
from bertkit.pretraining.rate import with_fitting_rate
from bertkit.pretraining.request import PretrainRequest, ResolvedRequest, resolve, with_steps
from bertkit.pretraining.start_note import say_what_starts
from bertkit.pretraining.trial import tried_out
from bertkit.signals import stopped_cleanly
from bertkit.training import ranks, run_folder
from bertkit.training.metrics_log import last_evaluation, read_metrics
from bertkit.training.record import RunRecord, read_record
from bertkit.training.schedule import Course, say_long_warmup


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
        resume.check_asked(resolved)
    resolved = with_fitting_rate(resolved)
    claimed = run_folder.claimed(resolved.folder, request.resume, request.overwrite, request.dry_run)
    with ranks.together(request.device), claimed:
        if request.resume and (record := read_record(resolved.folder)).finished:
            resume.say_finished(resolved, record)
            return record
        return _train(resolved, started_at_s)


def _train(request: ResolvedRequest, started_at_s: float) -> RunRecord:
    from bertkit import hardware
    from bertkit.training import checkpoint
    from bertkit.training.loop import fit

    run, out, asked = set_up(request), request.folder, request.asked
    accelerator = run.accelerator
    ranks.agree(run.same_on_all_ranks())
    newest = checkpoint.newest_checkpoint(out) if asked.resume else None
    if asked.resume:
        resume.check_prepared(run)
        console.note(console.plain(f"resuming from {newest}" if newest else f"no checkpoint in {out}: starting fresh"))
    if accelerator.is_main_process:
        say_overlap(run.corpus, run.recipe.data.deduplicate is not None)
    with hardware.memory_errors():
        run, plan, forecast = tried_out(run, started_at_s)
    progress = checkpoint.read_progress(newest) if newest else checkpoint.Progress()
    plan.refit(Course(plan.total_steps, progress.refits))
    run.settle_length(plan)
    facts = run.facts(plan)
    say_what_starts(forecast, plan, accelerator, facts, progress.step)
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


def _finish(run: Setup, facts: dict[str, Any]) -> RunRecord:
    """Writes the record and the model card, on the main process only."""
    out = run.request.folder
    results = last_evaluation(read_metrics(out))
    if base := run.request.asked.model:
        results |= before_and_after(base, str(out), run.corpus, run.recipe, run.request.device)
    record = run_folder.record(out, run.recipe, {**facts, "results": results, "finished": True})
    write_text(out / "README.md", pretraining_card(out, record, run.recipe))
    return record
