"""Whether a figure is better than that of what looks at no text."""

from typing import Any


def beside(
    metric: str, interval: tuple[float, float], simplest: str, value: float, least_is_best: bool = False
) -> dict[str, Any]:
    """What ``eval_results.json`` says beside a figure: its 95 % interval, and the baseline with whether it is beaten.

    Args:
        simplest: what looks at no text, as in "no better than …".
        value: its figure.
    """
    beaten = interval[1] < value if least_is_best else interval[0] > value
    baseline = {"what": simplest, metric: value, "beaten": bool(beaten)}
    return {f"eval_{metric}_interval_95": list(interval), "baseline": baseline}
