"""What a fine-tuning run is asked for: its arguments, with the defaults filled in, and its recipe."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.assets import EMBEDDED_LABELLED
from bertkit.errors import BertkitError
from bertkit.finetuning.chosen_columns import with_columns
from bertkit.finetuning.labelled import DataRequest, LabelledData
from bertkit.finetuning.rate import FROZEN_RATES, finetuning_rate
from bertkit.finetuning.row_sources import rows_without_a_hub
from bertkit.io.connection import is_offline
from bertkit.io.hub import EMBEDDED, NotFetchedError, model_folder
from bertkit.io.memory import MemoryRows
from bertkit.io.structured import read_toml
from bertkit.models.folder import checked_folder, read_config
from bertkit.settings.recipes import Override, Resolved, flat, given, load
from bertkit.settings.schema import WIDTH_OF_RECIPES, FinetuneRecipe
from bertkit.training import run_folder

DEFAULT_MODEL = "google-bert/bert-base-uncased"


@dataclass(frozen=True)
class FinetuneRequest:
    """The arguments of ``bertkit finetune``; see its options."""

    task: str | None = None
    data: Path | None = None
    train: str | MemoryRows | None = None
    validation: str | MemoryRows | None = None
    overrides: Sequence[Override] = ()
    model: str = ""
    """The model; empty is bert-base-uncased, or the embedded model if neither task nor rows are named."""
    out: Path | None = None
    device: str = "auto"
    resume: bool = False
    overwrite: bool = False
    skip_bad_rows: bool = False

    @property
    def folder(self) -> Path:
        """The run's folder: ``out``, or the default one."""
        named = self.task or ""
        task = Path(named).stem if _is_own(self) else named.replace(":", "-")
        return self.out or Path("runs") / f"finetune-{task or _short(self.train)}"


def _short(train: str | MemoryRows | None) -> str:
    name = train if isinstance(train, str) else "own"
    return Path(name.split(":")[0]).name.split(".")[0] or "own"


def completed(request: FinetuneRequest) -> FinetuneRequest:
    """The request with defaults filled in: the model, and without task and rows the labelled texts of bertkit.

    Raises:
        BertkitError: both a task and rows are named, or held-out rows alone, or other options that exclude each other.
    """
    if request.task is not None and request.train is not None:
        raise BertkitError("give --task NAME (see bertkit recipes), or --train FILE with rows of your own, not both")
    split = given(request.overrides, "data.validation_split")
    excluding = {
        "--validation goes with --train FILE: a task has held-out rows of its own": request.task and request.validation,
        "--data goes with --task NAME, whose files are there": request.train and request.data,
        "--skip-bad-rows goes with --train FILE: of a task no row is left out": request.task and request.skip_bad_rows,
        "give --validation FILE or --validation-split, not both": request.validation and split,
        "--validation-split goes with --train FILE: a task has held-out rows of its own": request.task and split,
    }
    for message in (message for message, both in excluding.items() if both):
        raise BertkitError(message)
    if request.task is not None or request.train is not None:
        return replace(request, model=request.model or DEFAULT_MODEL)
    alone = {"--validation": request.validation, "--data": request.data, split.origin if split else "": split}
    for name in (name for name, value in alone.items() if value is not None):
        raise BertkitError(f"{name} alone does not say what to train on: add --train FILE, or --task NAME")
    model = request.model or EMBEDDED
    console.note(
        f"no --task and no --train given: using bertkit's own labelled texts, which tell sentences from scrambled words, "
        f"with --model {console.plain(model)}"
    )
    train, validation = (str(EMBEDDED_LABELLED / f"{name}.tsv") for name in ("train", "validation"))
    out = request.out or Path("runs") / "finetune-word-order"
    return replace(request, train=train, validation=validation, model=model, out=out)


