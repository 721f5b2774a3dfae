"""Compares a figure with that of a baseline that ignores the texts."""

from typing import Any


def beside(
    metric: str, interval: tuple[float, float], simplest: str, value: float, least_is_best: bool = False
) -> dict[str, Any]:
    """What ``eval_results.json`` has beside a figure: its 95 % interval, the baseline's figure, and which is better.

    Args:
        metric: the name of the metric.
        interval: its 95 % interval.
        simplest: the baseline in words, as in "no better than …".
        value: the baseline's figure.
        least_is_best: whether lower is better.
    """
    beaten = interval[1] < value if least_is_best else interval[0] > value
    baseline = {"what": simplest, metric: value, "beaten": bool(beaten)}
    return {f"eval_{metric}_interval_95": list(interval), "baseline": baseline}
