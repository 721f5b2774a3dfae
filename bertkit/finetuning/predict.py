"""``bertkit evaluate`` and ``bertkit predict``: a saved classifier on labelled and unlabelled text."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice, tee
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.errors import BertkitError
from bertkit.finetuning.data import (
    DataRequest,
    LabelledData,
    Split,
    check_inputs,
    load_labelled,
    load_split,
    read_texts,
)
from bertkit.io.hub import model_folder
from bertkit.runtime.load import FEW_TEXTS, light_reader
from bertkit.settings.recipes import Override, load
from bertkit.settings.schema import FinetuneRecipe

if TYPE_CHECKING:
    from bertkit.finetuning.batches import Encoder
    from bertkit.runtime.load import Reader

_ROWS_AT_ONCE = 4_096


@dataclass(frozen=True)
class Classifier:
    """A fine-tuned model, ready to be asked: by torch, or by a reader that can do without.

    Attributes:
        model, tokenizer: of transformers, the model on its device; None where there is a reader.
        label_names: of the classes by id; empty for regression.
        recipe: the one it was fine-tuned by, where its folder tells.
    """

    model: Any
    tokenizer: Any
    label_names: list[str]
    problem_type: str
    recipe: FinetuneRecipe
    reader: "Reader | None" = None

    @property
    def max_seq_length(self) -> int:
        """Tokens that a row is cut to: by the recipe, and by what the model reads."""
        wanted = self.recipe.data.max_seq_length
        config = self.model.config.to_dict() if self.reader is None else self.reader.bert.config
        return min(wanted, config.get("max_position_embeddings") or wanted)

    def logits(self, texts: Sequence[tuple[str, ...]]) -> Any:
        """float32 ``[rows, classes]``, in the order of the texts."""
        if self.reader is not None:
            encoded = [self.reader.pieces.encode(*row, most=self.max_seq_length) for row in texts]
            return self.reader.bert.class_logits(encoded)
        from bertkit.finetuning.predictor import predict_logits

        return predict_logits(self.model, self._encoder, texts)

    @cached_property
    def _encoder(self) -> "Encoder":
        from bertkit.finetuning.batches import Encoder

        return Encoder(self.tokenizer, self.max_seq_length)


def open_classifier(name_or_path: str, device: str, rows: int | None = None) -> Classifier:
    """Loads a classifier that `bertkit finetune` (or transformers) wrote, or `bertkit export`.

    Args:
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        rows: about how many it will be asked for, where that is known: a few are read without torch.

    Raises:
        BertkitError: it cannot be loaded, or was not fine-tuned.
    """
    folder = model_folder(name_or_path)
    recipe = recipe_of(folder)
    reader = light_reader(name_or_path, folder, "classes", device, rows)
    if reader is not None:
        # transformers leaves two classes without names out of config.json.
        names = reader.bert.config.get("id2label") or {0: "LABEL_0", 1: "LABEL_1"}
        classes = _classes(
            {int(number): name for number, name in names.items()}, reader.bert.config.get("problem_type")
        )
        return Classifier(None, None, *classes, recipe, reader)
    from bertkit.hardware import choose_device
    from bertkit.models.classifier import load_classifier
    from bertkit.models.fast.attention import attend_unpadded

    kind = choose_device(device)
    model, tokenizer = load_classifier(name_or_path)
    attend_unpadded(model)
    classes = _classes(model.config.id2label, model.config.problem_type)
    return Classifier(model.to(kind).eval(), tokenizer, *classes, recipe)


def recipe_of(folder: Path) -> FinetuneRecipe:
    """The recipe that a model was fine-tuned by; one of defaults where its folder does not tell."""
    file = folder / "recipe.toml"
    return load(FinetuneRecipe, "finetune", str(file), []).settings if file.is_file() else FinetuneRecipe()


def _classes(names: dict[int, str], problem_type: str | None) -> tuple[list[str], str]:
    """Names of the classes by id, none for regression, and the problem type, by what a configuration says."""
    if problem_type == "regression" or (problem_type is None and len(names) == 1):
        return [], "regression"
    return [names[number] for number in sorted(names)], problem_type or "single_label_classification"


def evaluate(
    model: str, task: str | None, data: Path | None, validation: str | None, overrides: Sequence[Override], device: str
) -> dict[str, Any]:
    """The figures of a saved classifier on a task's validation splits or on rows of one's own.

    Raises:
        BertkitError: the model or the rows cannot be had, or do not fit each other.
    """
    from bertkit.finetuning.evaluation import Scored, split_figures
    from bertkit.finetuning.metrics import metric_names
    from bertkit.finetuning.results import evaluation_results

    asked = load(FinetuneRecipe, "finetune", task, overrides).settings if task else None
    if validation is not None:
        check_inputs(_own_rows(FinetuneRecipe(), validation, None))
    classifier = open_classifier(model, device)
    recipe = asked or classifier.recipe
    if validation is not None:
        settings = recipe.task.model_copy(update={"problem_type": classifier.problem_type})
        own = recipe.model_copy(update={"task": settings})
        rows = load_labelled(_own_rows(own, validation, classifier.label_names))
        splits = rows.validation
    else:
        splits = [load_split(recipe.task, data, name) for name in recipe.task.validation_splits]
    metrics = list(recipe.task.metrics or metric_names(classifier.problem_type, len(classifier.label_names)))
    scored = [Scored(split, classifier.logits(split.texts)) for split in splits]
    figures: dict[str, float] = {}
    for number, one in enumerate(scored):
        suffix = f"_{one.split.name}" if number else ""
        found = split_figures(one, tuple(metrics), classifier.problem_type)
        figures |= {f"eval_{name}{suffix}": value for name, value in found.items()}
    known = LabelledData(None, splits, classifier.label_names, classifier.problem_type, [])
    return {"metrics": metrics, **evaluation_results(figures, scored, known, metrics, recipe.train.seed)}


def _own_rows(recipe: FinetuneRecipe, validation: str, known_labels: list[str] | None) -> DataRequest:
    return DataRequest(recipe.task, None, None, validation, None, recipe.train.seed, known_labels)


def predictions(classifier: Classifier, rows: Iterator[tuple[str, ...]]) -> Iterator[dict[str, Any]]:
    """For each row, in order and as a stream: its prediction and the probabilities of the classes."""
    from bertkit.finetuning.evaluation import Scored, prediction_rows

    begin = 0
    while texts := list(islice(rows, _ROWS_AT_ONCE)):
        scored = Scored(Split("", texts, None), classifier.logits(texts))
        for row in prediction_rows(scored, classifier.label_names, classifier.problem_type):
            row["index"] += begin
            yield row
        begin += len(texts)


def predict_rows(
    model: str, sources: Sequence[str], columns: Sequence[str], device: str
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """What was read and what is predicted of it, row by row: of texts, of the rows of files, of standard input ("-").

    Raises:
        BertkitError: the model or the rows cannot be had.
    """
    recipe = recipe_of(model_folder(model))
    rows = chain.from_iterable(_rows(source, tuple(columns) or recipe.task.text) for source in sources)
    # The first rows are read before seconds go into importing torch, which a few can do without.
    first = list(islice(rows, FEW_TEXTS + 1))
    classifier = open_classifier(model, device, len(first))
    read, asked = tee(chain(first, rows))
    return zip(read, predictions(classifier, asked), strict=True)


def _rows(source: str, columns: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if source == "-" or os.path.isfile(source):  # of a text that is too long for a name Path.is_file raises
        return read_texts(source, columns)
    return iter([(source.encode("utf-8", "replace").decode(),)])


def write_task_submission(classifier: Classifier, task: str, data: Path | None, folder: Path) -> list[Path]:
    """GLUE's leaderboard files for the test splits of a task.

    Raises:
        BertkitError: the task has none, or the model was fine-tuned for other classes.
    """
    from bertkit.finetuning.glue import write_submission
    from bertkit.finetuning.predictor import decide

    settings = load(FinetuneRecipe, "finetune", task, []).settings.task
    if not settings.submission:
        raise BertkitError(f"task {task} has no leaderboard file: give a task of GLUE")
    if settings.labels and list(settings.labels) != classifier.label_names:
        raise BertkitError(
            f"the model's classes ({', '.join(classifier.label_names)}) are not those of {task} "
            f"({', '.join(settings.labels)})"
        )
    written = []
    for name, split in zip(settings.submission, settings.test_splits, strict=True):
        texts = load_split(settings, data, split).texts
        decided = decide(classifier.logits(texts), classifier.problem_type).tolist()
        written.append(write_submission(folder, name, decided, settings.submission_labels))
    return written
