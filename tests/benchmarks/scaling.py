"""``python -m benchmarks scaling``: how our tokens a second change with size, length, batch, data workers and processes."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks.apart import apart
from benchmarks.machine import peak_flops
from benchmarks.pretrain import Work, after_the_first_step, flops_a_token, on_prepared, ours, work_of
from benchmarks.rounds import OURS, Figure, Turn, figure
from bertkit import console, hardware
from bertkit.errors import BertkitError
from bertkit.io.atomic import disk_errors
from bertkit.pretraining.request import PretrainRequest
from bertkit.settings.recipes import Override
from bertkit.training.metrics_log import read_metrics

_PICTURES = (".png", ".svg", ".pdf")
_LENGTHS = (32, 64, 128, 256, 512)
_BATCHES = (8, 32, 128)
_WORKERS = (0, 1, 2)
_SIZES = {"cpu": ("tiny", "mini", "small"), "mps": ("tiny", "mini", "small", "medium")}
_GPU_SIZES = ("tiny", "mini", "small", "medium", "base")


@dataclass(frozen=True)
class Setting:
    """Where one run stands on all axes."""

    recipe: str
    max_seq_length: int = 128
    batch_size: int = 32
    num_workers: int = 0
    processes: int = 1


AXES = {
    "recipe": "model size",
    "max_seq_length": "sequence length (as many tokens a step)",
    "batch_size": "batch size",
    "num_workers": "data workers",
    "processes": "processes",
}


def bench_scaling(request: PretrainRequest, steps: int, rounds: int) -> dict[str, Any]:
    """Tokens a second (real ones) along each axis, all else as in the middle: length 128, batch 32, one process."""
    middle = Setting(request.recipe or "tiny")
    device = hardware.choose_device(request.device)
    request = on_prepared(request, work_of(_at(request, middle)).corpus)
    wanted = list(settings(middle, device))
    peaks: dict[str, float] = {}
    measured: dict[Setting, dict[str, Any]] = {}
    with console.progress("measuring", len({one for _, one in wanted}), "setting") as line:
        for axis, one in wanted:
            if one not in measured:
                line.update(len(measured), f"{AXES[axis]} {getattr(one, axis)}")
                measured[one] = _measured(_at(request, one), one.processes, steps, rounds, peaks)
    return {
        "work": f"pretrain {middle.recipe}, length {middle.max_seq_length}, batch {middle.batch_size}",
        "unit": "tokens/s",
        "device": hardware.describe_device(device),
        "points": [
            {"axis": AXES[axis], "value": getattr(one, axis), "setting": asdict(one), **measured[one]}
            for axis, one in wanted
        ],
    }


def settings(middle: Setting, device: str) -> Iterator[tuple[str, Setting]]:
    """The axes, and the settings along each; that in the middle is on all of them."""
    for size in dict.fromkeys((*_SIZES.get(device, _GPU_SIZES), middle.recipe)):
        yield "recipe", replace(middle, recipe=size)
    tokens = middle.max_seq_length * middle.batch_size
    for length in _LENGTHS:
        yield "max_seq_length", replace(middle, max_seq_length=length, batch_size=tokens // length)
    for batch in _BATCHES:
        yield "batch_size", replace(middle, batch_size=batch)
    for workers in _WORKERS:
        yield "num_workers", replace(middle, num_workers=workers)
    most = torch.cuda.device_count() if device == "cuda" else 1 if device == "mps" else 2
    for processes in range(1, most + 1):
        yield "processes", replace(middle, processes=processes)


def _at(request: PretrainRequest, one: Setting) -> PretrainRequest:
    """The request at a setting."""
    values = {
        "data.max_seq_length": one.max_seq_length,
        "train.batch_size": one.batch_size,
        "train.num_workers": one.num_workers,
    }
    kept = [given for given in request.overrides if given.key not in values]
    added = [Override(key, value, "bench scaling") for key, value in values.items()]
    return replace(request, recipe=one.recipe, overrides=[*kept, *added])


def _measured(
    request: PretrainRequest, processes: int, steps: int, rounds: int, peaks: dict[str, float]
) -> dict[str, Any]:
    if processes > 1:
        turns = [_by_torchrun(request, processes, steps) for _ in range(rounds)]
    else:
        with apart({OURS: partial(ours, request, steps)}) as contestants:
            turns = [contestants[OURS]() for _ in range(rounds)]
    found = figure(OURS, turns, turns)
    return {
        "speed": found.speed,
        "share_of_peak": _share_of_peak(work_of(request), found, steps, peaks),
        "waiting": found.waiting,
        "memory_bytes": found.memory_bytes,
    }


def _share_of_peak(work: Work, found: Figure, steps: int, peaks: dict[str, float]) -> float:
    if work.precision not in peaks:
        peaks[work.precision] = peak_flops(work.device, work.precision)
    return found.speed * flops_a_token(work, steps) / peaks[work.precision]


def _by_torchrun(request: PretrainRequest, processes: int, steps: int) -> Turn:
    """So many ranks on this machine, as one would start them; the first step is left out."""
    own = {
        "train.max_steps": steps,
        "train.logging_steps": steps,
        "train.save_steps": 10 * steps,
        "data.validation_split": 0,
    }
    given = {one.key: one.value for one in request.overrides} | own
    with tempfile.TemporaryDirectory(prefix="bertkit-bench-") as folder:
        out = Path(folder) / "run"
        launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), "-m", "bertkit"]
        command = [sys.executable, "-m", *launcher, "pretrain", *request.corpus, "--out", str(out)]
        command += ["--recipe", str(request.recipe), "--device", request.device]
        command += [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
        ended = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False)
        if ended.returncode:
            said = [line for line in ended.stderr.splitlines() if line.startswith("error")]
            raise BertkitError(f"{processes} processes: {said[0] if said else ended.stderr[-300:]}")
        return Turn(*after_the_first_step(read_metrics(out)))


def check_plot(path: Path) -> None:
    """What can be known to be wrong before anything is measured.

    Raises:
        BertkitError: matplotlib is missing, or the file's name says no form of picture.
    """
    if find_spec("matplotlib") is None:
        raise BertkitError("--plot needs matplotlib: pip install matplotlib, or leave --plot out")
    if path.suffix not in _PICTURES:
        raise BertkitError(f"--plot {path}: the name must end in {', '.join(_PICTURES)}")


def plot(result: dict[str, Any], path: Path) -> None:
    """The bars of each axis in a panel of their own, all on one scale."""
    from matplotlib.figure import Figure as Picture

    by_axis: dict[str, list[dict[str, Any]]] = {}
    for point in result["points"]:
        by_axis.setdefault(point["axis"], []).append(point)
    picture = Picture(figsize=(3 * len(by_axis), 3.6), layout="constrained")
    panels = picture.subplots(1, len(by_axis), sharey=True, width_ratios=[len(points) for points in by_axis.values()])
    for panel, (axis, points) in zip(panels, by_axis.items(), strict=True):
        bars = panel.bar(
            [str(point["value"]) for point in points], [point["speed"] for point in points], color="#4269d0"
        )
        panel.bar_label(bars, [f"{point['speed'] / 1000:,.1f}k" for point in points], fontsize=8)
        panel.set_xlabel(axis.replace(" (", "\n("))
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(result["unit"])
    picture.suptitle(f"{result['work']}; {result['device']}", fontsize=10)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.savefig(path, dpi=150)