def check_model(request: FinetuneRequest, recipe: FinetuneRecipe) -> None:
    """Checks the model before the rows are read. If the hub cannot be reached for it, the message mentions the rows too.

    Raises:
        BertkitError: the model cannot be fetched, its files do not belong together, or the run would overwrite it.
    """
    if request.overwrite:
        run_folder.check_apart(request.folder, {"--model": request.model})
    try:
        checked_folder(request.model)
    except NotFetchedError as error:
        rows, dataset = "", recipe.task.dataset
        if is_offline() and dataset and request.train is None and request.data is None:
            rows = f"; the rows of {request.task} come from the hub as well: {rows_without_a_hub(dataset)}"
        raise BertkitError(f"{error}: --model {EMBEDDED}{rows}") from None


def load_recipe(request: FinetuneRequest) -> FinetuneRecipe:
    """The recipe of the task (or the general one, for a person's own rows) with the overrides."""
    return _resolved(request).settings


def _resolved(request: FinetuneRequest) -> Resolved[FinetuneRecipe]:
    return load(FinetuneRecipe, "finetune", request.task or "own", request.overrides)


def data_request(request: FinetuneRequest, recipe: FinetuneRecipe) -> DataRequest:
    """Which labelled rows the request asks for."""
    return DataRequest(
        task=recipe.task,
        data=request.data,
        train=request.train,
        validation=request.validation,
        validation_split=recipe.data.validation_split,
        seed=recipe.train.seed,
        skip_bad_rows=request.skip_bad_rows,
        weighed=recipe.train.class_weights == "balanced",
    )


def recorded_recipe(data: LabelledData, recipe: FinetuneRecipe, request: FinetuneRequest) -> FinetuneRecipe:
    """The recipe as a run's folder records it: with the head and the columns of the rows, and a learning rate that fits the
    model."""
    # The head is recorded by its name: two heads may share a class of transformers, which is all that config.json tells.
    task = with_columns(recipe.task, data.columns).model_copy(update={"head": data.head.name})
    return with_fitting_rate(recipe, request).model_copy(update={"task": task})


def with_fitting_rate(recipe: FinetuneRecipe, request: FinetuneRequest) -> FinetuneRecipe:
    """The recipe with a learning rate for the width of the model and for what is trained; a person's own rate is kept."""
    width = read_config(model_folder(request.model), request.model).get("hidden_size")
    if _is_rate_given(request, recipe) or not isinstance(width, int):
        return recipe
    whose = "default" if _is_own(request) else "recipe's"
    train, theirs = recipe.train, f"the {whose} {recipe.train.learning_rate:.0e} is for"
    if train.encoder == "frozen":
        rate, why = FROZEN_RATES[train.classifier], f"as the encoder is frozen: {theirs} all of a model"
    else:
        rate = finetuning_rate(train.learning_rate, width)
        why = f"as the model is {width} wide: {theirs} {WIDTH_OF_RECIPES}"
    if rate == train.learning_rate:
        return recipe
    console.note(f"learning rate {rate:.1e}, {why} (--lr says otherwise)")
    return recipe.model_copy(update={"train": train.model_copy(update={"learning_rate": rate})})


def _is_own(request: FinetuneRequest) -> bool:
    """Whether the recipe is a person's own file."""
    return (request.task or "").endswith(".toml")


def _is_rate_given(request: FinetuneRequest, recipe: FinetuneRecipe) -> bool:
    """Whether a person gave the learning rate, as an option or in a recipe of their own."""
    if given(request.overrides, "train.learning_rate"):
        return True
    if not _is_own(request):
        return False
    if "train.learning_rate" in _resolved(request).origins:
        return True
    # Early runs of such a recipe kept the default for every model; they are resumed with it.
    begun = request.folder / run_folder.RECIPE
    recorded = flat(read_toml(begun)) if request.resume and begun.is_file() else {}
    return recorded.get("train.learning_rate") == recipe.train.learning_rate


def with_settings(request: FinetuneRequest, out: Path, **settings: Any) -> FinetuneRequest:
    """The same request for another folder, with some settings replaced; those of [train] are named without "train."."""
    full = {name if "." in name else f"train.{name}": value for name, value in settings.items()}
    kept = [one for one in request.overrides if not {one.key, f"train.{one.key}"} & full.keys()]
    added = [Override(key, value, f"--grid {key}={value}") for key, value in full.items()]
    return replace(request, out=out, overrides=[*kept, *added])
