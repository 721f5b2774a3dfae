"""Finds the task that a model is served for, checks requests, and assigns the answers of a batch."""

from collections.abc import Callable, Sequence
from typing import Any

from bertkit.errors import BertkitError
from bertkit.models.folder import checked_folder, read_config, what_it_is
from bertkit.serving.tasks import VECTORS, Answers, Classification, FillMask, Item, Tags, Task, Vectors

# The tasks by the end of the name of a model's class.
_TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForPreTraining": "fill-mask",
    "ForMaskedLM": "fill-mask",
    "Model": VECTORS,
}
_MOST_GUESSES = 100


def task_name(model: str) -> str:
    """The task that a model was trained for, by its config.json.

    Raises:
        BertkitError: the model cannot be loaded, or its task is not in the inference API.
    """
    config = read_config(checked_folder(model, features=True), model)
    kind = next(iter(config["architectures"]), "BertForPreTraining")
    for end, task in _TASKS.items():
        if kind.endswith(end):
            return task
    told = what_it_is(config, model)
    raise BertkitError(f"{model} is a {kind}, which the inference API has no form for{told and f': {told}'}")


def open_task(model: str, name: str, device: str | None) -> Task:
    """Loads a model for a task.

    Args:
        model: a folder, a name on the hub, or "embedded".
        name: the name of the task: the model's own, or ``VECTORS``, which every BERT can answer.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
    """
    kinds: dict[str, Callable[[str, str | None], Task]] = {
        "fill-mask": FillMask,
        "text-classification": Classification,
        "token-classification": Tags,
        "question-answering": Answers,
        VECTORS: Vectors,
    }
    return kinds[name](model, device)


def answered(task: Task, items: Sequence[Item]) -> list[Any]:
    """The answers to items, in order; for an item that cannot be answered its exception, which affects no other item."""
    try:
        return task.answers(items)
    except Exception as error:
        if len(items) == 1:
            return [error]
        half = len(items) // 2
        return answered(task, items[:half]) + answered(task, items[half:])


def checked_items(task: Task, inputs: Any, parameters: Any) -> list[Item]:
    """The items of a request, whose inputs are one input or a list.

    Raises:
        BertkitError: an input does not fit the task, or a parameter is unknown or wrong.
    """
    if not isinstance(parameters, dict):
        raise BertkitError('parameters must be an object, as in {"inputs": "…", "parameters": {"top_k": 3}}')
    given = {name: value for name, value in parameters.items() if value is not None}
    unknown = sorted(given.keys() - {*task.parameters})
    if unknown:
        known = ", ".join(task.parameters) or "none"
        raise BertkitError(f"unknown parameter '{unknown[0][:60]}': {task.name} knows {known}")
    top_k = given.get("top_k", 1)
    if type(top_k) is not int or not 1 <= top_k <= _MOST_GUESSES:
        raise BertkitError(f"top_k must be a whole number from 1 to {_MOST_GUESSES}")
    targets = given.get("targets", [])
    if not isinstance(targets, list) or not all(isinstance(one, str) for one in targets):
        raise BertkitError("targets must be a list of words")
    if not isinstance(given.get("normalize", False), bool):
        raise BertkitError("normalize must be true or false")
    every = inputs if isinstance(inputs, list) else [inputs]
    return [Item(task.content(one), given) for one in every]
