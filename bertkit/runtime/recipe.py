"""The recipe with which a fine-tuned model reads texts."""

from collections.abc import Sequence
from pathlib import Path

from bertkit.models.folder import own_length
from bertkit.settings.recipes import Override, load
from bertkit.settings.schema import FinetuneRecipe
from bertkit.training.record import read_record
from bertkit.training.run_folder import RECIPE


def recipe_of(folder: Path, overrides: Sequence[Override] = ()) -> FinetuneRecipe:
    """The recipe that a model was fine-tuned with; if its folder has none, the defaults with the model's own length."""
    file = folder / RECIPE
    if file.is_file() and read_record(folder).kind != "pretrain":
        return load(FinetuneRecipe, "finetune", str(file), overrides).settings
    length = own_length(folder)
    own = [] if length is None else [Override("data.max_seq_length", length, f"the model {folder}")]
    return load(FinetuneRecipe, "finetune", "own", [*own, *overrides]).settings
