"""The heads by name: a file for each, and a line here."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bertkit.errors import BertkitError
from bertkit.finetuning.features import Row
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.choice import ChoiceHead
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.heads.span import SpanHead
from bertkit.finetuning.heads.token import TokenHead
from bertkit.models.folder import what_it_is
from bertkit.settings.recipes import did_you_mean
from bertkit.settings.schema import TaskSettings

HEADS: dict[str, type[Head]] = {
    "sequence": SequenceHead,
    "token": TokenHead,
    "span": SpanHead,
    "choice": ChoiceHead,
}


def head_named(name: str) -> type[Head]:
    """The head of a name.

    Raises:
        BertkitError: there is none.
    """
    if name not in HEADS:
        raise BertkitError(f"no head '{name}'.{did_you_mean(name, list(HEADS))} There are: {', '.join(HEADS)}")
    return HEADS[name]


def head_for(task: TaskSettings, row: Row) -> type[Head]:
    """The head that a task asks for, or else the one that its first row is plainly of, or else one on sequences.

    Raises:
        BertkitError: there is no such head, or the row is of another kind of task.
    """
    kind = head_named(task.head) if task.head else None
    kind = kind or next((head for head in HEADS.values() if head.takes(row[1], task)), SequenceHead)
    kind.check(row, {})
    return kind


def rows_of(path: Path) -> Iterator[Row] | None:
    """The rows of a file in a form that some head has of its own; None for a table, or plain lines."""
    return next((rows for head in HEADS.values() if (rows := head.rows_of(path)) is not None), None)


def head_of_model(name: str, config: dict[str, Any], task: TaskSettings) -> Head:
    """The head of a saved model.

    Args:
        name: the model, for messages.
        config: its config.json.
        task: of the recipe that it was fine-tuned by, where that is known.

    Raises:
        BertkitError: it was not fine-tuned, or for a task that no head here is for.
    """
    # As transformers' auto classes: BertForTokenClassification is one of AutoModelForTokenClassification's.
    architecture = next(iter(config.get("architectures") or ()), SequenceHead.auto_class)
    fitting = [head for head in HEADS.values() if architecture.endswith(_suffix(head))]
    if not fitting:
        readable = ", ".join(dict.fromkeys(f"…{_suffix(head)}" for head in HEADS.values()))
        told = what_it_is(config, name) or f"it is a {architecture}; run bertkit finetune --model {name} first"
        raise BertkitError(f"{name} was not fine-tuned for a task that bertkit reads ({readable}): {told}")
    return next((head for head in fitting if head.name == task.head), fitting[0]).of_model(config)


def _suffix(head: type[Head]) -> str:
    return head.auto_class.removeprefix("AutoModel")
