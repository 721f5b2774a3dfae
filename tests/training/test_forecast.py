"""When a run is said to end, and a budget that is kept: by a clock that is set by hand, and by hand-worked numbers."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from accelerate import Accelerator
from helpers.toy import toy_job

from bertkit.settings.schema import TrainSettings
from bertkit.training import checkpoint, timing
from bertkit.training.forecast import Forecast
from bertkit.training.loop import fit
from bertkit.training.metrics_log import read_metrics
from bertkit.training.schedule import Course
from bertkit.training.step_cost import StepCost

COSTS = {0: StepCost(range(0), 1.0, 100), 1: StepCost(range(0), 2.0, 150)}
"""A step of 16 tokens a sequence takes 1 s, one of 24 takes 2 s."""


class Clock:
    """Time that passes in forward passes alone: in those that train, and a third as long in those that evaluate."""

    def __init__(self, monkeypatch, job, factor, took=0.0):
        self.now_s, self.took_s = 1_000.0, took
        forward = job.objective.forward

        def slow(**batch):
            seconds = COSTS[0 if batch["input_ids"].shape[1] <= 16 else 1].seconds * factor(self.took_s)
            self.pass_by(seconds if job.objective.training else seconds / 3)
            return forward(**batch)

        job.objective.forward = slow
        monkeypatch.setattr(timing, "time", self)

    def monotonic(self):
        return self.now_s

    def pass_by(self, seconds):
        self.now_s += seconds
        self.took_s += seconds


def forecast_of(job, budget_s=None):
    return Forecast(job.plan, COSTS, job.settings, 0, budget_s)


def budgeted(tmp_path, name, budget_s, **options):
    """A toy run with as many steps as its budget was thought to buy: as many of each length, 1.5 s on average."""
    options = {"eval_steps": 0, "save_steps": 10_000, "logging_steps": 1, **options}
    job = toy_job(tmp_path / "store", tmp_path / name, Accelerator(cpu=True), steps=round(budget_s / 1.5), **options)
    return replace(job, evaluate=None, forecast=forecast_of(job, budget_s))


def test_a_run_takes_its_steps_its_evaluations_and_its_checkpoints(tmp_path):
    job = toy_job(tmp_path / "store", tmp_path / "out", Accelerator(cpu=True), steps=20)
    settings = TrainSettings(batch_size=16, max_steps=20, eval_steps=5, save_steps=10)
    forecast = Forecast(job.plan, COSTS, settings, evaluation_examples=24)  # 24 / 16 / 3: half of a step
    # 10 steps of 1 s, 10 of 2 s, half a step of either length every 5, and half a long one at the end.
    assert forecast.seconds_left(0) == pytest.approx(30 * 1.1 + 1.0)
    assert forecast.seconds_left(15) == pytest.approx(10 * 1.1 + 1.0)
    assert forecast.seconds_left(20) == 0.0
    forecast.save_took(3.0)  # every 10 steps, and twice at the end: the checkpoint and the model
    assert forecast.seconds_left(0) == pytest.approx(30 * 1.1 + 1.0 + 2 * 3.0 + 6.0)
    assert forecast.steps_within(forecast.seconds_left(0) + 0.01, 0) == 20
    assert forecast.steps_within(0.5, 0) == 1


def test_the_forecast_corrects_itself_after_50_steps_across_lengths(tmp_path, capsys):
    job = toy_job(tmp_path / "store", tmp_path / "out", Accelerator(cpu=True), steps=200, eval_steps=0)
    forecast = forecast_of(job)
    assert forecast.seconds_left(0) == pytest.approx(300)
    for step in range(50):
        forecast.step_made(step, 30.0 if step < 2 else 0.5)  # the first ones say nothing of the others
    # Half of what was expected: 50 more steps of 0.5 s, and 100 of twice as long, of which none was seen.
    assert forecast.seconds_left(50) == pytest.approx(50 * 0.5 + 100 * 1.0)
    assert (
        "after 50 steps, which took 0.5 times what was expected: about 2 min 05 s more, un" in capsys.readouterr().err
    )
    for step in range(50, 150):
        forecast.step_made(step, COSTS[int(step >= 100)].seconds)  # another program has ended
    assert forecast.seconds_left(150) == pytest.approx(100)
    assert capsys.readouterr().err == ""


def test_a_forecast_that_comes_true_is_not_said_again(tmp_path, capsys):
    job = toy_job(tmp_path / "store", tmp_path / "out", Accelerator(cpu=True), steps=200, eval_steps=0)
    forecast = forecast_of(job)
    for step in range(60):
        forecast.step_made(step, 1.05)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "factor",
    [
        lambda took: 1 + (took > 150),  # twice as slow from the middle on
        lambda took: 1 + (took > 240),
        lambda took: 1 + (took > 30),
        lambda took: 2 - (took > 100),  # first as slow as never expected, then right
        lambda _: 0.5,
        lambda _: 1,
    ],
)
def test_a_budget_is_kept_however_the_speed_changes(tmp_path, monkeypatch, factor):
    job = budgeted(tmp_path, "run", 300.0)
    clock = Clock(monkeypatch, job, factor)
    progress = fit(job, Accelerator(cpu=True), None).progress
    assert clock.took_s == pytest.approx(300, rel=0.1)
    lines = read_metrics(job.out)
    assert progress.step == job.plan.total_steps == lines[-1]["step"]
    assert [line["max_steps"] for line in lines if "max_steps" in line] == [total for _, total in progress.refits]
    # The schedule is gone through to its end and without a jump: 200 steps of it, in however many there were.
    rates = [line["lr"] for line in lines if "lr" in line]
    a_step = 1e-3 / (200 - 2)
    assert len(rates) == progress.step
    assert all(0 < before - after < 4.1 * a_step for before, after in pairwise(rates[2:]))
    assert rates[-1] < 4.1 * a_step
    # So are the lengths: the longer sequences from the middle of the schedule on.
    first_long = job.plan.stretches()[1].start
    assert job.plan.course.position(first_long - 1) < 100 <= job.plan.course.position(first_long)
    assert (not progress.refits) == (factor(0) == factor(300) == 1)


def test_a_budget_that_is_fitted_anew_all_the_time_is_said_once(tmp_path, monkeypatch, capsys):
    job = budgeted(tmp_path, "run", 300.0)
    Clock(monkeypatch, job, lambda took: 2 + 2 * (took % 40 > 20))  # slower than expected, and never the same
    progress = fit(job, Accelerator(cpu=True), None).progress
    assert len(progress.refits) > 2
    assert len({round(total / 20) for _, total in progress.refits}) > 1  # by a tenth of what was planned, and more
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("steps in place of 200, so that the run ends") == said.count("steps in place of") == 1


def test_a_run_that_was_fitted_anew_is_resumed_to_the_bit(tmp_path, monkeypatch):
    def ended(name, resume_from=None, took=0.0):
        job = budgeted(tmp_path, name, 150.0, dropout=0.1, save_steps=30, save_total_limit=99)
        if resume_from:
            job.plan.refit(Course(100, checkpoint.read_progress(resume_from).refits))
        clock = Clock(monkeypatch, job, lambda seconds: 1 + (seconds > 40), took)
        progress = fit(job, Accelerator(cpu=True), resume_from).progress
        return job, progress, clock

    whole, progress, _ = ended("whole")
    assert progress.refits
    first = progress.refits[-1][0]
    checkpoints = sorted(whole.out.glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    later = next(path for path in checkpoints if int(path.name[11:]) > first)
    resumed, again, _ = ended("resumed", later, checkpoint.read_progress(later).seconds)
    assert (again.step, again.refits, again.seconds) == (progress.step, progress.refits, progress.seconds)
    for one, other in zip(whole.objective.parameters(), resumed.objective.parameters(), strict=True):
        assert torch.equal(one, other)
