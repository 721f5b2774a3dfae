"""A task's classes beside those of a model: the same by name, in whatever order, or refused."""

import re
from collections.abc import Sequence

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.rows import cells
from bertkit.settings.schema import TaskSettings


def head_of_task(head: Head, task: TaskSettings, name: str) -> tuple[Head, list[int] | None]:
    """The head that a model is judged by on a task, and where each of its classes stands in the model's answer.

    Classes fit by name, whatever their case, blanks and hyphens; those of a model that has none (LABEL_0, or numbers) by
    number, which is said. None leaves the answer as it is.

    Args:
        name: of the task, for messages.

    Raises:
        BertkitError: the model answers another kind of question, or has other classes.
    """
    if not isinstance(head, SequenceHead):
        return head, None
    if task.problem_type is not None and task.problem_type != head.problem_type:
        raise BertkitError(
            f"the model was fine-tuned for another kind of task ({head.problem_type}) than {name} ({task.problem_type})"
        )
    if not task.labels or list(task.labels) == head.label_names:
        return head, None
    places = _places(head.label_names, task.labels, name)
    return head.in_order(task.labels, places), places


def _places(names: Sequence[str], wanted: Sequence[str], task: str) -> list[int]:
    plain = [_plain(name) for name in names]
    if len(set(plain)) == len(plain) and sorted(plain) == sorted(map(_plain, wanted)):
        return [plain.index(_plain(name)) for name in wanted]
    numbers = [name.removeprefix("LABEL_") for name in names]
    if len(names) == len(wanted) and sorted(numbers) == sorted(map(str, range(len(names)))):
        places = [numbers.index(str(number)) for number in range(len(wanted))]
        pairs = ", ".join(f"{names[place]} is {name}" for place, name in zip(places, wanted, strict=True))
        console.note(console.plain(f"the model's classes have no names and are taken by their numbers: {pairs}"))
        return places
    raise BertkitError(
        f"the model's classes ({', '.join(names)}) are not those of {task} ({', '.join(wanted)}): name those of the task "
        "as the model does, in the task's order, with --set 'task.labels=[\"NAME\", …]'"
    )


def taken_by_number(head: Head, values: Sequence[object]) -> str:
    """What is to be said where rows number the classes that a model has names for; empty where they do not."""
    if not isinstance(head, OneClass):
        return ""
    if not values or all(map(cells.is_whole, head.label_names)) or not all(map(cells.is_whole, values)):
        return ""
    shown = ", ".join(f"{number} is {name}" for number, name in enumerate(head.label_names[:3]))
    more = ", …" if len(head.label_names) > 3 else ""
    return f"the labels are numbers and are taken in the order of the model's classes: {shown}{more}"


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()
