"""A saved model with a head, ready to predict: for texts, for rows in memory, or for what a head has read of rows."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.alignment import head_of_task
from bertkit.finetuning.chosen_columns import told_apart
from bertkit.finetuning.features import Features, Split
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.registry import head_of_model
from bertkit.finetuning.inputs import row_inputs, text_input
from bertkit.finetuning.rows.table_check import empty_texts
from bertkit.finetuning.unread import Reach, Unread
from bertkit.finetuning.windows import RowEncoder
from bertkit.io.memory import DataFrame, Table, memory_rows
from bertkit.models.folder import FEATURES, checked_folder, read_config
from bertkit.runtime.base import finite
from bertkit.runtime.load import light_reader
from bertkit.runtime.recipe import recipe_of
from bertkit.runtime.text import Encoding, sound
from bertkit.settings.recipes import Override, given
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
            rows: a list or another iterable of texts and dictionaries, a dictionary of columns, a ``datasets.Dataset`` or a
                ``pandas.DataFrame``.

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
        if not isinstance(rows, DataFrame | Mapping) and isinstance(rows, Iterable):
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

    def unread(self) -> Unread:
        """A count of what the model cannot read of rows, at nothing yet."""
        return Unread(self.encoder, self.reach)


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
        has_types = config.get("type_vocab_size", 2) > 1
        encoder = RowEncoder(text_encoder.tokenizer, text_encoder.pad_id, has_types, settings, text_encoder.unk_id)
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


def predictions(predictor: Predictor, inputs: Iterator[Any]) -> Iterator[dict[str, Any]]:
    """Predicts row by row, as a stream and in order.

    Args:
        predictor: the model.
        inputs: for each row what ``predictor.head.input`` returns.
    """
    begin = unsure = empty = 0
    unread = predictor.unread()
    while texts := list(islice(inputs, _ROWS_AT_ONCE)):
        answers, features = predictor.answers(Split("", texts, None))
        for row in answers:
            is_unsure = bool(predictor.abstain_below) and max(row["probabilities"].values()) < predictor.abstain_below
            unsure += is_unsure
            yield {**row, "index": begin + row["index"], **({"prediction": None} if is_unsure else {})}
        begin += len(texts)
        empty += empty_texts(texts)
        unread.add(features, len(texts))
    unread.say()
    if empty:
        console.note(f"empty texts, which get a prediction as all others do: {empty:,}")
    if unsure:
        console.note(f"{unsure:,} of {begin:,} rows: no class reaches {predictor.abstain_below} (--abstain-below)")


def check_are_rows(rows: Any) -> None:
    """Checks that an object is not a single text or the path of a file.

    Raises:
        BertkitError: it is; the message says what to give instead.
    """
    if isinstance(rows, str):
        raise BertkitError("give a list of texts or rows, not a single one: [text]")
    if isinstance(rows, os.PathLike):
        raise BertkitError(
            f"give a list of texts or rows, not the path {os.fspath(rows)}: pandas.read_csv(path), or `bertkit predict MODEL "
            "FILE`"
        )
