"""What pretraining buys: the figures of a run's checkpoints, and of models fine-tuned from them, over the tokens read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.reporting.panels import HELD_OUT, Curve, Panel, title
from bertkit.reporting.runs import Run, is_number


@dataclass(frozen=True)
class CheckpointFigure:
    """A figure of a checkpoint.

    Attributes:
        test: what the figure is of; figures of one test make one panel.
        title: the test's name for people.
        metric: the figure's name, which tells how it is written.
        step: the checkpoint's; 0 stands for the weights that the run began from.
        value: the figure.
        interval: the 95 % interval of one model, or a standard deviation to either side of the mean of several seeds; None
            where neither is known.
    """

    test: str
    title: str
    metric: str
    step: int
    value: float
    interval: tuple[float, float] | None = None


def fine_tuned(runs: Sequence[Run]) -> dict[str, list[CheckpointFigure]]:
    """The figures of those runs that fine-tuned a checkpoint of another, or its sizes with random weights, by that one's name.

    Where there are runs of pretraining, notes say which fine-tuned models are not among them, and why.
    """
    found: dict[str, list[CheckpointFigure]] = {run.name: [] for run in runs if run.is_pretraining}
    others = [run for run in runs if not run.is_pretraining]
    short = Counter({_task(run): Path(_task(run)).name for run in others}.values())
    left_out: dict[str, list[str]] = {}
    for other in others:
        places = [(run.name, _step(run, other)) for run in runs if run.is_pretraining]
        known = [(name, step) for name, step in places if step is not None]
        if why := _why_not(other, bool(known)):
            left_out.setdefault(why, []).append(other.name)
            continue
        for name, step in known:
            shown_task = Path(_task(other)).name
            found[name].append(_figure(other, step, shown_task if short[shown_task] == 1 else _task(other)))
    for why, names in left_out.items() if found else ():
        console.note(console.plain(f"not shown over the tokens read, as {why}: {console.listed(names, 3)}"))
    return found


def _task(run: Run) -> str:
    return str(run.facts.get("task") or run.name)


def _step(run: Run, other: Run) -> int | None:
    """The step of a pretraining run whose weights another run began from; None for others."""
    base, from_scratch = other.base_folder, other.settings.get("train.from_scratch") is True
    if base is None or (from_scratch and run.base_folder is not None):
        return None
    begins_alike = run.facts.get("base_model") == other.facts.get("base_model") or run.base_folder == base
    step = 0 if begins_alike else run.checkpoint_step(base)
    return 0 if from_scratch and step is not None else step


def _why_not(run: Run, has_place: bool) -> str:
    """Why a fine-tuned model is not shown over the tokens read; empty if it is."""
    if not has_place:
        return "made of no checkpoint of these runs"
    if not run.is_finished:
        return "not finished"
    if run.sweep is not None and _seeds(run) is None:
        return "the best of a grid, which was chosen by the same rows"
    return "" if run.headline is not None else "without a figure"


def _figure(run: Run, step: int, task: str) -> CheckpointFigure:
    assert run.headline is not None  # or else it is not shown
    metric, value = run.headline
    value, interval = _seeds(run) or (value, _interval(run.results.get(f"{HELD_OUT}{metric}_interval_95")))
    test = f"fine_tuned_{_task(run)}_{metric}"
    return CheckpointFigure(test, f"{task}, fine-tuned: {title(metric)}", metric, step, value, interval)


def _seeds(run: Run) -> tuple[float, tuple[float, float]] | None:
    """Mean and spread of the runs of ``finetune --seeds``; None for one run, and for a grid."""
    sweep = run.sweep
    if sweep is None or any(set(one) != {"seed", sweep["metric"]} for one in sweep["runs"]):
        return None
    mean, deviation = sweep["mean"], sweep["standard_deviation"]
    return mean, (mean - deviation, mean + deviation)


def _interval(value: Any) -> tuple[float, float] | None:
    is_one = isinstance(value, list) and len(value) == 2 and all(map(is_number, value))
    return (value[0], value[1]) if is_one else None


def panels_of_tests(runs: Sequence[Run], figures: Mapping[str, Sequence[CheckpointFigure]]) -> list[Panel]:
    """A panel for each test, over the millions of tokens that the checkpoints had read.

    Args:
        runs: the runs of the report.
        figures: figures of checkpoints by the name of their run.
    """
    tests = {one.test: one for run in runs for one in figures.get(run.name, ())}
    panels = []
    for test, first in tests.items():
        curves = []
        for number, run in enumerate(runs):
            points = [one for one in figures.get(run.name, ()) if one.test == test]
            curves += [_curve(run, number, points)] if points else []
        if drawn := [curve for curve in curves if curve.places]:
            panels.append(Panel(test, drawn, named=first.title, metric=first.metric, is_over_tokens=True))
    return panels


def _curve(run: Run, number: int, points: Sequence[CheckpointFigure]) -> Curve:
    placed = [(tokens / 1e6, one) for one in points if (tokens := run.tokens_at(one.step)) is not None]
    if left_out := len(points) - len(placed):
        counted = console.counted(left_out, "figure", "figures")
        why = "as neither a checkpoint nor the log tells the tokens read"
        console.warn(console.plain(f"{run.name}: {counted} of '{points[0].title}' not shown, {why}"))
    placed.sort(key=lambda one: one[0])
    intervals = [one.interval or (one.value, one.value) for _, one in placed]
    return Curve(number, True, [tokens for tokens, _ in placed], [one.value for _, one in placed], intervals)
