"""Leaves out rows that cannot be used, with the reasons."""

from collections.abc import Callable, Sequence

from bertkit.console import counted
from bertkit.errors import BertkitError
from bertkit.finetuning.features import Row


def passing(rows: Sequence[Row], check: Callable[[Row], object], unusable: list[str] | None) -> list[Row]:
    """The rows that a check does not refuse; why it refuses the others is added to ``unusable``. All rows if that is None.

    Raises:
        BertkitError: it refuses all of them.
    """
    if unusable is None:
        return list(rows)
    kept, reasons = list[Row](), list[str]()
    for row in rows:
        try:
            check(row)
            kept.append(row)
        except BertkitError as error:
            reasons.append(str(error))
    if not kept:
        refuse_all(reasons)
    unusable += reasons
    return kept


def refuse_all(reasons: Sequence[str]) -> None:
    """Refuses rows none of which can be used, by the number of them and the first reason.

    Raises:
        BertkitError: there are reasons.
    """
    if reasons:
        raise BertkitError(f"none of {counted(len(reasons), 'row', 'rows')} can be used; the first: {reasons[0]}")
