"""``bertkit evaluate`` and ``bertkit predict``: applies a saved model to the rows of files, and to those of tasks."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain, islice, tee
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.chosen_columns import told_apart
from bertkit.finetuning.data import load_labelled
from bertkit.finetuning.features import Columns
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.registry import head_of_model
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.inputs import has_columns, read_inputs, text_input
from bertkit.finetuning.labelled import DataRequest
from bertkit.finetuning.predictor import Predictor, open_predictor, predictions
from bertkit.finetuning.row_sources import check_inputs
from bertkit.finetuning.task_rows import load_split
from bertkit.io.memory import MemoryRows
from bertkit.io.tables import TABLE_SUFFIXES
from bertkit.models.folder import checked_folder, read_config
from bertkit.runtime.load import FEW_TEXTS
from bertkit.runtime.recipe import recipe_of
from bertkit.runtime.text import sound
from bertkit.settings.recipes import Override, load
from bertkit.settings.schema import FinetuneRecipe, TaskSettings


def evaluate(
    model: str,
    task: str | None,
    data: Path | None,
    validation: str | MemoryRows | None,
    overrides: Sequence[Override],
    device: str,
) -> dict[str, Any]:
    """Evaluates a saved model on the validation splits of a task, or on a person's own rows.

    Raises:
        BertkitError: the model or the rows cannot be read, or do not fit each other.
    """
    from bertkit.finetuning.evaluation import results_of, scored

    if validation is not None and data is not None:
        raise BertkitError("--data does not go with --validation, whose rows are read: it is for --task")
    asked = load(FinetuneRecipe, "finetune", task, overrides).settings if task else None
    if validation is not None:
        check_inputs(_own_rows(TaskSettings(), validation, None, {}))
    predictor = open_predictor(model, device, overrides=overrides)
    recipe = asked or predictor.recipe
    if validation is not None:
        predictor = predictor.on_task(recipe.task, "task.labels")
        settings, trained_on = (recipe.task, {}) if task else told_apart(recipe.task, overrides)
        rows = load_labelled(_own_rows(settings, validation, predictor.head, trained_on))
        splits = rows.validation
        for told in rows.notes:
            console.note(console.plain(told))
    else:
        predictor = predictor.on_task(recipe.task, task or recipe.task.subset or "the task")
        splits = [load_split(recipe.task, data, name, predictor.head) for name in recipe.task.validation_splits]
    head = predictor.head
    metrics = head.metrics(recipe.task.metrics)
    evaluated = []
    for split in splits:
        features = head.features(split, predictor.encoder)
        predictor.unread().add(features, len(split.texts)).say(split.name)
        evaluated.append(scored(head, predictor.logits(features), features, split, metrics))
    return {"metrics": list(metrics), **results_of(evaluated, head, metrics, recipe.train.seed)}


def _own_rows(task: TaskSettings, rows: str | MemoryRows, head: Head | None, trained_on: Columns) -> DataRequest:
    return DataRequest(task, None, None, rows, None, seed=0, head=head, trained_on=trained_on)


def predict_rows(
    model: str, sources: Sequence[str], columns: Sequence[str], device: str, abstain_below: float = 0.0
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each input with its prediction, row by row. Inputs are texts, rows of files, or lines of standard input ("-").

    Raises:
        BertkitError: the model or the rows cannot be read.
    """
    folder = checked_folder(model, features=True)
    task, trained_on = told_apart(recipe_of(folder).task)
    task = task.model_copy(update={"text": tuple(columns)})
    head = head_of_model(model, read_config(folder, model), task)
    if columns and not any(has_columns(source, head) for source in sources):
        raise BertkitError(
            f"--text does not go with texts and plain lines: it is for tables ({', '.join(TABLE_SUFFIXES)})"
        )
    rows = chain.from_iterable(_inputs(source, task, head, trained_on) for source in sources)
    # The first rows are read before torch is imported, which takes seconds and is not needed for a few rows.
    first = list(islice(rows, FEW_TEXTS + 1))
    predictor = open_predictor(model, device, len(first)).abstaining(abstain_below)
    read, asked = tee(chain(first, rows))
    return zip(read, predictions(predictor, asked), strict=True)


def _inputs(source: str, task: TaskSettings, head: Head, trained_on: Columns) -> Iterator[Any]:
    if source == "-" or os.path.isfile(source):  # Path.is_file would raise for a text that is too long for a file name
        return read_inputs(source, task, head, trained_on)
    return iter([text_input(sound(source), head, "the text")])


def write_task_submission(
    predictor: Predictor, task: str, data: Path | None, folder: Path, overwrite: bool = False
) -> list[Path]:
    """Writes GLUE's leaderboard files for the test splits of a task.

    Raises:
        BertkitError: the task has none, the model was fine-tuned for other classes, or another file is in the way (unless
            ``overwrite``).
    """
    from bertkit.finetuning.glue import check_places, write_submission

    settings = load(FinetuneRecipe, "finetune", task, []).settings.task
    if not settings.submission:
        raise BertkitError(f"task {task} has no leaderboard file: give a task of GLUE")
    predictor = predictor.on_task(settings, task)
    head = predictor.head
    if not isinstance(head, SequenceHead):
        raise BertkitError(f"the model's head, {head.name}, is not that of task {task}, sequence")
    check_places(folder, settings.submission, overwrite)
    written = []
    for name, split in zip(settings.submission, settings.test_splits, strict=True):
        rows = load_split(settings, data, split, head)
        answers, features = predictor.answers(rows)
        predictor.unread().add(features, len(rows.texts)).say(split)
        written.append(write_submission(folder, name, head.encoded(answers).tolist(), settings.submission_labels))
    return written
