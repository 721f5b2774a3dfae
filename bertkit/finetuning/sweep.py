"""Several runs of a task with different seeds and settings, of which the best on the validation rows is kept."""

import itertools
import shutil
import statistics
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.data import load_labelled
from bertkit.finetuning.labelled import LabelledData
from bertkit.finetuning.request import FinetuneRequest, check_model, completed, data_request, load_recipe, with_settings
from bertkit.finetuning.row_sources import check_inputs
from bertkit.finetuning.run import begun, finetune, finetune_on, fingerprint_of
from bertkit.io.atomic import copy_file, disk_errors, write_json
from bertkit.io.structured import read_json
from bertkit.launcher import is_main_process
from bertkit.models.saved import check_saved
from bertkit.settings.recipes import given
from bertkit.settings.schema import FinetuneRecipe
from bertkit.signals import stopped_cleanly
from bertkit.training import ranks, run_folder
from bertkit.training.record import RUN, RunRecord, read_record, write_record

PAPER_GRID: dict[str, list[Any]] = {
    "batch_size": [16, 32],
    "learning_rate": [5e-5, 3e-5, 2e-5],
    "epochs": [2, 3, 4],
}
"""The grid of Devlin et al. 2018, A.3."""


_SHORT_NAMES = {
    "lr": "learning_rate",
    "micro_batch": "micro_batch_size",
    "seq_len": "data.max_seq_length",
    "validation_split": "data.validation_split",
}
"""Flags that have other names than their settings."""
_SHARED = {
    "seed": "use --seeds N",
    "mixed_precision": "make two runs",
    "data.validation_split": "it decides the rows, which are read once for all runs; make a run for each value",
}
"""Settings that a grid cannot vary, and what to do instead."""


@dataclass(frozen=True)
class _Run:
    """One run of a sweep: what sets it apart, and what it is asked to do."""

    settings: dict[str, Any]
    request: FinetuneRequest
    recipe: FinetuneRecipe

    @property
    def out(self) -> Path:
        return self.request.folder


def parse_grid(text: str) -> dict[str, list[Any]]:
    """Parses a grid: ``"paper"``, or ``"lr=5e-5,3e-5 epochs=2,3"`` with names of flags or settings; returns values by setting.

    Raises:
        BertkitError: the text does not have this form, or the grid cannot be tried (see ``checked_grid``).
    """
    if text == "paper":
        return PAPER_GRID

    grid: list[tuple[str, list[Any]]] = []
    for part in text.split():
        name, _, values = part.partition("=")
        try:
            grid.append((name, tomllib.loads(f"x = [{values}]")["x"]))
        except tomllib.TOMLDecodeError:
            values = ""
        if not values.strip():
            raise BertkitError(
                f"--grid '{part}' is not NAME=VALUE,VALUE: give 'paper', or such as 'lr=5e-5,3e-5 epochs=2,3'"
            )
    return checked_grid(grid)


def checked_grid(grid: Iterable[tuple[str, list[Any]]]) -> dict[str, list[Any]]:
    """The values of a grid by the names of settings.

    Raises:
        BertkitError: a setting or one of its values is given twice, or all runs of a sweep share the setting.
    """
    checked: dict[str, list[Any]] = {}
    for typed, values in grid:
        name = _setting(typed)
        of_rows = name.startswith("task.") and name != "task.metrics"
        if name in _SHARED or of_rows:
            raise BertkitError(f"--grid cannot vary {typed}: {_SHARED['data.validation_split' if of_rows else name]}")
        if name in checked:
            raise BertkitError(f"--grid has {name} twice: give all of its values at once, as {name}=VALUE,VALUE")
        for value in (value for number, value in enumerate(values) if value in values[:number]):
            raise BertkitError(f"--grid has {typed}={value} twice: give each value once")
        checked[name] = values
    return checked


def _setting(name: str) -> str:
    """The name of a setting: without its table for [train], with it for the others."""
    bare = name.removeprefix("--").removeprefix("train.").replace("-", "_")
    return _SHORT_NAMES.get(bare, bare)


def finetune_all(request: FinetuneRequest, seeds: int, grid: dict[str, list[Any]] | None) -> RunRecord:
    """Makes one run; with several seeds or a grid, a sweep."""
    return finetune(request) if seeds == 1 and grid is None else sweep(request, seeds, grid)


@stopped_cleanly(run_folder.GO_ON)
def sweep(request: FinetuneRequest, seeds: int, grid: dict[str, list[Any]] | None) -> RunRecord:
    """Makes a run for each combination of the grid and each seed, in sub-folders; the best one becomes the model.

    The results of the best run are written to ``eval_results.json`` and returned. Under "sweep" they list all runs, with
    the mean, the standard deviation, and how many runs collapsed (were no better than the most frequent class).

    Raises:
        BertkitError: the grid cannot be tried, or a run that is to be resumed was begun with other settings, data or model.
    """
    request = completed(request)
    recipe = load_recipe(request)
    check_inputs(data_request(request, recipe))
    runs = _planned(request, recipe.train.seed, seeds, checked_grid((grid or {}).items()))
    out = request.folder
    with ranks.together(request.device), run_folder.claimed(out, request.resume, request.overwrite):
        if request.resume:
            _check_top(out)
        check_model(request, recipe)
        data = load_labelled(data_request(request, recipe))
        for told in data.notes:
            console.note(console.plain(told))
        _check_metrics(data, runs)
        if request.overwrite:
            run_folder.clear(out)
        finished = _finished(data, runs) if request.resume else {}
        if finished:
            many = console.counted(len(finished), "finished run is", "finished runs are")
            console.note(f"{many} taken over, of {len(runs):,} (--overwrite makes all of them anew)")
        made = []
        for number, run in enumerate(runs, 1):
            record = finished.get(run.out)
            if record is None:
                console.note(f"[bold]run {number} of {len(runs)}[/]: {console.plain(run.out.name)}")
                record = _one(run, data)
            made.append(_result(run, record))
        return _summary(out, made, data)


