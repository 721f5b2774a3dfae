"""``bertkit pretrain``: corpus → tokenizer → prepared store → steps → model folder, in that order."""

import time
from dataclasses import replace
from typing import Any

from bertkit import console
from bertkit.assets import EMBEDDED_CORPUS
from bertkit.io.atomic import write_text
from bertkit.pretraining.dataset import PretrainingPlan
from bertkit.pretraining.job import Setup, set_up
from bertkit.pretraining.request import PretrainRequest, ResolvedRequest, resolve, with_steps
from bertkit.training import ranks, run_folder
from bertkit.training.record import RunRecord, read_record


def pretrain(request: PretrainRequest) -> RunRecord:
    """Pretrains a BERT and leaves a model folder; returns its record (of a dry run, what it would say).

    Raises:
        BertkitError: anything a person can mend: see «What bad input gets» in CONTRIBUTING.md.
        Interrupted: a signal came, and a checkpoint was written.
    """
    started_at_s = time.monotonic()
    if not request.corpus:
        console.note(f"no corpus given: using the embedded one, {EMBEDDED_CORPUS.name}, simple stories in English")
    resolved = resolve(request)
    with ranks.together(request.device):
        if request.dry_run:
            return _train(resolved, started_at_s)
        with run_folder.claimed(resolved.folder, request.resume, request.overwrite):
            if request.resume and (record := read_record(resolved.folder)).finished:
                console.note(console.plain(f"{resolved.folder} is finished: nothing to resume"))
                return record
            return _train(resolved, started_at_s)


def _train(request: ResolvedRequest, started_at_s: float) -> RunRecord:
    from bertkit import hardware
    from bertkit.models.bert import save_model
    from bertkit.models.saved import check_saved
    from bertkit.training import checkpoint
    from bertkit.training.loop import fit

    run, out, asked = set_up(request), request.folder, request.asked
    accelerator = run.accelerator
    ranks.agree(run.same_on_all_ranks())
    found = checkpoint.newest_checkpoint(out) if asked.resume else None
    if asked.resume:
        run_folder.check_same_maths(out, run.recipe, run.corpus.fingerprint)
        console.note(console.plain(f"resuming from {found}" if found else f"no checkpoint in {out}: starting fresh"))
    with hardware.memory_errors():
        run, plan = _forecast(run, started_at_s, checkpoint.read_progress(found).step if found else 0)
    facts = run.facts(plan)
    if asked.dry_run:
        return RunRecord(**facts)
    job = run.job(plan)
    if accelerator.is_main_process:
        run_folder.check_space(out, facts["parameters"], plan.total_steps, run.recipe.train)
    if asked.overwrite and not asked.resume:
        run_folder.clear(out)
    if accelerator.is_main_process:
        run_folder.record(out, run.recipe, facts)
    progress, objective = fit(job, accelerator, found)
    accelerator.wait_for_everyone()
    facts |= {"seconds": progress.seconds, "skipped_steps": progress.skipped_steps}
    record = RunRecord(**facts)
    if accelerator.is_main_process:
        save_model(objective.model, run.corpus.tokenizer, out)
        check_saved(out, objective.model)
        record = _finish(run, facts)
    return record


def _forecast(run: Setup, started_at_s: float, steps_done: int) -> tuple[Setup, PretrainingPlan]:
    """The run with what a device computes at a time and the steps of its budget, and its plan; what starts is said."""
    from bertkit.pretraining import budget
    from bertkit.training.step_cost import step_costs, steps_within

    plan, train, asked = run.plan(), run.recipe.train, run.request.asked
    if run.micro_batch_tokens is None and train.micro_batch_size is None:
        found = budget.micro_batch_tokens(run.objective, plan, run.accelerator)
        run = replace(run, micro_batch_tokens=found)
        plan = run.plan()
    costs = step_costs(run.objective, plan, plan.stretches(), run.accelerator)
    if asked.budget_s is not None and not run.request.before.max_steps:
        left_s = asked.budget_s - (time.monotonic() - started_at_s)
        steps = steps_within(left_s, costs, run.recipe.data.max_eval_examples, train.batch_size, train.eval_steps)
        run = replace(run, recipe=with_steps(run.recipe, ranks.from_main(steps)))
        plan = run.plan()
        costs = [cost._replace(steps=stretch) for cost, stretch in zip(costs, plan.stretches(), strict=False)]
    budget.say_what_starts(plan, run.accelerator, run.facts(plan), costs, steps_done)
    return run, plan


def _finish(run: Setup, facts: dict[str, Any]) -> RunRecord:
    """Writes the record and the model card; on the main process only."""
    from bertkit.pretraining.card import pretraining_card
    from bertkit.training.metrics_log import read_metrics

    out = run.request.folder
    evaluations = [line for line in read_metrics(out) if "eval_loss" in line]
    results = evaluations[-1] if evaluations else {}
    record = run_folder.record(out, run.recipe, {**facts, "results": results, "finished": True})
    write_text(out / "README.md", pretraining_card(out, record, run.recipe))
    return record
