"""The heads by name. Each has a file of its own, and a line here."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bertkit.errors import BertkitError, did_you_mean
from bertkit.finetuning.features import Row
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.choice import ChoiceHead
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.heads.span import SpanHead
from bertkit.finetuning.heads.token import TokenHead
from bertkit.models.folder import what_it_is
from bertkit.models.linear_heads import check_problem_type
from bertkit.settings.schema import TaskSettings

HEADS: dict[str, type[Head]] = {
    "sequence": SequenceHead,
    "token": TokenHead,
    "choice": ChoiceHead,  # before answers: one of a question's choices, such as "A", may also stand in its text
    "span": SpanHead,
}


def head_named(name: str) -> type[Head]:
    """The class of the head with this name.

    Raises:
        BertkitError: there is no such head.
    """
    if name not in HEADS:
        raise BertkitError(f"no head '{name}'.{did_you_mean(name, list(HEADS))} There are: {', '.join(HEADS)}")
    return HEADS[name]


def head_for(task: TaskSettings, rows: Sequence[Row]) -> type[Head]:
    """The class of the head that a task names; else the one that most of these rows clearly belong to; else ``SequenceHead``.

    Raises:
        BertkitError: there is no such head, the first row belongs to another kind of task, or a setting is of other heads.
    """

    def takes_most(head: type[Head]) -> bool:
        return 2 * sum(head.takes(row, task) for _, row in rows) > len(rows)

    kind = head_named(task.head) if task.head else next(filter(takes_most, HEADS.values()), SequenceHead)
    kind.check(rows[0], {})
    _refuse_unused(kind, task)
    return kind


def _refuse_unused(kind: type[Head], task: TaskSettings) -> None:
    """Refuses settings that the head would not read.

    Raises:
        BertkitError: the message names the setting.
    """
    for name, readers in (("problem_type", (SequenceHead,)), ("labels", (SequenceHead, TokenHead))):
        if getattr(task, name) and not issubclass(kind, readers):
            taken = "asked for" if task.head else "recognised in the rows"
            raise BertkitError(
                f"task.{name} is not read by the head {kind.name}, which is {taken}: leave it out"
                + ("" if task.head else ", or name another head with --head")
            )


def rows_of(path: Path) -> Iterator[Row] | None:
    """The rows of a file in a format that only one head has; None for a table or plain lines."""
    return next((rows for head in HEADS.values() if (rows := head.rows_of(path)) is not None), None)


def head_of_model(name: str, config: dict[str, Any], task: TaskSettings) -> Head:
    """The head of a saved model.

    Args:
        name: the model's name, for messages.
        config: its config.json.
        task: the task settings of the recipe that it was fine-tuned with, or default ones.

    Raises:
        BertkitError: the model was not fine-tuned, or for a kind of task that has no head here, or its config.json does
            not say what its outputs mean.
    """
    # By the names of transformers: BertForTokenClassification belongs to AutoModelForTokenClassification.
    architecture = next(iter(config.get("architectures") or ()), SequenceHead.auto_class)
    fitting = [head for head in HEADS.values() if architecture.endswith(_suffix(head))]
    if not fitting:
        readable = ", ".join(dict.fromkeys(f"…{_suffix(head)}" for head in HEADS.values()))
        told = what_it_is(config, name) or f"it is a {architecture}; run bertkit finetune --model {name} first"
        raise BertkitError(f"{name} was not fine-tuned for a task that bertkit reads ({readable}): {told}")
    check_problem_type(config, name)
    kind = next((head for head in fitting if head.name == task.head), fitting[0])
    try:
        return kind.of_model(config)
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # the file may be anybody's
        raise BertkitError(
            f"the config.json of {name} does not say what the outputs of a {architecture} mean (id2label, problem_type): "
            f"{type(error).__name__} {error}"
        ) from error


def _suffix(head: type[Head]) -> str:
    return head.auto_class.removeprefix("AutoModel")
