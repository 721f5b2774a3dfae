"""Reads the folder of a run for the report; the run may still be going, or may have been interrupted."""

import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.structured import read_json, read_json_lines, read_toml
from bertkit.settings.recipes import flat
from bertkit.training.metrics_log import last_evaluation, read_metrics
from bertkit.training.record import RUN, STATE, read_record
from bertkit.training.run_folder import METRICS, PREDICTIONS, RECIPE, RESULTS

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class Run:
    """The contents of a run's folder.

    Attributes:
        name: the folder's name, or its path if two runs of the report have the same name.
        folder: its path.
        facts: the contents of ``run.json``; "results" and "finished" are there once the run has ended.
        settings: the settings in ``recipe.toml``, by dotted key.
        metrics: the objects of ``metrics.jsonl``.
        results: the contents of ``eval_results.json``, or else the last evaluation; empty before there is one.
        predictions: the objects of ``predictions.jsonl``; empty for pretraining.
    """

    name: str
    folder: Path
    facts: dict[str, Any]
    settings: dict[str, Any]
    metrics: list[dict[str, Any]]
    results: dict[str, Any]
    predictions: list[dict[str, Any]]

    @property
    def step(self) -> int:
        """The last step that was logged."""
        return max((line["step"] for line in self.metrics), default=0)

    @property
    def is_finished(self) -> bool:
        return bool(self.facts.get("finished"))

    @property
    def is_pretraining(self) -> bool:
        return self.facts.get("kind") == "pretrain"

    @property
    def confusion(self) -> dict[str, Any] | None:
        """A classifier's "labels", "matrix" (rows true, columns predicted) and "per_class"; None if there are none."""
        confusion: Any = self.results.get("confusion")
        return confusion if _is_confusion(confusion) else None

    @property
    def sweep(self) -> dict[str, Any] | None:
        """The summary of `finetune --seeds` or `--grid`, with its best run first; None for a single run."""
        sweep: Any = self.results.get("sweep")
        if not _is_sweep(sweep):
            return None
        return {**sweep, "runs": sorted(sweep["runs"], key=lambda run: abs(run[sweep["metric"]] - sweep["best"]))}

    @property
    def headline(self) -> tuple[str, float] | None:
        """The metric by which a fine-tuned model was chosen, and its figure; None where there is none."""
        metrics = self.facts.get("metrics")
        name = str(metrics[0]) if isinstance(metrics, list) and metrics else ""
        value = self.results.get(f"eval_{name}")
        return (name, value) if is_number(value) else None

    @property
    def base_folder(self) -> Path | None:
        """The path of the model that the run began from; None for a new one.

        It was typed in another directory, perhaps, which is told by the run's folder and by how that was typed.
        """
        begun_from, out = self.facts.get("base_model"), Path(str(self.facts.get("out") or "."))
        if not isinstance(begun_from, str):
            return None
        folder, typed = self.folder.resolve(), out.parts
        is_below = bool(typed) and not out.is_absolute() and folder.parts[-len(typed) :] == typed
        return ((folder.parents[len(typed) - 1] if is_below else Path()) / begun_from).resolve()

    def tokens_at(self, step: int) -> float | None:
        """The tokens that the run had read at a step: as its checkpoint says, or as is logged, between two steps in proportion.

        None where neither is there.
        """
        import numpy as np

        with suppress(BertkitError):  # a damaged checkpoint tells nothing
            saved = _there(self.folder / f"checkpoint-{step}" / STATE, read_json)
            if is_number(saved.get("tokens")):
                return float(saved["tokens"])
        logged = sorted((line["step"], line["tokens"]) for line in self.metrics if is_number(line.get("tokens")))
        steps, tokens = zip((0, 0), *logged, strict=True)
        return float(np.interp(step, steps, tokens)) if step <= steps[-1] else None

    def checkpoint_step(self, folder: Path) -> int | None:
        """The step of the run's model in a folder, which may be gone; None for the folder of another model."""
        own, folder = self.folder.resolve(), folder.resolve()
        match = _CHECKPOINT.fullmatch(folder.name)
        if folder == own:
            return self.step
        return int(match[1]) if match and folder.parent == own else None

    def last(self, name: str) -> Any:
        """The last value of a figure in the metrics; None if it was never logged."""
        return next((line[name] for line in reversed(self.metrics) if name in line), None)


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """Reads the runs in some folders, in order, each once; of an unfinished sweep the runs that are there so far.

    Raises:
        BertkitError: a folder does not exist, or no run wrote it.
    """
    by_name = paths_by_name([run for folder in folders for run in _with_inner(Path(folder))])
    return [_read(folder, name) for name, folder in by_name.items()]


