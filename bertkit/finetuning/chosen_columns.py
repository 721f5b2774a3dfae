"""The columns of a table that a head reads: those that are named, those that its model was trained on, or recognised ones."""

from collections.abc import Mapping, Sequence
from typing import Any

from bertkit.errors import BertkitError
from bertkit.finetuning.features import Columns, Row
from bertkit.finetuning.heads.base import Head
from bertkit.finetuning.rows.columns import Command, check_columns, choose_columns, told_unread
from bertkit.settings.recipes import Override
from bertkit.settings.schema import TaskSettings

_SETTINGS = ("text", "label", "columns")


def columns_for(
    kind: type[Head],
    task: TaskSettings,
    rows: Sequence[Row],
    source: str,
    *,
    labelled: bool = True,
    trained_on: Mapping[str, Sequence[str]] | None = None,
    command: Command = "finetune",
) -> tuple[Columns, list[str]]:
    """The columns of each role of a head, and lines about what was guessed.

    Args:
        kind: the class of the head.
        task: names columns that have to be there.
        rows: the rows.
        source: the table, for messages.
        labelled: whether the labels are read.
        trained_on: the columns that the model was trained on; see ``choose_columns``.
        command: the command at hand, whose options messages name.

    Raises:
        BertkitError: columns are missing, cannot be recognised, or would not be read.
    """
    asked = columns_of(task)
    unknown = next((role for role in asked if role not in kind.roles), None)
    if unknown is not None:
        taken = "the rows are taken for those of" if task.head is None else "there is no such thing with"
        flag = f"--{unknown.replace('_', '-')}" if unknown in ("text", "text_pair", "label") else f"'{unknown}'"
        raise BertkitError(
            f"{flag} does not fit: {taken} the head {kind.name}, which reads {', '.join(kind.roles)}; leave it out, and "
            "name other columns with --set 'task.columns={ROLE=\"NAME\"}'"
        )
    roles = {role: usual for role, usual in kind.roles.items() if labelled or role != "label"}
    columns, notes = choose_columns(roles, asked, rows, source, trained_on or {}, command)
    with_kind = f" with task.problem_type={task.problem_type}" if task.problem_type else ""
    check_columns(columns, kind.most_columns(task), source, f"the head {kind.name}{with_kind}", command)
    if notes and command == "finetune":
        unread = told_unread(kind.columns_read(columns, rows[0][1]), rows)
        notes = ["; ".join([*notes, unread])] if unread else notes
    return columns, notes


def columns_of(task: TaskSettings) -> Columns:
    """The columns that settings name, by role."""
    named: Columns = {role: (column,) for role, column in (task.columns or {}).items()}
    return named | {role: names for role, names in (("text", task.text), ("label", task.label)) if names}


def with_columns(task: TaskSettings, columns: Columns) -> TaskSettings:
    """The settings with the columns that were recognised in the rows of a run, so that its model is used with the same ones."""
    named = columns_of(task)
    chosen: dict[str, Any] = {role: names for role, names in columns.items() if names and role not in named}
    recorded = {role: chosen.pop(role) for role in ("text", "label") if role in chosen}
    others = (task.columns or {}) | {role: names[0] for role, names in chosen.items()}
    return task.model_copy(update=recorded | ({"columns": others} if others else {}))


def told_apart(task: TaskSettings, overrides: Sequence[Override] = ()) -> tuple[TaskSettings, Columns]:
    """What a model's recipe says of columns: settings with those alone that are named now, and those that it was trained on.

    Args:
        task: the settings of the recipe with the overrides.
        overrides: what is given now.
    """
    given = {one.key.removeprefix("task.") for one in overrides}
    nothing = TaskSettings()
    kept = {name: getattr(nothing, name) for name in _SETTINGS if name not in given}
    return task.model_copy(update=kept), columns_of(task)
