"""Matches the classes of a task with those of a model by name; if they differ, the task is refused."""

import re
from collections.abc import Iterator, Sequence

from bertkit import console
from bertkit.console import listed
from bertkit.errors import BertkitError
from bertkit.finetuning.features import Columns, Row
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.heads.one_class import OneClass
from bertkit.finetuning.heads.sequence import SequenceHead
from bertkit.finetuning.heads.several_classes import SeveralClasses
from bertkit.finetuning.heads.token import TokenHead
from bertkit.finetuning.rows import cells
from bertkit.finetuning.rows.unfolded import unfolded
from bertkit.io.cells import ClassId
from bertkit.settings.schema import TaskSettings


def head_of_task(head: Head, task: TaskSettings, name: str) -> tuple[Head, list[int] | None]:
    """The head with which a model is evaluated on a task.

    Classes are matched by name, ignoring case, blanks and hyphens. Those of a model without names (LABEL_0, or numbers)
    are matched by number, and a note says so. Tags keep the model's order; see ``head_of_rows``.

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
        return head_of_rows(head, task), None
    if task.problem_type is not None and task.problem_type != head.problem_type:
        raise BertkitError(
            f"the model was fine-tuned for another kind of task ({head.problem_type}) than {name} ({task.problem_type})"
        )
    if not task.labels or list(task.labels) == head.label_names:
        return head, None
    places = _places(head.label_names, task.labels, name)
    return head.in_order(task.labels, places), places


def head_of_rows(head: Head, task: TaskSettings) -> Head:
    """The head of a model that is evaluated on rows. Tags that they give as numbers are named by the task, where it names them
    and the model has names, too."""
    if not isinstance(head, TokenHead) or not task.labels:
        return head
    if cells.are_numbers(head.label_names):
        console.note(
            console.plain(f"the model's tags have no names ({listed(head.label_names, 3)}): task.labels is not used")
        )
        return head
    return TokenHead(head.label_names, head.scheme, task.labels)


def _places(names: Sequence[str], wanted: Sequence[str], task: str) -> list[int]:
    plain = [_plain(name) for name in names]
    if len(set(plain)) == len(plain) and sorted(plain) == sorted(map(_plain, wanted)):
        return [plain.index(_plain(name)) for name in wanted]
    if len(names) == len(wanted) and cells.are_numbers(names):
        numbers = [name.removeprefix("LABEL_") for name in names]
        places = [numbers.index(str(number)) for number in range(len(wanted))]
        pairs = ", ".join(f"{names[place]} is {name}" for place, name in zip(places, wanted, strict=True))
        console.note(console.plain(f"the model's classes have no names and are taken by their numbers: {pairs}"))
        return places
    to_do = (
        "name those of the task as the model does, in the task's order, with --set 'task.labels=[\"NAME\", …]'"
        if len(names) == len(wanted)
        else "give rows with the classes of the model (--validation FILE)"
    )
    raise BertkitError(
        f"the model's classes ({', '.join(names)}) are not those of {task} ({', '.join(wanted)}): {to_do}"
    )


def named_rows(
    rows: Sequence[Row], kind: type[Head], columns: Columns, task: TaskSettings, known: Sequence[str]
) -> list[Row]:
    """Rows in which a class, or a tag, has the name that its data set gives to its number (``ClassId``), spelled as in ``known``.

    The numbers stay where the known classes are called otherwise: none as in the data set, or as many, but not all of them.

    Args:
        rows: the rows.
        kind: the head that reads them; those that have no classes, or numbers in their place, read the numbers.
        columns: the columns by role.
        task: the settings of the task.
        known: the classes of a model, or those that are given; none if they are learned from these rows.
    """
    rows, label = list(rows), columns.get("label", ())
    first = next(_class_ids(rows, kind, columns, task), None)
    if first is None:
        return rows
    spelled = {_plain(name): name for name in known}
    alike = [_plain(name) in spelled for name in first.names]
    if known and not all(alike) and (not any(alike) or len(known) == len(alike)):
        return rows
    names = [name if name in known else spelled.get(_plain(name), name) for name in first.names]

    def named(value: object) -> object:
        if isinstance(value, list):
            return [named(one) for one in value]
        return names[value] if isinstance(value, ClassId) else value

    return [(place, {**row, label[0]: named(row.get(label[0]))}) for place, row in rows]


def in_order_of_ids(rows: Sequence[Row], kind: type[Head], columns: Columns, task: TaskSettings) -> TaskSettings:
    """The task with the classes of the data set of its rows, in the order of their numbers there; the same task if it names its
    own, or if the rows have numbers without names, or a single class.

    So a class has the number in the model that it has in the data set, and whoever reads these finds the same class.
    """
    given = {int(one): one for one in _class_ids(rows, kind, columns, task)}
    if task.labels or len(given) < 2:
        return task
    return task.model_copy(update={"labels": tuple(next(iter(given.values())).names)})


def _class_ids(rows: Sequence[Row], kind: type[Head], columns: Columns, task: TaskSettings) -> Iterator[ClassId]:
    """The classes, or tags, that have names in their data set; none where the labels are read as something else."""
    label = columns.get("label", ())
    is_number = getattr(kind, "problem_type", task.problem_type) == "regression"
    if is_number or not issubclass(kind, (SequenceHead, TokenHead)) or len(label) != 1:
        return
    labels = (one for _, row in rows for one in _listed(row.get(label[0])))
    yield from (one for one in labels if isinstance(one, ClassId))


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def taken_by_number(head: Head, values: Sequence[object]) -> str:
    """A note for rows that give the classes or tags of a model by number although it has names; empty for other rows."""
    if isinstance(head, TokenHead):
        tags = (tag for row in map(unfolded, values) if isinstance(row, list) for tag in row)
        if any(isinstance(tag, int) for tag in tags) and not cells.are_numbers(head.numbered):
            own = "the model's tags (--set task.labels=… names another)"
            return _order("tags", head.numbered, own if head.numbered == head.label_names else "task.labels")
    elif isinstance(head, SeveralClasses):
        names, lists = head.label_names, (cells.as_list(value) or [] for value in values)
        if not cells.are_numbers(names) and any(cells.are_flags([one], len(names)) for one in lists):
            return _order("labels", names, "the classes (--set task.labels=… names another)", "lists of 0 and 1")
    elif isinstance(head, OneClass):
        named = not all(map(cells.is_whole, head.label_names))
        if values and named and all(map(cells.is_whole, values)):
            return _order("labels", head.label_names, "the model's classes")
    return ""


def _order(what: str, names: Sequence[str], whose: str, written: str = "numbers") -> str:
    shown = listed([f"{number} is {name}" for number, name in enumerate(names)], 3)
    return f"the {what} are {written} and are taken in the order of {whose}: {shown}"


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).casefold()
