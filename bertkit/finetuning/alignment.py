"""Matches the classes of a task with those of a model by name; if they differ, the task is refused."""

import re
from collections.abc import Sequence

from bertkit import console
from bertkit.console import listed
from bertkit.errors import BertkitError
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.rows import cells
from bertkit.settings.schema import TaskSettings


def head_of_task(head: Head, task: TaskSettings, name: str) -> tuple[Head, list[int] | None]:
    """The head with which a model is evaluated on a task.

    Classes are matched by name, ignoring case, blanks and hyphens. Those of a model without names (LABEL_0, or numbers)
    are matched by number, and a note says so.

    Args:
        head: the model's own head.
        task: the settings of the task.
        name: the name of the task, for messages.

    Returns:
        The head, and for each of its classes its position in the model's output; None if the order is the same.

    Raises:
        BertkitError: the model was fine-tuned for another kind of task, or has other classes.
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
    """A note for rows that give the classes of a model by number although it has names; empty for other rows."""
    if not isinstance(head, OneClass):
        return ""
    if not values or all(map(cells.is_whole, head.label_names)) or not all(map(cells.is_whole, values)):
        return ""
    shown = listed([f"{number} is {name}" for number, name in enumerate(head.label_names)], 3)
    return f"the labels are numbers and are taken in the order of the model's classes: {shown}"


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()
