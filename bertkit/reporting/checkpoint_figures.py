"""What pretraining buys: the figures of a run's checkpoints, and of models fine-tuned from them, over the tokens read."""

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
        name: the figure's, such as "cloze_accuracy".
        title: its name for people.
        step: the checkpoint's; 0 stands for random weights.
        value: the figure.
        interval: the 95 % interval of one model, or a standard deviation to either side of the mean of several seeds; None
            where neither is known.
    """

    name: str
    title: str
    step: int
    value: float
    interval: tuple[float, float] | None = None


def fine_tuned(run: Run, others: Sequence[Run]) -> list[CheckpointFigure]:
    """The figures of those runs that fine-tuned a checkpoint of a pretraining run, or its sizes with random weights."""
    return [figure for other in others if (figure := _fine_tuned(run, other)) is not None]


def _fine_tuned(run: Run, other: Run) -> CheckpointFigure | None:
    begun_from, metrics = other.facts.get("base_model"), other.facts.get("metrics")
    if other.is_pretraining or not isinstance(begun_from, str) or not isinstance(metrics, list) or not metrics:
        return None
    step = run.checkpoint_step(Path(begun_from))
    key = f"{HELD_OUT}{metrics[0]}"
    if step is None or not is_number(other.results.get(key)):
        return None
    if other.settings.get("train.from_scratch") is True:
        step = 0
    task = Path(str(other.facts.get("task") or other.name)).name  # rows of one's own are named by their file
    value, interval = _seeds(other, key) or (other.results[key], _interval(other.results.get(f"{key}_interval_95")))
    return CheckpointFigure(
        f"{task}_{metrics[0]}", f"{task}, fine-tuned: {title(str(metrics[0]))}", step, value, interval
    )


def _seeds(run: Run, key: str) -> tuple[float, tuple[float, float]] | None:
    """Mean and spread of the runs of ``finetune --seeds``; None for one run, and for a grid, whose best run is meant."""
    sweep = run.sweep
    if sweep is None or any(set(one) != {"seed", key} for one in sweep["runs"]):
        return None
    mean, deviation = sweep["mean"], sweep["standard_deviation"]
    return mean, (mean - deviation, mean + deviation)


def _interval(value: Any) -> tuple[float, float] | None:
    is_one = isinstance(value, list) and len(value) == 2 and all(map(is_number, value))
    return (value[0], value[1]) if is_one else None


def panels_of_tests(runs: Sequence[Run], figures: Mapping[str, Sequence[CheckpointFigure]]) -> list[Panel]:
    """A panel for each figure, over the millions of tokens that the checkpoints had read.

    Args:
        runs: the runs of the report.
        figures: figures of checkpoints by the name of their run.
    """
    titles = {one.name: one.title for run in runs for one in figures.get(run.name, ())}
    panels = []
    for name, named in titles.items():
        curves = []
        for number, run in enumerate(runs):
            points = [one for one in figures.get(run.name, ()) if one.name == name]
            curves += [_curve(run, number, points)] if points else []
        if drawn := [curve for curve in curves if curve.places]:
            panels.append(Panel(name, drawn, named=named, is_over_tokens=True))
    return panels


def _curve(run: Run, number: int, points: Sequence[CheckpointFigure]) -> Curve:
    placed = [(tokens / 1e6, one) for one in points if (tokens := run.tokens_at(one.step)) is not None]
    if left_out := len(points) - len(placed):
        counted = console.counted(left_out, "figure of a checkpoint is", "figures of checkpoints are")
        console.warn(console.plain(f"{run.name}: {counted} not drawn, as its log does not tell the tokens it had read"))
    placed.sort(key=lambda one: one[0])
    intervals = [one.interval or (one.value, one.value) for _, one in placed]
    return Curve(number, True, [tokens for tokens, _ in placed], [one.value for _, one in placed], intervals)