def _check_top(out: Path) -> None:
    """Refuses to resume a sweep where another run is in its folder: the best run would take its place.

    Raises:
        BertkitError: the folder's own record is neither that of a sweep nor that of one of its runs.
    """
    if not (out / RUN).is_file():
        return
    summary = out / run_folder.RESULTS
    if summary.is_file() and "sweep" in read_json(summary):
        return
    own, *of_runs = ({**read_record(path.parent).facts, "out": ""} for path in (out / RUN, *out.glob(f"*/{RUN}")))
    if own not in of_runs:
        raise BertkitError(
            f"cannot resume {out} as several runs: another run is in it, which the best one would replace; name another folder "
            "with --out, or --overwrite replaces it"
        )


def _planned(request: FinetuneRequest, first_seed: int, seeds: int, grid: dict[str, list[Any]]) -> list[_Run]:
    """The runs of a sweep, whose settings are checked, so that a wrong one is refused before the first run."""
    for name in grid:
        if same := given(request.overrides, name if "." in name else f"train.{name}"):
            raise BertkitError(f"{same.origin} and --grid {name}=… set the same: leave one of them out")
    settings = [
        {**dict(zip(grid, values, strict=True)), "seed": first_seed + number}
        for values in itertools.product(*grid.values())
        for number in range(seeds)
    ]
    if not settings:
        raise BertkitError("that is no run at all: --seeds must be 1 or more, and each setting of --grid have a value")
    runs = []
    for chosen in settings:
        label = "-".join(f"{name}={value}" for name, value in chosen.items())
        one = with_settings(request, request.folder / label, **chosen)
        runs.append(_Run(chosen, one, load_recipe(one)))
    return runs


def _check_metrics(data: LabelledData, runs: list[_Run]) -> None:
    """Checks that all runs have the metric by which the best one is chosen: the first one of the first run."""
    metrics = [data.head.metrics(run.recipe.task.metrics) for run in runs]
    headline = metrics[0][0]
    for one in (one for one in metrics if headline not in one):
        raise BertkitError(
            f"--grid task.metrics: the best run is chosen by {headline}, which {', '.join(one)} lacks: have it in each value"
        )


def _finished(data: LabelledData, runs: list[_Run]) -> dict[Path, RunRecord]:
    """The records of runs that are finished, by folder.

    All that were begun are compared with what is asked now, before the first run goes on.

    Raises:
        BertkitError: one was begun with other settings, data or another model.
    """
    fingerprint = fingerprint_of(data, runs[0].request)
    records = {
        run.out: begun(data, run.recipe, run.request, fingerprint)
        for run in runs
        if (run.out / run_folder.RECIPE).is_file()
    }
    return {folder: record for folder, record in records.items() if record.finished}


def _one(run: _Run, data: LabelledData) -> RunRecord:
    with run_folder.claimed(run.out, run.request.resume, run.request.overwrite):
        record = finetune_on(data, run.recipe, run.request)
    for checkpoint in run.out.glob("checkpoint-*") if is_main_process() else ():
        shutil.rmtree(checkpoint, ignore_errors=True)
    return record


def _result(run: _Run, record: RunRecord) -> dict[str, Any]:
    told = {"results": record.results, "metrics": record.metrics, "seconds": record.seconds}
    return {"settings": run.settings, "out": str(run.out), **told}


def _summary(out: Path, runs: list[dict[str, Any]], data: LabelledData) -> RunRecord:
    metric, head = runs[0]["metrics"][0], data.head
    headline = f"eval_{metric}"
    figures = [run["results"][headline] for run in runs]
    best = max(runs, key=lambda run: head.goodness(metric, run["results"]))
    results = {
        **best["results"],
        "sweep": {
            "metric": headline,
            "mean": statistics.fmean(figures),
            "standard_deviation": statistics.stdev(figures) if len(figures) > 1 else 0.0,
            "best": best["results"][headline],
            "collapsed": sum(head.has_collapsed(run["results"], metric) for run in runs),
            "runs": [{**run["settings"], headline: run["results"][headline]} for run in runs],
        },
    }
    record = {"out": str(out), "metrics": best["metrics"], "seconds": sum(run["seconds"] for run in runs)}
    if not is_main_process():
        return RunRecord(**record, results=results)
    _take_over(Path(best["out"]), out)
    write_json(out / run_folder.RESULTS, results)
    check_saved(out)
    # Last: a folder with a record holds a whole model.
    own = write_record(out, {**read_record(Path(best["out"])).facts, "out": str(out)})
    return own.model_copy(update={**record, "results": results})


def _take_over(best: Path, out: Path) -> None:
    """Copies the best run's files into the folder of the sweep, without those of another run that was the best before.

    Its record is removed and not copied: it belongs to files that are whole.
    """
    names = {path.name for path in best.iterdir() if path.is_file()} - {run_folder.LOCK, RUN}
    of_runs = {path.name for run in out.glob(f"*/{RUN}") for path in run.parent.iterdir() if path.is_file()}
    for name in [RUN, *sorted(of_runs - names - {run_folder.LOCK, RUN})]:
        with disk_errors(out / name):
            (out / name).unlink(missing_ok=True)
    for name in sorted(names):
        copy_file(best / name, out / name)
