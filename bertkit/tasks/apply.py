"""``bertkit evaluate`` and ``bertkit predict``: a saved classifier on labelled and unlabelled text."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from bertkit.errors import BertkitError
from bertkit.settings.recipes import Override, load
from bertkit.settings.schema import FinetuneRecipe
from bertkit.tasks.data import DataRequest, LabelledData, Split, check_inputs, load_labelled, load_split, read_texts

_ROWS_AT_ONCE = 4_096
_DEFAULT_LENGTH = 128


@dataclass(frozen=True)
class Classifier:
    """A fine-tuned model, ready to be asked.

    Attributes:
        label_names: of the classes by id; empty for regression.
        recipe: the one it was fine-tuned by, where its folder tells.
    """

    model: Any
    tokenizer: Any
    label_names: list[str]
    problem_type: str
    recipe: FinetuneRecipe

    @property
    def max_seq_length(self) -> int:
        return self.recipe.data.max_seq_length

    def logits(self, texts: Sequence[tuple[str, ...]]) -> Any:
        """float32 ``[rows, classes]``, in the order of the texts."""
        from bertkit.tasks.predictor import predict_logits

        return predict_logits(self.model, self.tokenizer, texts, self.max_seq_length)


def open_classifier(name_or_path: str, device: str) -> Classifier:
    """Loads a classifier that `bertkit finetune` (or transformers) wrote.

    Raises:
        BertkitError: it cannot be loaded, or was not fine-tuned.
    """
    from bertkit.io.hub import model_folder

    folder = model_folder(name_or_path)
    from bertkit.models.classifier import load_classifier
    from bertkit.training.hardware import choose_device

    kind = choose_device(device)
    model, tokenizer = load_classifier(name_or_path)
    config = model.config
    regression = config.problem_type == "regression" or (config.problem_type is None and config.num_labels == 1)
    recipe_file = folder / "recipe.toml"
    return Classifier(
        model=model.to(kind).eval(),
        tokenizer=tokenizer,
        label_names=[] if regression else [config.id2label[number] for number in range(config.num_labels)],
        problem_type="regression" if regression else config.problem_type or "single_label_classification",
        recipe=load(FinetuneRecipe, "finetune", str(recipe_file), []).settings
        if recipe_file.is_file()
        else FinetuneRecipe(),
    )


def evaluate(
    model: str, task: str | None, data: Path | None, validation: str | None, overrides: Sequence[Override], device: str
) -> dict[str, Any]:
    """The figures of a saved classifier on a task's validation splits or on rows of one's own.

    Raises:
        BertkitError: the model or the rows cannot be had, or do not fit each other.
    """
    from bertkit.tasks.evaluation import Scored, split_figures
    from bertkit.tasks.metrics import metric_names
    from bertkit.tasks.results import evaluation_results

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
    from bertkit.tasks.evaluation import Scored, prediction_rows

    begin = 0
    while texts := list(islice(rows, _ROWS_AT_ONCE)):
        scored = Scored(Split("", texts, None), classifier.logits(texts))
        for row in prediction_rows(scored, classifier.label_names, classifier.problem_type):
            row["index"] += begin
            yield row
        begin += len(texts)


def predict_rows(classifier: Classifier, source: str, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Predictions for the lines or rows of a file, or of standard input ("-")."""
    return predictions(classifier, read_texts(source, tuple(columns) or classifier.recipe.task.text))


def write_task_submission(classifier: Classifier, task: str, data: Path | None, folder: Path) -> list[Path]:
    """GLUE's leaderboard files for the test splits of a task.

    Raises:
        BertkitError: the task has none, or the model was fine-tuned for other classes.
    """
    from bertkit.tasks.predictor import decide
    from bertkit.tasks.submission import write_submission

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


def as_tsv(row: dict[str, Any]) -> str:
    """A prediction as a line: index, prediction, and the probabilities in the order of the classes."""
    shares = [f"{share:.6f}" for share in row.get("probabilities", {}).values()]
    prediction = row["prediction"]
    shown = prediction if isinstance(prediction, str) else json.dumps(prediction)
    return "\t".join([str(row["index"]), shown, *shares])
