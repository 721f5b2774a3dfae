"""Checkpoints: written whole or not at all, checked before they are trusted."""

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

_NAME = re.compile(r"checkpoint-(\d+)")
_MANIFEST, _STATE, _OPTIMIZER, _WEIGHTS = "manifest.json", "state.json", "optimizer.safetensors", "model.safetensors"


@dataclass(config=ConfigDict(strict=True, extra="forbid"))
class Progress:
    """How far a run is. All that changes besides weights and optimizer; all else is a function of the step."""

    step: int = 0
    """Optimizer steps done."""
    tokens: int = 0
    """Real tokens seen, padding not counted."""
    seconds: float = 0.0
    """Of training so far, resumes added up."""
    skipped_steps: int = 0
    """Steps without a finite gradient, which changed nothing."""
    best: float | None = None
    """The best validation figure so far, where a run keeps its best weights."""
    best_step: int | None = None
    evaluations_without_gain: int = 0
    """Since the best one; for ending early."""
    owes_evaluation: bool = False
    """A signal broke off the evaluation that was due at this step: a resume begins with it."""
    refits: list[list[int]] = field(default_factory=list)
    """Where a budget was fitted anew (``schedule.Course``): [first step, steps of the whole run]."""


def save_checkpoint(
    out: Path,
    progress: Progress,
    save_model: Callable[[Path], None],
    optimizer_state: dict[str, Any],
    keep: int,
    protected: int | None = None,
) -> Path:
    """Writes ``checkpoint-N`` under a temporary name, syncs and renames it, then removes the oldest ones.

    Args:
        out: the run's folder.
        progress: the state of the run; N is its step.
        save_model: writes the model and the tokenizer into a folder.
        optimizer_state: by parameter names (``Sharding.optimizer_state``), and the gradient scaler's under "scaler".
        keep: checkpoints to keep.
        protected: the step of a checkpoint that is kept whatever its age.

    Raises:
        BertkitError: the disk is full or cannot be written; the older checkpoints are untouched.
    """
    folder = out / f"checkpoint-{progress.step}"
    if folder.exists():
        shutil.rmtree(folder)
    with new_folder(folder) as fresh:
        save_model(fresh)
        write_json(fresh / _STATE, asdict(progress))
        _write_optimizer(fresh / _OPTIMIZER, optimizer_state)
        shutil.copymode(fresh / _STATE, fresh / _OPTIMIZER)  # safetensors closes its files to everybody else
        files = {path.name: [path.stat().st_size, _sha256(path)] for path in sorted(fresh.iterdir())}
        write_json(fresh / _MANIFEST, files)
    others = [path for step, path in _checkpoints(out) if step not in (progress.step, protected)]
    for old in others[: max(0, len(others) + 1 - keep)]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def newest_checkpoint(out: Path) -> Path | None:
    """The newest whole checkpoint of a run; torn ones are skipped, and said."""
    for _, folder in reversed(_checkpoints(out)):
        damage = _damage(folder)
        if damage is None:
            return folder
        console.warn(console.plain(f"skipped {folder.name}: {damage}"))
    return None


def read_progress(folder: Path) -> Progress:
    """The state of the run that a checkpoint was written in.

    Raises:
        BertkitError: there is none, or it is not of the form that was written here.
    """
    try:
        return Progress(**read_json(folder / _STATE))
    except ValidationError as error:
        first = error.errors()[0]
        raise BertkitError(
            f"{folder / _STATE} is of no checkpoint of bertkit: {first['loc'][0]} is {str(first['input'])[:40]!r}"
        ) from None


def load_weights(folder: Path, model: nn.Module) -> None:
    """Puts a checkpoint's weights into a model of the same shape.

    Raises:
        BertkitError: the checkpoint is of another model.
    """
    try:
        weights = load_file(folder / _WEIGHTS)
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except (RuntimeError, OSError, ValueError, SafetensorError) as error:
        raise BertkitError(f"{folder} is a checkpoint of another model: {error}") from error
    # Tied weights are stored once: what is absent must share its memory with something that is there.
    state = model.state_dict()
    present = {state[name].data_ptr() for name in weights if name in state}
    absent = [name for name in missing if state[name].data_ptr() not in present]
    if absent or unexpected:
        raise BertkitError(f"{folder} is a checkpoint of another model: '{(absent or unexpected)[0]}' does not fit")


def load_optimizer_state(folder: Path) -> dict[str, Any]:
    """What ``save_checkpoint`` was given as ``optimizer_state``.

    Raises:
        BertkitError: the file is not one that was written here.
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
    """Moments as tensors named ``parameter/moment``, the rest as JSON in the metadata: there is nothing to unpickle."""
    moments = {f"{name}/{key}": value for name, some in state["state"].items() for key, value in some.items()}
    plain = {name: value for name, value in state.items() if name != "state"}
    save_file(moments, path, {"plain": json.dumps(plain)})


def _checkpoints(out: Path) -> list[tuple[int, Path]]:
    found = [(_NAME.fullmatch(path.name), path) for path in out.glob("checkpoint-*") if path.is_dir()]
    return sorted((int(match[1]), path) for match, path in found if match)


def _damage(folder: Path) -> str | None:
    """Why a checkpoint cannot be trusted, or None."""
    try:
        manifest = read_json(folder / _MANIFEST)
        for name, (size, digest) in manifest.items():
            path = folder / Path(name).name
            if path.stat().st_size != size or _sha256(path) != digest:
                return f"{name} is not what was written"
        missing = {_STATE, _OPTIMIZER, _WEIGHTS} - manifest.keys()
        return f"no {sorted(missing)[0]}" if missing else None
    except (BertkitError, OSError, ValueError, TypeError) as error:
        return f"its manifest cannot be read ({error})"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
