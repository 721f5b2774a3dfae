"""The curves of each figure that runs have logged, and how figures are written for people."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from bertkit import console
from bertkit.reporting.runs import Run, is_number

HELD_OUT = "eval_"
_NO_CURVES = {"step", "epoch", "tokens", "seconds", "max_seq_length", "max_steps"}
_TITLES = {
    "loss": "Loss",
    "mlm_loss": "Loss at the masked words (nats)",
    "nsp_loss": "Loss of the sentence pairs (nats)",
    "mlm_accuracy": "Accuracy at the masked words",
    "nsp_accuracy": "Accuracy of the sentence pairs",
    "perplexity": "Perplexity",
    "accuracy": "Accuracy",
    "f1": "F1",
    "macro_f1": "Macro F1",
    "micro_f1": "Micro F1",
    "spearmanr": "Spearman",
    "mse": "Mean squared error",
    "lr": "Learning rate",
    "grad_norm": "Gradient norm, before clipping",
    "tokens_per_second": "Tokens per second",
    "data_wait": "Time spent waiting for data",
}
OF_TRAINING = ["lr", "grad_norm", "tokens_per_second", "data_wait"]
"""Figures that describe the training; they come after those that describe the model."""
_SHARES = re.compile(r"(?:^|_)(?:accuracy|exact_match|f1|precision|recall|share|baseline|data_wait)(?:_|$)")
"""Words in the names of shares; the name of a split may stand behind them, as in "accuracy_mismatched"."""
_MOST = 1e100
"""The largest value that is drawn; well beyond it the limits of matplotlib's axes overflow."""


@dataclass(frozen=True)
class Curve:
    """One figure of one run.

    Attributes:
        run: the run's number in the report.
        held_out: whether these are figures of evaluations, rather than of training steps.
        places: where the values lie from left to right: steps, or millions of tokens.
        values: the figure there.
        intervals: the interval of each value, if known.
    """

    run: int
    held_out: bool
    places: Sequence[float]
    values: list[float]
    intervals: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Panel:
    """The curves of one figure, over all runs.

    Attributes:
        name: the figure's name in the logs.
        curves: one or two for each run that has it.
        level: the figure of a model that ignores the context, if known.
        named: the figure's name for people, if it is not that of ``title``.
        metric: the name that tells how the figure is written, if it is not ``name``.
        is_over_tokens: whether the places are millions of tokens, rather than steps.
    """

    name: str
    curves: list[Curve] = field(default_factory=list)
    level: float | None = None
    named: str = ""
    metric: str = ""
    is_over_tokens: bool = False

    @property
    def title(self) -> str:
        return self.named or title(self.name)

    def at(self, place: float) -> str:
        """A place, in words."""
        return f"{console.in_millions(round(place * 1e6))} tokens" if self.is_over_tokens else f"step {place:,}"

    def shown(self, value: float) -> str:
        """A value of the figure, for people."""
        return shown(self.metric or self.name, value)

    @property
    def is_share(self) -> bool:
        """Whether the figure is a share (0 to 1), which is written in per cent."""
        return is_share(self.metric or self.name)


def title(name: str) -> str:
    """The name of a figure (given without ``eval_``) for people."""
    return _TITLES.get(name) or name.replace("_", " ").capitalize()


def panels_of(runs: Sequence[Run]) -> list[Panel]:
    """A panel for each figure that at least one of the runs has logged."""
    panels = []
    for name in _figures(runs):
        curves = [
            curve
            for number, run in enumerate(runs)
            for key in (name, HELD_OUT + name)
            if (curve := _curve(run, number, key)).places
        ]
        if curves:
            panels.append(Panel(name, curves, _level(name, [runs[curve.run] for curve in curves])))
    return panels


def _figures(runs: Sequence[Run]) -> list[str]:
    """The names of the logged figures without ``eval_``: first the known ones in their order, then all others."""
    met = {key.removeprefix(HELD_OUT): None for run in runs for line in run.metrics for key in line}
    known = [name for name in _TITLES if name in met and name not in OF_TRAINING]
    others = [name for name in met if name not in _TITLES and name not in _NO_CURVES]
    return [*known, *others, *(name for name in OF_TRAINING if name in met)]


def _curve(run: Run, number: int, key: str) -> Curve:
    logged = [line for line in run.metrics if is_number(line.get(key))]
    lines = [line for line in logged if abs(line[key]) <= _MOST]
    if left_out := len(logged) - len(lines):
        counted = console.counted(left_out, "value is", "values are")
        console.warn(console.plain(f"{run.name}: {counted} beyond {_MOST:g} in {key}, and not drawn"))
    return Curve(
        number, key.startswith(HELD_OUT), [line["step"] for line in lines], [float(line[key]) for line in lines]
    )


def _level(name: str, runs: Sequence[Run]) -> float | None:
    key = {"mlm_loss": "unigram_entropy", "mlm_accuracy": "most_frequent_token_share"}.get(name)
    if key is None and name != "accuracy":
        return None
    told = [run.facts.get(key) if key else run.results.get("majority_baseline") for run in runs]
    known = {float(value) if is_number(value) else None for value in told}
    return known.pop() if len(known) == 1 else None  # runs on different data have no common level


def shown(name: str, value: float) -> str:
    """A figure for people: shares in per cent, large numbers in thousands.

    Example:
        >>> [shown("mlm_accuracy", 0.4567), shown("loss", 2.34567), shown("tokens_per_second", 22576.7)]
        ['45.7 %', '2.346', '22.6k']
    """
    if is_share(name):
        return f"{value:.1%}".replace("%", " %")
    if 10_000 <= abs(value) < 1e9:
        return f"{value / 1000:.1f}k"
    return f"{value:.2g}" if name == "lr" else f"{value:.4g}"


def is_share(name: str) -> bool:
    """Whether a figure is a share (0 to 1), which is written in per cent."""
    return _SHARES.search(name) is not None
