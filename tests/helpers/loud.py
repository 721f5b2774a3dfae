"""Models with weights so large that what they say differs from text to text."""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


def loud(tiny_model: Path, folder: Path, cls: Any, seed: int, std: float) -> Any:
    """The tiny model as a class of transformers, its weights drawn anew, written into a new folder; the model."""
    shutil.copytree(tiny_model, folder)
    bert = cls.from_pretrained(folder)
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in bert.parameters():
            weight.normal_(std=std)
    bert.save_pretrained(folder)
    return bert


def louder(folder: Path, times: float) -> Path:
    """A model folder, the matrices in which are made so many times as large."""
    path = folder / "model.safetensors"
    weights = {name: weight * times if weight.ndim > 1 else weight for name, weight in load_file(path).items()}
    save_file(weights, path, {"format": "pt"})
    return folder


def overflowing(folder: Path) -> Path:
    """A model folder whose weights are made so large, in one layer, that what they compute is not finite; they are."""
    path = folder / "model.safetensors"
    weights = load_file(path)
    name = next(name for name in weights if name.endswith("layer.0.intermediate.dense.weight"))
    weights[name] *= 1e37 / weights[name].abs().max()
    assert bool(weights[name].isfinite().all())
    save_file(weights, path, {"format": "pt"})
    return folder
