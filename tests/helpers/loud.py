"""A model with weights so large that what it says differs from text to text."""

import shutil
from pathlib import Path
from typing import Any

import torch


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
