"""``python -m benchmarks curve``: what pretraining buys: models that saw more and more tokens, and what each can do."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bertkit
from benchmarks.glue import glue_figure
from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.atomic import disk_errors

_NAMES = {"cloze": "cloze, right at once", "minimal_pairs": "minimal pairs", "sst2": "SST-2"}


def bench_curve(models: Sequence[str], pairs: Path | None, glue: Path | None, seeds: int) -> list[dict[str, Any]]:
    """A point a model, in the order given: ``tokens`` in millions, and its figures with their 95 % intervals.

    Args:
        models: ``TOKENS=FOLDER`` each, in millions; 0 takes the folder's sizes with random weights, for SST-2 alone.
        pairs: minimal pairs; None leaves them out.
        glue: folder with SST-2; None leaves it out.

    Raises:
        BertkitError: a model is not named so.
    """
    points = []
    for named in models:
        tokens, _, folder = named.partition("=")
        if not folder or not tokens.replace(".", "", 1).isdigit():
            raise BertkitError(f"'{named}' is no TOKENS=FOLDER: name millions of tokens, such as 36=runs/mine")
        points.append({"tokens": float(tokens), **_figures(folder, float(tokens) > 0, pairs, glue, seeds)})
        console.note(console.plain(json.dumps(points[-1])))
    return points


def _figures(folder: str, is_trained: bool, pairs: Path | None, glue: Path | None, seeds: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if is_trained:
        cloze = bertkit.evaluate(folder, cloze=True)
        figures["cloze"] = [cloze["top_1"], *cloze["top_1_interval_95"]]
    if is_trained and pairs is not None:
        told = bertkit.evaluate(folder, minimal_pairs=pairs)
        figures["minimal_pairs"] = [told["accuracy"], *told["accuracy_interval_95"]]
    if glue is not None:
        figures["sst2"] = _sst2(folder, is_trained, glue, seeds)
    return figures


def _sst2(folder: str, is_trained: bool, glue: Path, seeds: int) -> list[float]:
    """Mean, least and greatest of the seeds."""
    shares = [glue_figure("sst2", folder, glue, seed, from_scratch=not is_trained) for seed in range(1, seeds + 1)]
    return [sum(shares) / len(shares), min(shares), max(shares)]


def plot(points: Sequence[dict[str, Any]], path: Path) -> None:
    """The figures over the tokens, each point with its interval."""
    from matplotlib.figure import Figure

    names = [name for name in _NAMES if any(name in point for point in points)]
    picture = Figure(figsize=(3.2 * len(names), 3.0), layout="constrained")
    panels = picture.subplots(1, len(names), squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        there = [point for point in points if name in point]
        middle, low, high = zip(*([100 * share for share in point[name]] for point in there), strict=True)
        reach = [
            [m - one for m, one in zip(middle, low, strict=True)],
            [one - m for m, one in zip(middle, high, strict=True)],
        ]
        panel.errorbar([point["tokens"] for point in there], middle, yerr=reach, color="#4269d0", marker="o", capsize=3)
        panel.set_title(_NAMES[name], fontsize=10)
        panel.set_xlabel("million tokens seen")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("%")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.savefig(path, dpi=150)
