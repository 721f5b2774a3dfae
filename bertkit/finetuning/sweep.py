"""Several runs of a task with different seeds and settings, of which the best on the validation rows is kept."""

import itertools
import shutil
import statistics
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.data import LabelledData, check_inputs, load_labelled
from bertkit.finetuning.run import (
    FinetuneRequest,
    check_model,
    completed,
    data_request,
    finetune,
    finetune_on,
    load_recipe,
    with_settings,
)
from bertkit.io.atomic import write_json
from bertkit.signals import stopped_cleanly
from bertkit.training import ranks, run_folder
from bertkit.training.record import RunRecord, read_record

PAPER_GRID: dict[str, list[Any]] = {
    "batch_size": [16, 32],
    "learning_rate": [5e-5, 3e-5, 2e-5],
    "epochs": [2, 3, 4],
}
"""The grid of Devlin et al. 2018, A.3."""


_SHORT_NAMES = {"lr": "learning_rate", "micro_batch": "micro_batch_size", "seq_len": "data.max_seq_length"}
"""Flags that have other names than their settings."""


def parse_grid(text: str) -> dict[str, list[Any]]:
    """Parses a grid: ``"paper"``, or ``"lr=5e-5,3e-5 epochs=2,3"`` with names of flags or settings; returns values by setting.

    Raises:
        BertkitError: the text does not have this form.
    """
    if text == "paper":
        return PAPER_GRID
    import tomllib

    grid: dict[str, list[Any]] = {}
    for part in text.split():
        name, _, values = part.partition("=")
        try:
            grid[_setting(name)] = tomllib.loads(f"x = [{values}]")["x"]
        except tomllib.TOMLDecodeError:
            values = ""
        if _setting(name) in ("seed", "mixed_precision"):
            raise BertkitError(f"--grid cannot vary {name}: {'use --seeds N' if 'seed' in name else 'make two runs'}")
        if not values.strip():
            raise BertkitError(
                f"--grid '{part}' is not NAME=VALUE,VALUE: give 'paper', or such as 'lr=5e-5,3e-5 epochs=2,3'"
            )
    return grid


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
    """
    request = completed(request)
    recipe = load_recipe(request)
    check_inputs(data_request(request, recipe))
    out = request.folder
    grid = {_setting(name): values for name, values in (grid or {}).items()}
    names = list(grid)
    settings = [
        {**dict(zip(names, values, strict=True)), "seed": recipe.train.seed + number}
        for values in itertools.product(*grid.values())
        for number in range(seeds)
    ]
    if not settings:
        raise BertkitError("that is no run at all: --seeds must be 1 or more, and each setting of --grid have a value")
    for chosen in settings:
        load_recipe(with_settings(request, out, **chosen))  # so that a wrong setting is refused before the first run
    with ranks.together(request.device), run_folder.claimed(out, request.resume, request.overwrite):
        check_model(request, recipe)
        data = load_labelled(data_request(request, recipe))
        for told in data.notes:
            console.note(console.plain(told))
        if request.overwrite and not request.resume:
            run_folder.clear(out)
        runs = []
        for number, chosen in enumerate(settings, 1):
            label = "-".join(f"{name}={value}" for name, value in chosen.items())
            console.note(f"[bold]run {number} of {len(settings)}[/]: {console.plain(label)}")
            runs.append(_one(request, data, chosen, out / label))
        return _summary(out, runs, data)


def _one(request: FinetuneRequest, data: LabelledData, chosen: dict[str, Any], out: Path) -> dict[str, Any]:
    one = with_settings(request, out, **chosen)
    run = read_record(out)
    if not (request.resume and run.finished):
        with run_folder.claimed(out, request.resume, request.overwrite):
            run = finetune_on(data, load_recipe(one), one)
        for checkpoint in out.glob("checkpoint-*") if console.is_main_process() else ():
            shutil.rmtree(checkpoint, ignore_errors=True)
    return {"settings": chosen, "out": str(out), "results": run.results, "metrics": run.metrics, "seconds": run.seconds}


def _summary(out: Path, runs: list[dict[str, Any]], data: LabelledData) -> RunRecord:
    from bertkit.models.saved import check_saved

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
    if not console.is_main_process():
        return RunRecord(**record, results=results)
    for path in Path(best["out"]).iterdir():
        if path.is_file() and path.name != run_folder.LOCK:
            shutil.copy2(path, out / path.name)
    write_json(out / "eval_results.json", results)
    check_saved(out)
    return read_record(out).model_copy(update={**record, "results": results})
