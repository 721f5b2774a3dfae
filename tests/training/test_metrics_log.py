"""Trackers get what metrics.jsonl gets; the one that is stood in for here is Accelerate's own kind."""

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


def test_a_tracker_that_is_not_there_is_one_line():
    with pytest.raises(BertkitError, match=r"^--track mlflow needs its package: pip install 'bertkit\[mlflow\]'$"):
        hardware.build_accelerator("cpu", "no", ("mlflow",), ".")
