"""Prints what `inspect --train` finds in labelled rows."""

from typing import Any

from bertkit import console
from bertkit.finetuning.rows.table_check import SplitCheck, TableCheck

_SHOWN_CLASSES = 20
_SHOWN_LEFT_OUT = 5
_FIGURES = {
    "rows": "rows",
    "without_class": "rows with no class",
    "least": "least",
    "mean": "mean",
    "largest": "largest",
    "repeated": "repeat the text of another row",
    "contradictory": "… with another label",
    "shared": "also trained on",
    "empty": "empty texts",
    "median": "tokens, median",
    "longest": "tokens, longest",
}


def print_check(look: TableCheck, notes: list[str]) -> None:
    """Prints classes, figures and warnings, in tables no wider than a terminal."""
    for note in notes:
        console.out.print(console.plain(note))
    console.out.print()
    classes = look.splits[0].classes
    if classes:
        ranked = sorted(classes, key=lambda name: -classes[name])[:_SHOWN_CLASSES]
        more = f"and {len(classes) - len(ranked):,} more" if len(classes) > len(ranked) else ""
        rows = [(name, [f"{split.classes[name]:,}" for split in look.splits]) for name in ranked]
        _print_table("rows of a class", look.splits, rows, more)
    figures = [(shown, [_figure(getattr(split, name)) for split in look.splits]) for name, shown in _FIGURES.items()]
    if look.limit:
        figures.append((f"over {look.limit} tokens", [_figure(split.over_limit) for split in look.splits]))
    _print_table("", look.splits, [(name, values) for name, values in figures if any(values)], "")
    for told in look.warnings():
        console.out.print(f"[yellow]![/] {console.plain(told)}")
    rest = len(look.left_out[_SHOWN_LEFT_OUT:])
    for told in [*look.left_out[1:_SHOWN_LEFT_OUT], *[f"… and {rest:,} more"] * bool(rest)]:
        console.out.print(f"  {console.plain(told)}")


def _print_table(title: str, splits: list[SplitCheck], rows: list[tuple[str, list[str]]], more: str) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2))
    table.add_column(title, overflow="ellipsis", no_wrap=True, max_width=40)
    for split in splits:
        table.add_column(split.name, justify="right")
    for name, values in rows:
        table.add_row(console.plain(name), *values)
    console.out.print(table)
    console.out.print(f"  {more}\n" if more else "")


def _figure(value: Any) -> str:
    """A figure for people; empty if there is none."""
    return "" if not value else f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"
