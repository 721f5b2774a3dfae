"""Every setting of a recipe with what it means: for `bertkit recipes show NAME --all` and the settings page of the docs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, get_args

from pydantic import BaseModel

_WIDTH = 80
"""Columns of a terminal, which would break a longer line within a word."""


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        table: the table of the recipe that holds it: "train", "task.tsv".
        name: its name in there.
        value: what it is in a recipe, or by default; None where it is not set.
        about: its meaning with the unit, one sentence or two.
        allowed: the words that it may be, where it may be one of a few.
    """

    table: str
    name: str
    value: Any
    about: str
    allowed: tuple[str, ...]


def settings_of(recipe: BaseModel, table: str = "") -> Iterator[Setting]:
    """Every setting of a recipe in the order of the schema, tables within tables after what stands beside them."""
    tables = []
    for name, field in type(recipe).model_fields.items():
        value = getattr(recipe, name)
        if isinstance(value, BaseModel):
            tables.append((f"{table}.{name}".lstrip("."), value))
        else:
            yield Setting(table, name, value, _about(type(recipe), name), _words(field.annotation))
    for inner, value in tables:
        yield from settings_of(value, inner)


def as_commented_toml(recipe: BaseModel) -> str:
    """A recipe with all of its settings, each under a line that says what it means; what is not set is commented out."""
    lines: list[str] = []
    table = ""
    for setting in settings_of(recipe):
        if setting.table != table:
            table = setting.table
            lines += ["", f"[{table}]"]
        lines += [f"# {line}" for remark in _remarks(setting) for line in wrap(remark, _WIDTH - 2)]
        lines.append(
            f"# {setting.name} =" if setting.value is None else f"{setting.name} = {toml_value(setting.value)}"
        )
    return "\n".join(lines).lstrip("\n") + "\n"


def toml_value(value: Any) -> str:
    """A value as TOML writes it on one line.

    Example:
        >>> toml_value((("a", 1.5), True))
        '[["a", 1.5], true]'
    """
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(toml_value(one) for one in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{name} = {toml_value(one)}' for name, one in value.items())}}}"
    return json.dumps(value, ensure_ascii=False)


def _remarks(setting: Setting) -> list[str]:
    remarks = [setting.about.replace("``", "`")] if setting.about else []
    return [*remarks, f"One of: {', '.join(setting.allowed)}."] if setting.allowed else remarks


def _about(model: type[BaseModel], name: str) -> str:
    """The docstring under a field, or under the field of the same name that it overrides."""
    for one in model.__mro__:
        if issubclass(one, BaseModel) and name in one.model_fields and one.model_fields[name].description:
            return " ".join(str(one.model_fields[name].description).split())
    return ""


def _words(annotation: Any) -> tuple[str, ...]:
    """The words of a ``Literal``, also within ``X | None`` or ``tuple[X, ...]``."""
    inner = get_args(annotation)
    if inner and all(isinstance(one, str) for one in inner):
        return inner
    return next((words for one in inner if (words := _words(one))), ())
