"""Checkpoints: written whole or not at all, checked before they are trusted."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.atomic import new_folder, write_json

_NAME = re.compile(r"checkpoint-(\d+)")
_MANIFEST, _STATE, _OPTIMIZER, _WEIGHTS = "manifest.json", "state.json", "optimizer.pt", "model.safetensors"


@dataclass
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
        optimizer_state: of tensors and plain values (and the gradient scaler's, if any).
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
        torch.save(optimizer_state, fresh / _OPTIMIZER)
        write_json(fresh / _STATE, asdict(progress))
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
        console.warn(f"skipped {folder.name}: {damage}")
    return None


def read_progress(folder: Path) -> Progress:
    """The state of the run that a checkpoint was written in."""
    try:
        return Progress(**json.loads((folder / _STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BertkitError(f"{folder / _STATE} cannot be read: {error}") from error


def load_weights(folder: Path, model: nn.Module) -> None:
    """Puts a checkpoint's weights into a model of the same shape.

    Raises:
        BertkitError: the checkpoint is of another model.
    """
    try:
        weights = load_file(folder / _WEIGHTS)
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except (RuntimeError, OSError, ValueError) as error:
        raise BertkitError(f"{folder} is a checkpoint of another model: {str(error).splitlines()[0]}") from error
    # Tied weights are stored once: what is absent must share its memory with something that is there.
    state = model.state_dict()
    present = {state[name].data_ptr() for name in weights if name in state}
    absent = [name for name in missing if state[name].data_ptr() not in present]
    if absent or unexpected:
        raise BertkitError(f"{folder} is a checkpoint of another model: '{(absent or unexpected)[0]}' does not fit")


def load_optimizer_state(folder: Path) -> dict[str, Any]:
    """The optimizer's state; nothing but tensors and plain values is ever unpickled."""
    state: dict[str, Any] = torch.load(folder / _OPTIMIZER, map_location="cpu", weights_only=True)
    return state


def _checkpoints(out: Path) -> list[tuple[int, Path]]:
    found = [(_NAME.fullmatch(path.name), path) for path in out.glob("checkpoint-*") if path.is_dir()]
    return sorted((int(match[1]), path) for match, path in found if match)


def _damage(folder: Path) -> str | None:
    """Why a checkpoint cannot be trusted, or None."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        for name, (size, digest) in manifest.items():
            path = folder / Path(name).name
            if path.stat().st_size != size or _sha256(path) != digest:
                return f"{name} is not what was written"
        missing = {_STATE, _OPTIMIZER, _WEIGHTS} - manifest.keys()
        return f"no {sorted(missing)[0]}" if missing else None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        return f"its manifest cannot be read ({error})"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
