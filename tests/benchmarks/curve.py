"""``python -m benchmarks curve``: what pretraining buys: models that saw more and more tokens, and what each can do."""

import json
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import bertkit
from benchmarks.glue import GLUE, glue_figure
from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.atomic import disk_errors

_SEED = 42
_CLOZE = "cloze, right at once, %"
_COLUMNS = 4
Figure = tuple[float, float, float]
"""A share, and the ends of its interval."""


def bench_curve(
    models: Sequence[str], pairs: Sequence[Path], glue: Path | None, seeds: int, out: Path
) -> list[dict[str, Any]]:
    """A point a model, in the order given: ``tokens`` in millions, and its ``figures`` by what they are of.

    The cloze test and minimal pairs have 95 % intervals, fine-tuned models the standard deviation of their seeds.

    Args:
        models: ``TOKENS=FOLDER`` each, in millions; 0 takes the folder's sizes with random weights, for GLUE alone.
        pairs: folders of minimal pairs.
        glue: folder of GLUE's original TSVs; None leaves it out.
        seeds: runs a model and task, from seed 42 on.
        out: folder of ``figures.jsonl``: what is there of so many tokens is not measured again, so the same command goes on.
            Figures of other models or seeds belong into another folder.

    Raises:
        BertkitError: a model is not named so.
    """
    named = [_parsed(model) for model in models]
    out.mkdir(parents=True, exist_ok=True)
    log = out / "figures.jsonl"
    known = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    found = {(one["tokens"], one["name"]): one["figure"] for one in known}
    for tokens, folder in named:
        for name, measured in _measures(folder, tokens > 0, pairs, glue, seeds):
            if (tokens, name) not in found:
                found[tokens, name] = measured()
                line = json.dumps({"tokens": tokens, "name": name, "figure": found[tokens, name]})
                with log.open("a") as file:
                    file.write(line + "\n")
                console.note(console.plain(line))
    return [
        {"tokens": tokens, "figures": {name: figure for (at, name), figure in found.items() if at == tokens}}
        for tokens, _ in named
    ]


def _parsed(named: str) -> tuple[float, str]:
    tokens, _, folder = named.partition("=")
    if not folder or not tokens.replace(".", "", 1).isdigit():
        raise BertkitError(f"'{named}' is no TOKENS=FOLDER: name millions of tokens, such as 36=runs/mine")
    return float(tokens), folder


def _measures(
    folder: str, is_trained: bool, pairs: Sequence[Path], glue: Path | None, seeds: int
) -> Iterator[tuple[str, Callable[[], Figure]]]:
    """What is measured of a model: its name, and the function that measures it."""
    if is_trained:
        yield _CLOZE, partial(_evaluated, folder, "top_1", cloze=True)
        for one in pairs:
            yield f"{one}, %", partial(_evaluated, folder, "accuracy", minimal_pairs=one)
    if glue is not None:
        for task, known in GLUE.items():
            yield f"{known.title}, %", partial(_fine_tuned, task, folder, is_trained, glue, seeds)


def _evaluated(folder: str, figure: str, **test: Any) -> Figure:
    told = bertkit.evaluate(folder, **test)
    return told[figure], *told[f"{figure}_interval_95"]


def _fine_tuned(task: str, folder: str, is_trained: bool, glue: Path, seeds: int) -> Figure:
    """Mean of the seeds, and a standard deviation to either side."""
    each = [glue_figure(task, folder, glue, _SEED + run, from_scratch=not is_trained) for run in range(seeds)]
    mean, deviation = statistics.fmean(each), statistics.stdev(each) if seeds > 1 else 0.0
    return mean, mean - deviation, mean + deviation


def plot(points: Sequence[dict[str, Any]], path: Path) -> None:
    """The figures over the tokens, each point with its interval."""
    from matplotlib.figure import Figure as Picture

    names = list(dict.fromkeys(name for point in points for name in point["figures"]))
    rows = math.ceil(len(names) / _COLUMNS)
    columns = min(len(names), _COLUMNS)
    picture = Picture(figsize=(2.6 * columns, 2.5 * rows), layout="constrained")
    panels = picture.subplots(rows, columns, squeeze=False).flat
    for panel, name in zip(panels, names, strict=False):
        there = [point for point in points if name in point["figures"]]
        middle, low, high = zip(*([100 * share for share in point["figures"][name]] for point in there), strict=True)
        reach = [
            [m - one for m, one in zip(middle, low, strict=True)],
            [one - m for m, one in zip(middle, high, strict=True)],
        ]
        panel.errorbar([point["tokens"] for point in there], middle, yerr=reach, color="#4269d0", marker="o", capsize=3)
        panel.set_title(name, fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in list(picture.axes)[len(names) :]:
        panel.remove()
    picture.supxlabel("million tokens seen", fontsize=10)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.savefig(path, dpi=150)
