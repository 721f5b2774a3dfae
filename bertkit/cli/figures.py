"""Prints the figures of a fine-tuned model, and warns of what makes them doubtful."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.console import counted
from bertkit.io.structured import read_toml

_EVEN = 0.5
"""The least frequent class gets figures of its own if it has less than this part of an even share of the rows."""
_UNEVEN = 2
"""Weights of the classes are advised if one has so many times the rows of another."""
_FEW_ROWS = 6
"""Fewer rows do not tell whether classes are uneven."""


def of_class(metric: str, results: dict[str, Any]) -> str:
    """The text " of positive" for a metric that is about one class only, the second of two; else empty."""
    is_of_one = metric in ("f1", "precision", "recall") and "f1_class" in results
    return f" of {console.plain(results['f1_class'])}" if is_of_one else ""


def told(metric: str, results: dict[str, Any]) -> str:
    """A line with a metric, its interval and its baseline."""
    interval, baseline = results.get(f"eval_{metric}_interval_95"), results.get("baseline", {})
    form = ".4g" if metric == "mse" else ".4f"  # it has the unit of the numbers, squared, and may be tiny
    line = f"{metric.replace('_', ' ')}{of_class(metric, results)} [bold]{results[f'eval_{metric}']:{form}}[/]"
    if interval:
        rows = counted(results["eval_rows"], "row", "rows")
        line += f", 95 % interval {interval[0]:{form}} to {interval[1]:{form}} on {rows}"
    if metric in baseline:
        line += f"; {baseline['what']}: {baseline[metric]:{form}}"
    elif metric == "mse" and "mean_baseline_mse" in results:
        line += f"; always saying the mean: {results['mean_baseline_mse']:{form}}"
    untuned = results.get(f"eval_{metric}_untuned", results.get(f"eval_{metric}_at_half"))
    if untuned is not None and untuned != results[f"eval_{metric}"]:
        line += f"; without thresholds that were fitted on these rows: {untuned:.4f}"
    return line


def least_class(results: dict[str, Any]) -> str | None:
    """A description of the least frequent class, if it has far fewer rows than others; else None."""
    least = results.get("least_class")
    if least is None or least["rows"] >= _EVEN * results["eval_rows"] / len(results["confusion"]["labels"]):
        return None
    return f"recall of the least class, {console.plain(least['class'])} ({least['rows']:,} of {results['eval_rows']:,} rows)"


def say_least_class(results: dict[str, Any]) -> None:
    """Prints the figures that a frequent class cannot improve, if the classes are uneven."""
    least = least_class(results)
    if least is not None:
        console.note(f"macro f1 {results['eval_macro_f1']:.4f}, {least} {results['least_class']['recall']:.4f}")


def say_doubts(results: dict[str, Any], model: str) -> None:
    """Warns if all predictions are the same class, or if a figure is no better than a baseline that ignores the texts.

    ``model`` is the model's folder or name, whose recipe says whether its training weighted the classes.
    """
    confusion = results.get("confusion", {"labels": [], "matrix": []})
    given = [sum(column) for column in zip(*confusion["matrix"], strict=True)]
    there = [sum(row) for row in confusion["matrix"]]
    # Of the rows to train on nothing is known here; those that are held out are mostly like them.
    is_uneven = max(there, default=0) >= _UNEVEN * min(filter(None, there), default=1)
    helps_to_weigh = sum(there) >= _FEW_ROWS and is_uneven and not _is_weighted(model)
    tries = "train it with more --epochs, a larger --lr, or " + (
        "--set train.class_weights=balanced" if helps_to_weigh else "more rows to train on"
    )
    baseline = results.get("baseline", {"beaten": True})
    if name := _only(confusion["labels"], there):
        console.warn(f"{_all(max(there), 'is', 'are')} of one class, {name}: only rows of others show what was learned")
    elif name := _only(confusion["labels"], given):
        console.warn(
            f"{_all(max(given), 'got', 'got')} one class, {name}: it has learned nothing of the texts; {tries}"
        )
    elif not baseline["beaten"]:
        metric = next(name for name in baseline if f"eval_{name}" in results)
        figure = f"{metric.replace('_', ' ')}{of_class(metric, results)} {baseline[metric]:.4f}"
        console.warn(
            f"no better than {baseline['what']} ({figure}), by the 95 % interval on {results['eval_rows']:,} rows; {tries}"
        )


def _all(rows: int, one: str, more: str) -> str:
    return f"the only row {one}" if rows == 1 else f"all {rows:,} rows {more}"


def _is_weighted(model: str) -> bool:
    from bertkit.settings.recipes import flat
    from bertkit.training.run_folder import RECIPE

    path = Path(model) / RECIPE
    return path.is_file() and flat(read_toml(path)).get("train.class_weights") == "balanced"


def _only(labels: Sequence[str], rows: Sequence[int]) -> str:
    """The one of several classes that has all the rows; empty where there is none."""
    having = [label for label, number in zip(labels, rows, strict=True) if number]
    return console.plain(having[0]) if len(labels) > 1 and len(having) == 1 else ""
