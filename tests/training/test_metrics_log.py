"""Trackers get what metrics.jsonl gets; the one that is stood in for here is Accelerate's own kind."""

import json

import pytest
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from helpers.toy import toy_job

from bertkit import hardware
from bertkit.errors import BertkitError
from bertkit.training.loop import fit
from bertkit.training.metrics_log import read_metrics


class Tracker(GeneralTracker):
    name, requires_logging_directory = "standin", False

    def __init__(self):
        super().__init__()
        self.settings, self.logged, self.finished = {}, [], False

    @property
    def tracker(self):
        return self

    def store_init_configuration(self, values):
        self.settings = values

    def log(self, values, step, **_):
        self.logged.append({"step": step, **values})

    def finish(self):
        self.finished = True


def test_a_tracker_gets_every_figure_at_its_step_and_the_settings(tmp_path):
    tracker = Tracker()
    accelerator = Accelerator(cpu=True, log_with=tracker)
    job = toy_job(tmp_path / "store", tmp_path / "run", accelerator, report_to=("tensorboard",))
    fit(job, accelerator, None)
    assert tracker.logged == read_metrics(job.out)
    assert tracker.settings["learning_rate"] == "0.001"
    assert tracker.finished


def test_of_figures_that_were_logged_twice_the_last_are_read_and_it_is_said(tmp_path, capsys):
    lines = [{"step": 1, "loss": 3.0}, {"step": 1, "eval_loss": 4.0}, {"step": 2, "loss": 2.0}]
    again = [{"step": 1, "loss": 9.0}, {"step": 1, "eval_loss": 8.0}, {"eval_loss": 7.0, "step": 1}]
    log = tmp_path / "metrics.jsonl"
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert read_metrics(tmp_path) == lines  # those of a step's training and of its evaluation are two things
    assert not capsys.readouterr().err
    log.write_text("".join(json.dumps(line) + "\n" for line in lines + again))
    assert read_metrics(tmp_path) == [again[0], again[2], lines[2]]
    said = " ".join(capsys.readouterr().err.split())
    assert "metrics.jsonl: 3 lines have figures that were logged again, and are left out" in said


def test_a_tracker_that_is_not_there_is_one_line():
    with pytest.raises(BertkitError, match=r"^--track mlflow needs its package: pip install 'bertkit\[mlflow\]'$"):
        hardware.build_accelerator("cpu", "no", ("mlflow",), ".")
