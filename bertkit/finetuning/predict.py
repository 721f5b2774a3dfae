"""``bertkit evaluate`` and ``bertkit predict``: applies a saved model to labelled and unlabelled rows."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.alignment import head_of_task
from bertkit.finetuning.chosen_columns import told_apart
from bertkit.finetuning.data import DataRequest, check_inputs, load_labelled, load_split
from bertkit.finetuning.features import Columns, Features, Split
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.registry import head_of_model
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.inputs import has_columns, read_inputs, row_inputs, text_input
from bertkit.finetuning.rows.table_check import empty_texts
from bertkit.finetuning.windows import Cuts, Reach, RowEncoder
from bertkit.io.memory import DataFrame, MemoryRows, Table, memory_rows
from bertkit.io.tables import TABLE_SUFFIXES
from bertkit.models.folder import FEATURES, checked_folder, read_config
from bertkit.runtime.base import finite
from bertkit.runtime.load import FEW_TEXTS, light_reader
from bertkit.runtime.recipe import recipe_of
from bertkit.runtime.text import Encoding, sound
from bertkit.settings.recipes import Override, given, load
from bertkit.settings.schema import FinetuneDataSettings, FinetuneRecipe, TaskSettings

if TYPE_CHECKING:
    import numpy as np

    from bertkit.runtime.base import Reader

_ROWS_AT_ONCE = 4_096


@dataclass(frozen=True)
class Predictor:
    """A fine-tuned model that is loaded, in torch or in a reader that needs no torch.

    Attributes:
        model: the model of transformers, on its device; None if there is a reader.
        recipe: the recipe that the model was fine-tuned with, if its folder has it.
        places: for each class of the head its position in the model's output; None if the order is the same.
        abstain_below: rows whose most likely class has a lower probability than this get None as prediction.
    """

    head: Head
    recipe: FinetuneRecipe
    encoder: RowEncoder
    model: Any
    reader: "Reader | None" = None
    places: list[int] | None = None
    abstain_below: float = 0.0

    @property
    def reach(self) -> Reach:
        """How much of a row the model could read."""
        if self.reader is None:
            return Reach.of(self.model)
        # A reader runs BERTs only, whose positions have no offset.
        return Reach(self.reader.bert.config.get("max_position_embeddings"), can_grow=True)

    def on_task(self, task: TaskSettings, name: str) -> "Predictor":
        """The same model with the classes of a task, in the task's order.

        Raises:
            BertkitError: the model was fine-tuned for other classes.
        """
        head, places = head_of_task(self.head, task, name)
        return replace(self, head=head, places=places)

    def abstaining(self, below: float) -> "Predictor":
        """The same model, which gives no prediction for rows whose most likely class has a lower probability.

        Raises:
            BertkitError: the model does not predict one class per row, or ``below`` is not a probability.
        """
        if below and not self.head.says_one_class:
            raise BertkitError(
                "--abstain-below is of models that say one class a row, and this one says something else"
            )
        if not 0 <= below <= 1:
            raise BertkitError(f"--abstain-below {below} is no probability: give a number from 0 to 1")
        return replace(self, abstain_below=below)

    def logits(self, features: Features) -> "list[np.ndarray]":
        """The logits of each unit of the features, float32."""
        logits = self._logits(features)
        return logits if self.places is None else [one[self.places] for one in logits]

    @finite
    def _logits(self, features: Features) -> "list[np.ndarray]":
        if self.reader is not None:
            types = features.types or [[0] * len(ids) for ids in features.ids]
            texts = list(map(Encoding, features.ids, types))
            return self.head.picked(self.reader.bert.head_logits(texts), features)
        from bertkit.finetuning.evaluation import in_order, logits_for

        return in_order(logits_for(self.model, self.head, features, self.encoder.pad_id, self.model.device))

    def __call__(self, rows: Iterable[str | Mapping[str, Any]] | Table) -> list[dict[str, Any]]:
        """Predicts for texts, or for rows with the columns that the model was fine-tuned on.

        Args:
            rows: a list or another iterable of texts and dictionaries, a ``datasets.Dataset`` or a ``pandas.DataFrame``.

        Returns:
            For each row, in order, an object with its ``prediction``, as `bertkit predict --json` prints it.

        Raises:
            BertkitError: the model needs more than a text, or the rows do not have its columns.

        Example:
            >>> predict = load_predictor("runs/finetune-reviews")
            >>> predict(["what a lovely film"])[0]["prediction"]
            'positive'
        """
        check_are_rows(rows)
        return list(predictions(self, self._given(rows)))

    def _given(self, rows: Iterable[str | Mapping[str, Any]] | Table) -> Iterator[Any]:
        """What the head reads of rows in memory; texts alone need no columns."""
        table: Any = rows
        if not isinstance(rows, DataFrame) and isinstance(rows, Iterable):
            given = list(rows)
            if all(isinstance(row, str) for row in given):
                return iter([text_input(sound(row), self.head, f"text {number}") for number, row in enumerate(given)])
            # Beside rows with the column that the model was trained on, a text is one of that column.
            there = {name for row in given if isinstance(row, Mapping) for name in row}
            column = next((name for name in self.recipe.task.text if name in there), "text")
            table = [{column: row} if isinstance(row, str) else row for row in given]
        task, trained_on = told_apart(self.recipe.task)
        return row_inputs(memory_rows("the rows", table).placed(), "the rows", task, self.head, trained_on)

    def answers(self, split: Split) -> tuple[list[dict[str, Any]], Features]:
        """One plain object per row, and the features that were read."""
        if not split.texts:
            return [], self.head.features(split, self.encoder)
        features = self.head.features(split, self.encoder)
        return self.head.decode(self.logits(features), features, split), features


def check_are_rows(rows: Any) -> None:
    """Checks that an object is not a single text, a single row or the path of a file.

    Raises:
        BertkitError: it is; the message says what to give instead.
    """
    if isinstance(rows, str):
        raise BertkitError("give a list of texts or rows, not a single one: [text]")
    if isinstance(rows, Mapping):
        raise BertkitError("give a list of texts or rows, not a dictionary: [row], or pandas.DataFrame(columns)")
    if isinstance(rows, os.PathLike):
        raise BertkitError(
            f"give a list of texts or rows, not the path {os.fspath(rows)}: pandas.read_csv(path), or `bertkit predict MODEL "
            "FILE`"
        )


def open_predictor(
    name_or_path: str, device: str, rows: int | None = None, overrides: Sequence[Override] = ()
) -> Predictor:
    """Loads a model that `bertkit finetune`, `bertkit export` or transformers has written.

    Args:
        name_or_path: the model's folder or hub name.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        rows: about how many rows will be predicted; None if unknown. A few are predicted without torch.
        overrides: settings that replace those of the recipe that the model was fine-tuned with.

    Raises:
        BertkitError: the model cannot be loaded, was not fine-tuned, or has a kind of head that bertkit does not know.
    """
    folder = checked_folder(name_or_path, features=True)
    recipe = recipe_of(folder, overrides)
    said = read_config(folder, name_or_path)
    head = head_of_model(name_or_path, said, recipe.task)
    reader = None if FEATURES in said else light_reader(name_or_path, folder, "task", device, rows)
    if reader is not None:
        config, text_encoder = reader.bert.config, reader.text_encoder
        settings = _fitting(recipe.data, config.get("max_position_embeddings"), overrides)
        encoder = RowEncoder(
            text_encoder.tokenizer, text_encoder.pad_id, config.get("type_vocab_size", 2) > 1, settings
        )
        return Predictor(head, recipe, encoder, None, reader)
    from bertkit.hardware import choose_device
    from bertkit.models.fast.attention import attend_unpadded
    from bertkit.models.fast.products import lay_out_for_reading
    from bertkit.models.headed import load_headed, positions_of

    kind = choose_device(device)
    model, tokenizer = load_headed(head.auto_class, name_or_path)
    attend_unpadded(model)
    if kind == "cpu":
        lay_out_for_reading(model)
    settings = _fitting(recipe.data, positions_of(model), overrides)
    return Predictor(head, recipe, RowEncoder.of(tokenizer, settings), model.to(kind).eval())


def _fitting(
    settings: FinetuneDataSettings, positions: int | None, overrides: Sequence[Override]
) -> FinetuneDataSettings:
    """The settings, with ``max_seq_length`` reduced to the positions that the model has.

    Raises:
        BertkitError: somebody asked for more.
    """
    if positions is None or settings.max_seq_length <= positions:
        return settings
    if asked := given(overrides, "data.max_seq_length"):
        raise BertkitError(
            f"the model reads at most {positions} tokens: give data.max_seq_length {positions} or less ({asked.origin})"
        )
    return settings.model_copy(update={"max_seq_length": positions})


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
        _say_cut(Cuts().add(features, len(split.texts)), split.name, predictor)
        evaluated.append(scored(head, predictor.logits(features), features, split, metrics))
    return {"metrics": list(metrics), **results_of(evaluated, head, metrics, recipe.train.seed)}


def _own_rows(task: TaskSettings, rows: str | MemoryRows, head: Head | None, trained_on: Columns) -> DataRequest:
    return DataRequest(task, None, None, rows, None, seed=0, head=head, trained_on=trained_on)


def _say_cut(cuts: Cuts, name: str, predictor: Predictor) -> None:
    for told in cuts.told(name, predictor.encoder.max_length, predictor.reach):
        console.note(console.plain(told))


def predictions(predictor: Predictor, inputs: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """Predicts row by row, as a stream and in order.

    Args:
        predictor: the model.
        inputs: for each row what ``predictor.head.input`` returns.
    """
    begin = unsure = empty = 0
    cuts = Cuts()
    while texts := list(islice(inputs, _ROWS_AT_ONCE)):
        answers, features = predictor.answers(Split("", texts, None))
        for row in answers:
            is_unsure = bool(predictor.abstain_below) and max(row["probabilities"].values()) < predictor.abstain_below
            unsure += is_unsure
            yield {**row, "index": begin + row["index"], **({"prediction": None} if is_unsure else {})}
        begin += len(texts)
        empty += empty_texts(texts)
        cuts.add(features, len(texts))
    _say_cut(cuts, "", predictor)
    if empty:
        console.note(f"empty texts, which get a prediction as all others do: {empty:,}")
    if unsure:
        console.note(f"{unsure:,} of {begin:,} rows: no class reaches {predictor.abstain_below} (--abstain-below)")


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
        _say_cut(Cuts().add(features, len(rows.texts)), split, predictor)
        written.append(write_submission(folder, name, head.encoded(answers).tolist(), settings.submission_labels))
    return written