def paths_by_name(paths: Sequence[Path]) -> dict[str, Path]:
    """The paths in order, each place once, by their names, or by the whole paths where two have the same name."""
    by_place: dict[Path, Path] = {}
    for path in paths:
        by_place.setdefault(path.resolve(), path)
    names = Counter(place.name for place in by_place)
    return {place.name if names[place.name] == 1 else str(path): path for place, path in by_place.items()}


def _with_inner(folder: Path) -> list[Path]:
    """The folder itself; for a sweep that has not ended, and so has no record yet, the folders of its runs."""
    inner = sorted(path for path in folder.glob("*seed=*") if (path / RUN).is_file())
    return inner if inner and not (folder / RUN).is_file() else [folder]


def _read(folder: Path, name: str) -> Run:
    if not folder.is_dir():
        raise BertkitError(
            f"no folder {folder}: give the folder of a run, which `bertkit pretrain` or `finetune` wrote"
        )
    record, metrics = read_record(folder), read_metrics(folder)
    if record.exported_from is not None:
        raise BertkitError(f"{folder} is an export of {record.exported_from}, and no run: give the folder of that run")
    facts = record.facts
    if not facts and not metrics:
        raise BertkitError(
            f"{folder} is no run: it has neither run.json nor {METRICS}; give a folder that `bertkit pretrain` or "
            "`finetune` wrote"
        )
    results = _there(folder / RESULTS, read_json) or last_evaluation(metrics)
    settings = flat(_there(folder / RECIPE, read_toml))
    predictions, others = read_json_lines(folder / PREDICTIONS)
    if others:
        lines = console.counted(others, "line is no row, and is", "lines are no rows, and are")
        console.warn(console.plain(f"{folder / PREDICTIONS}: {lines} left out"))
    return Run(name, folder, facts, settings, metrics, results, predictions)


def model_folders(run: Run) -> list[tuple[int, Path]]:
    """The folders of a run's checkpoints and, if it has ended, of its model, each with its step; ordered by step."""
    named = [(_CHECKPOINT.fullmatch(path.name), path) for path in run.folder.glob("checkpoint-*")]
    by_step = {int(match[1]): path for match, path in named if match and (path / "config.json").is_file()}
    if (run.folder / "model.safetensors").is_file():
        by_step[run.step] = run.folder  # the last checkpoint holds the same weights
    return sorted(by_step.items())


def mistakes(run: Run, most: int) -> list[dict[str, Any]]:
    """The rows that were predicted wrongly, the worst first, at most ``most``.

    Each has the keys of ``predictions.jsonl``, and "badness": for classes the loss in nats, for numbers the distance from
    the truth.
    """
    wrong = [row for row in run.predictions if "label" in row and row.get("label") != row.get("prediction")]
    rated = [{**row, "badness": _badness(row)} for row in wrong]
    return sorted(rated, key=lambda row: -row["badness"])[:most]


def shares_of(row: Mapping[str, Any]) -> dict[Any, Any] | None:
    """The probabilities in a row of ``predictions.jsonl`` by class, or of choices by their numbers; None without any."""
    shares = row.get("probabilities")
    return dict(enumerate(shares)) if isinstance(shares, list) else shares if isinstance(shares, dict) else None


def _badness(row: dict[str, Any]) -> float:
    label, shares = row["label"], shares_of(row)
    if shares is None:
        prediction = row.get("prediction")
        return abs(label - prediction) if is_number(label) and is_number(prediction) else 0.0
    if isinstance(label, list):  # several classes at once, each on or off
        given = [share if name in label else 1 - share for name, share in shares.items() if is_number(share)]
    else:
        given = [shares[label]] if isinstance(label, str | int) and is_number(shares.get(label)) else []
    return -sum(math.log(max(share, 1e-12)) for share in given)


def _is_confusion(value: Any) -> bool:
    """Whether a value has the form that ``finetuning.confusion`` returns (the file may be anybody's)."""
    try:
        labels, matrix, per_class = value["labels"], value["matrix"], value["per_class"]
        figures = [one[kind] for one in per_class.values() for kind in ("precision", "recall", "f1", "support")]
        is_square = bool(labels) and [len(row) for row in matrix] == [len(labels)] * len(labels)
        named = all(isinstance(label, str) for label in labels)
        counts = [count for row in matrix for count in row]
        return named and is_square and all(map(is_number, [*figures, *counts])) and min(counts) >= 0
    except (KeyError, TypeError, AttributeError):
        return False


def _is_sweep(value: Any) -> bool:
    """Whether a value has the form that ``finetuning.sweep`` writes."""
    try:
        means = [value[name] for name in ("mean", "standard_deviation", "best", "collapsed")]
        rows = [run[value["metric"]] for run in value["runs"]]
        return bool(rows) and all(map(is_number, [*means, *rows]))
    except (KeyError, TypeError):
        return False


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value from JSON can be drawn: null stands for a number that was not finite."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _there(path: Path, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    return read(path) if path.is_file() else {}
