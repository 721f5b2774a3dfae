"""The log of a run's figures: metrics.jsonl, and trackers such as TensorBoard beside it."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.io.atomic import disk_errors, write_text
from bertkit.io.structured import read_json_lines
from bertkit.settings.schema import MOST_STEPS, TrainSettings
from bertkit.training import ranks
from bertkit.training.run_folder import METRICS, TRACKED

if TYPE_CHECKING:
    from accelerate import Accelerator

    from bertkit.training.checkpoint import Progress


class MetricsLog:
    """Appends to a run's ``metrics.jsonl`` (main process only) and to the trackers.

    A resume drops the lines that were written after its checkpoint, so that the file has neither gaps nor doubles.

    Args:
        out: the run's folder.
        accelerator: knows the trackers.
        progress: that of the checkpoint; at step 0 the file is emptied.
    """

    def __init__(self, out: Path, accelerator: "Accelerator", progress: "Progress") -> None:
        self._path = out / METRICS
        self._accelerator = accelerator
        if accelerator.is_main_process:
            kept = [line for line in read_metrics(out) if _is_before(line, progress)] if progress.step else []
            write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))
            self._evaluated_last = last_evaluation(kept).get("step")

    def lacks_evaluation(self, step: int) -> bool:
        """Whether the evaluation of a step is not in the log of a run that was resumed there. All ranks get the same answer."""
        mine = self._accelerator.is_main_process and self._evaluated_last != step
        return bool(ranks.from_main(int(mine)))

    def write(self, values: dict[str, Any]) -> None:
        """Adds one object, in full precision; it is on disk when this returns, even where the power fails then."""
        if self._accelerator.is_main_process:
            with disk_errors(self._path), self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({name: _json(value) for name, value in values.items()}, allow_nan=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
        if self._accelerator.trackers:
            numbers = {name: value for name, value in values.items() if name != "step"}
            self._accelerator.log(numbers, step=values["step"])


def _is_before(line: dict[str, Any], progress: "Progress") -> bool:
    """Whether a line of the log was written before a checkpoint with this progress."""
    if line["step"] == progress.step and progress.owes_evaluation:
        return not any(name.startswith("eval_") for name in line)
    return bool(line["step"] <= progress.step)


def _json(value: Any) -> Any:
    """The value, or None for infinity and NaN, which JSON does not have."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def trackers(accelerator: "Accelerator", settings: TrainSettings, out: Path) -> Iterator[None]:
    """Runs the trackers of ``settings.report_to`` while the block runs."""
    if settings.report_to:
        # As strings, for TensorBoard takes neither None nor a list.
        shown = {name: str(value) for name, value in settings.model_dump().items()}
        accelerator.init_trackers(TRACKED, {"out": str(out), **shown})
    try:
        yield
    finally:
        for tracker in accelerator.trackers:
            tracker.finish()


def read_metrics(out: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics.jsonl that have a step; of several with the same figures of one step, the last.

    Warnings count the other lines, which are left out.

    Raises:
        BertkitError: the file cannot be read, or is not UTF-8.
    """
    objects, others = read_json_lines(out / METRICS)
    steps = [one for one in objects if type(one.get("step")) is int and 0 <= one["step"] <= MOST_STEPS]
    newest = {(one["step"], *sorted(one)): one for one in steps}  # a line of its training, and one of its evaluation
    _warn(out, others + len(objects) - len(steps), "is no figures of a step", "are no figures of a step")
    _warn(out, len(steps) - len(newest), "has figures that were logged again", "have figures that were logged again")
    return list(newest.values())


def _warn(out: Path, left_out: int, why_one: str, why_more: str) -> None:
    if left_out:
        counted = console.counted(left_out, f"line {why_one}, and is", f"lines {why_more}, and are")
        console.warn(console.plain(f"{out / METRICS}: {counted} left out"))


def last_evaluation(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The last of these lines that has the figures of an evaluation; an empty one if none has."""
    return next((line for line in reversed(lines) if "eval_loss" in line), {})
