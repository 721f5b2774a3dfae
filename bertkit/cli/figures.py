"""How the figures of a fine-tuned model are told, and what makes them doubtful."""

from typing import Any

from bertkit import console

_EVEN = 0.5
"""A class with less than this of an even share of the rows has figures of its own."""


def of_class(metric: str, results: dict[str, Any]) -> str:
    """ " of positive" for a metric that is of one class alone, the second of two."""
    is_of_one = metric in ("f1", "precision", "recall") and "f1_class" in results
    return f" of {console.plain(results['f1_class'])}" if is_of_one else ""


def told(metric: str, results: dict[str, Any]) -> str:
    """A metric in a line, with what it is to be held against."""
    interval, baseline = results.get(f"eval_{metric}_interval_95"), results.get("baseline", {})
    line = f"{metric.replace('_', ' ')}{of_class(metric, results)} [bold]{results[f'eval_{metric}']:.4f}[/]"
    if interval:
        line += f", 95 % interval {interval[0]:.4f} to {interval[1]:.4f} on {results['eval_rows']:,} rows"
    if metric in baseline:
        line += f"; {baseline['what']}: {baseline[metric]:.4f}"
    elif metric == "mse" and "mean_baseline_mse" in results:
        line += f"; always saying the mean: {results['mean_baseline_mse']:.4f}"
    untuned = results.get(f"eval_{metric}_untuned", results.get(f"eval_{metric}_at_half"))
    if untuned is not None:
        line += f"; without thresholds that were fitted on these rows: {untuned:.4f}"
    return line


def least_class(results: dict[str, Any]) -> str | None:
    """The class with the fewest rows in words, where it has far fewer than others."""
    least = results.get("least_class")
    if least is None or least["rows"] >= _EVEN * results["eval_rows"] / len(results["confusion"]["labels"]):
        return None
    return f"recall of the least class, {console.plain(least['class'])} ({least['rows']:,} of {results['eval_rows']:,} rows)"


def say_least_class(results: dict[str, Any]) -> None:
    """The figures that a frequent class cannot hide, where there is one."""
    least = least_class(results)
    if least is not None:
        console.note(f"macro f1 {results['eval_macro_f1']:.4f}, {least} {results['least_class']['recall']:.4f}")


def say_doubts(results: dict[str, Any]) -> None:
    """Warns of one class for all rows, and of figures that are no better than without a look at the texts."""
    confusion = results.get("confusion", {"labels": [], "matrix": []})
    given = [sum(column) for column in zip(*confusion["matrix"], strict=True)]
    tries = "try more --epochs, a larger --lr, or " + (
        "--set train.class_weights=balanced" if given else "more rows to train on"
    )
    baseline = results.get("baseline", {"beaten": True})
    if len(given) > 1 and sum(1 for rows in given if rows) == 1:
        name = console.plain(confusion["labels"][given.index(max(given))])
        console.warn(f"all {max(given):,} rows got one class, {name}: it has learned nothing of the texts; {tries}")
    elif not baseline["beaten"]:
        metric = next(name for name in baseline if f"eval_{name}" in results)
        figure = f"{metric.replace('_', ' ')}{of_class(metric, results)} {baseline[metric]:.4f}"
        console.warn(
            f"no better than {baseline['what']} ({figure}), by the 95 % interval on {results['eval_rows']:,} rows; {tries}"
        )
