"""Checkpoints: written whole or not at all, and checked before they are trusted."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ConfigDict, ValidationError
from pydantic.dataclasses import dataclass
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.atomic import new_folder, write_json
from bertkit.io.structured import parsed_json, read_json
from bertkit.training.record import MANIFEST, STATE

_NAME = re.compile(r"checkpoint-(\d+)")
_OPTIMIZER, _WEIGHTS = "optimizer.safetensors", "model.safetensors"


@dataclass(config=ConfigDict(strict=True, extra="forbid"))
class Progress:
    """How far a run is: everything that changes in training besides the weights and the optimizer's state.

    All else (data, dropout, learning rate) is a function of the step, so it need not be saved.
    """

    step: int = 0
    """Optimizer steps that are done."""
    tokens: int = 0
    """Real tokens seen, padding not counted."""
    seconds: float = 0.0
    """Seconds of training so far, over all resumes."""
    skipped_steps: int = 0
    """Steps whose gradient was not finite, and which therefore changed nothing."""
    best: float | None = None
    """The best validation figure so far; None where the run does not keep its best weights."""
    best_step: int | None = None
    evaluations_without_gain: int = 0
    """Evaluations since the best one; ``Job.patience`` of them end the run."""
    owes_evaluation: bool = False
    """Whether a signal interrupted the evaluation that was due at this step; a resume begins with that evaluation."""
    refits: list[list[int]] = field(default_factory=list)
    """Where the number of steps was fitted to the budget again, as pairs of (first step, steps of the whole run); see
    ``schedule.Course``."""


def save_checkpoint(
    out: Path,
    progress: Progress,
    save_model: Callable[[Path], None],
    optimizer_state: dict[str, Any],
    keep: int,
    protected: int | None = None,
) -> Path:
    """Writes ``checkpoint-N`` under a temporary name, syncs and renames it, then removes the oldest checkpoints.

    Args:
        out: the run's folder.
        progress: the state of the run; N is its step.
        save_model: writes the model and the tokenizer into a folder.
        optimizer_state: the state by parameter name (see ``Sharding.optimizer_state``); the state of the gradient
            scaler, if there is one, stands under "scaler".
        keep: how many checkpoints are kept.
        protected: the step of a checkpoint that is kept whatever its age.

    Raises:
        BertkitError: the disk is full or cannot be written. The older checkpoints are untouched.
    """
    folder = out / f"checkpoint-{progress.step}"
    if folder.exists():  # a damaged one, which the run did not go on from
        shutil.rmtree(folder)
    with new_folder(folder) as fresh:
        save_model(fresh)
        write_json(fresh / STATE, asdict(progress))
        _write_optimizer(fresh / _OPTIMIZER, optimizer_state)
        shutil.copymode(fresh / STATE, fresh / _OPTIMIZER)  # safetensors makes files that only their owner can read
        files = {path.name: [path.stat().st_size, _sha256(path)] for path in sorted(fresh.iterdir())}
        write_json(fresh / MANIFEST, files)
    others = [path for step, path in _checkpoints(out) if step not in (progress.step, protected)]
    for old in others[: max(0, len(others) + 1 - keep)]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def newest_checkpoint(out: Path) -> Path | None:
    """The newest checkpoint of a run that is intact, as are the best weights so far, which another one may hold.

    None without one. A warning names each that is skipped.
    """
    for _, folder in reversed(_checkpoints(out)):
        damage = _damage(folder) or _damage_of_best(folder)
        if damage is None:
            return folder
        console.warn(console.plain(f"skipped {folder.name}: {damage}"))
    return None


def load_best_weights(folder: Path, model: nn.Module) -> None:
    """Loads the weights of a run's best checkpoint, at the end of the run.

    Raises:
        BertkitError: the checkpoint is damaged or missing, or belongs to another model.
    """
    if damage := _damage(folder):
        raise BertkitError(
            f"{folder}, which has the best weights of the run, has changed since it was written: {damage}; the same command "
            "with --resume makes the steps since an earlier checkpoint again"
        )
    load_weights(folder, model)


def read_progress(folder: Path) -> Progress:
    """The progress that a checkpoint stores.

    Raises:
        BertkitError: the file is missing, or does not have the form that bertkit writes.
    """
    try:
        return Progress(**read_json(folder / STATE))
    except ValidationError as error:
        first = error.errors()[0]
        raise BertkitError(
            f"{folder / STATE} is of no checkpoint of bertkit: {first['loc'][0]} is {str(first['input'])[:40]!r}"
        ) from None


def load_weights(folder: Path, model: nn.Module) -> None:
    """Loads a checkpoint's weights into a model of the same shape.

    Raises:
        BertkitError: the checkpoint belongs to another model.
    """
    try:
        weights = load_file(folder / _WEIGHTS)
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except (RuntimeError, OSError, ValueError, SafetensorError) as error:
        raise BertkitError(f"{folder} is a checkpoint of another model: {error}") from error
    # Tied weights are stored once: a weight that is absent must share its memory with one that is present.
    state = model.state_dict()
    present = {state[name].data_ptr() for name in weights if name in state}
    absent = [name for name in missing if state[name].data_ptr() not in present]
    if absent or unexpected:
        raise BertkitError(f"{folder} is a checkpoint of another model: '{(absent or unexpected)[0]}' does not fit")


def load_optimizer_state(folder: Path) -> dict[str, Any]:
    """The ``optimizer_state`` that ``save_checkpoint`` was given.

    Raises:
        BertkitError: the file cannot be read, or does not have the form that bertkit writes.
    """
    state: dict[str, dict[str, torch.Tensor]] = {}
    try:
        with safe_open(folder / _OPTIMIZER, "pt") as file:
            plain = parsed_json(file.metadata()["plain"])
            for key in file.keys():  # noqa: SIM118 (not a dictionary)
                name, _, moment = key.rpartition("/")
                state.setdefault(name, {})[moment] = file.get_tensor(key)
        return {**plain, "state": state}
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise BertkitError(f"{folder / _OPTIMIZER} cannot be read: {error}") from error


def _write_optimizer(path: Path, state: dict[str, Any]) -> None:
    """Writes the moments as tensors named ``parameter/moment`` and the rest as JSON metadata: nothing has to be unpickled."""
    moments = {f"{name}/{key}": value for name, some in state["state"].items() for key, value in some.items()}
    plain = {name: value for name, value in state.items() if name != "state"}
    save_file(moments, path, {"plain": json.dumps(plain)})


def _checkpoints(out: Path) -> list[tuple[int, Path]]:
    folders = [(_NAME.fullmatch(path.name), path) for path in out.glob("checkpoint-*") if path.is_dir()]
    return sorted((int(match[1]), path) for match, path in folders if match)


def _damage(folder: Path) -> str | None:
    """Why a checkpoint cannot be trusted; None where it can."""
    if not folder.is_dir():
        return "nothing is there"
    try:
        manifest = read_json(folder / MANIFEST)
        for name, (size, digest) in manifest.items():
            path = folder / Path(name).name
            if path.stat().st_size != size or _sha256(path) != digest:
                return f"{name} is not what was written"
        missing = {STATE, _OPTIMIZER, _WEIGHTS} - manifest.keys()
        return f"no {sorted(missing)[0]}" if missing else None
    except (BertkitError, OSError, ValueError, TypeError) as error:
        return f"its manifest cannot be read ({error})"


def _damage_of_best(folder: Path) -> str | None:
    """Why the best weights so far, as an intact checkpoint names them, cannot be trusted; None where they can."""
    step = read_progress(folder).best_step
    best = folder.with_name(f"checkpoint-{step}")
    damage = None if step is None or best == folder else _damage(best)
    return damage and f"the best weights until then are those of {best.name}, and of that one {damage}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
