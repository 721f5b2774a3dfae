"""Reads cells in which a list or an object is written as text, as tables without nested columns (CSV) keep them."""

import re
from typing import Any, TypeGuard

from bertkit.finetuning.rows.cells import as_list

_IN_QUOTES = re.compile(r"""\[\s*(['"]).*\1\s*\]""", re.DOTALL)


def unfolded(value: Any) -> Any:
    """The list or object that a cell is written as, in JSON or as in Python; any other cell as it is.

    Example:
        >>> unfolded("['a', 'b']"), unfolded('{"text": []}'), unfolded("[a b]")
        (['a', 'b'], {'text': []}, '[a b]')
    """
    if not isinstance(value, str):
        return value
    if looks_like_object(value):
        found = as_list(f"[{value}]") or ()
        return found[0] if len(found) == 1 and isinstance(found[0], dict) else value
    listed = as_list(value)
    return value if listed is None else listed


def looks_like_object(value: Any) -> bool:
    """Whether a cell is a text in braces, as objects are written, even if it cannot be read as one."""
    return isinstance(value, str) and value.strip()[:1] == "{" and value.strip()[-1:] == "}"


def looks_like_list(value: Any) -> bool:
    """Whether a cell is a text like a list of texts, even if it cannot be read as one: numpy prints ``['a' 'b']``."""
    return isinstance(value, str) and bool(_IN_QUOTES.fullmatch(value.strip()))


def are_texts(values: Any) -> TypeGuard[list[str]]:
    """Whether something is a list of texts, one at least."""
    return isinstance(values, list) and bool(values) and all(isinstance(one, str) for one in values)
