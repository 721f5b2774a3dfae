"""The figures of predictions for texts with classes or numbers: metrics, intervals, baselines."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from bertkit import console
from bertkit.errors import BertkitError, did_you_mean
from bertkit.finetuning.metrics import CLASSES, METRICS, NUMBERS, OF_MANY, SETS, Score
from bertkit.io.atomic import scratch_folder


def check_names(names: Sequence[str], kind: str, num_labels: int | None = None) -> None:
    """Checks names of metrics before anything is trained.

    Raises:
        BertkitError: there is no such metric, or it does not fit the kind of labels or the number of classes.
    """
    for name in names:
        if name not in METRICS:
            raise BertkitError(
                f"no metric '{name}'.{did_you_mean(name, list(METRICS))} There are: {', '.join(METRICS)}"
            )
        fitting = [
            other
            for other, metric in METRICS.items()
            if kind in metric.fits and not (other == "f1" and (num_labels or 2) > 2)
        ]
        if name not in fitting:
            classes = f" of {num_labels} classes" if num_labels else ""
            raise BertkitError(f"metric {name} does not fit {kind}{classes}: choose of {', '.join(fitting)}")


def compute(
    names: Sequence[str], predictions: ArrayLike, labels: ArrayLike, num_labels: int | None = None
) -> dict[str, float]:
    """The metrics of all rows, by name. An undefined correlation counts as 0, and a note says so.

    Args:
        num_labels: of how many classes the ids are; None takes the greatest id that occurs for the last class.

    Raises:
        BertkitError: a metric is unknown or does not fit, there are no rows, or predictions are not finite.
    """
    import evaluate

    predicted, true, kind, chosen = _checked(names, predictions, labels, num_labels)
    # Even with predictions in memory an evaluate.Metric makes a folder in its cache, which all processes share.
    with scratch_folder("bertkit-metrics") as folder:
        how = {"config_name": kind, "keep_in_memory": True, "cache_dir": str(folder), "seed": 0}
        combined = evaluate.combine([metric(**how) for metric in chosen.values()])
        values = combined.compute(predictions=predicted, references=true).values()
    figures = dict(zip(chosen, values, strict=True))
    for name, value in figures.items():
        if np.isnan(value):
            console.note(f"{name} is undefined (predictions or labels are all the same): counted as 0")
    return {name: float(np.nan_to_num(value)) for name, value in figures.items()}


def interval(
    name: str, predictions: ArrayLike, labels: ArrayLike, seed: int, num_labels: int | None = None
) -> tuple[float, float]:
    """The 95 % confidence interval of a metric; ``num_labels`` and errors as for ``compute``."""
    predicted, true, _, chosen = _checked([name], predictions, labels, num_labels)
    return chosen[name].interval(predicted, true, seed)


def baseline(name: str, labels: ArrayLike, num_labels: int | None = None) -> float:
    """The figure of the same answer for all rows, which is ``Score.one_answer`` of the metric."""
    _, true, _, chosen = _checked([name], labels, labels, num_labels)
    answers = np.broadcast_to(chosen[name].one_answer(true), true.shape).astype(true.dtype)
    return float(np.nan_to_num(chosen[name].figure(chosen[name].parts(answers, true).sum(axis=0))))


def _checked(
    names: Sequence[str], predictions: ArrayLike, labels: ArrayLike, num_labels: int | None
) -> tuple[np.ndarray, np.ndarray, str, dict[str, type[Score]]]:
    """Checks predictions and labels; returns both as arrays of the same type, the kind of labels, and the metrics."""
    predicted, true = np.asarray(predictions), np.asarray(labels)
    assert predicted.shape == true.shape, f"{predicted.shape} predictions for {true.shape} labels"
    if not len(true):
        raise BertkitError("there are no rows to evaluate: give a validation file with at least one row")
    if not np.isfinite(predicted).all():
        raise BertkitError("the model's predictions are not finite: its training has diverged; lower --lr")
    floats = np.issubdtype(np.result_type(predicted, true), np.floating)
    kind = SETS if true.ndim == 2 else NUMBERS if floats else CLASSES
    dtype = np.float64 if kind == NUMBERS else np.int64
    classes = (num_labels or 1 + int(max(predicted.max(), true.max()))) if kind == CLASSES else None
    check_names(names, kind, classes)
    metrics = METRICS | OF_MANY if (classes or 0) > 2 else METRICS
    return predicted.astype(dtype), true.astype(dtype), kind, {name: metrics[name] for name in names}
