"""What a bench has measured, as people read it or as JSON."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bertkit import console

if TYPE_CHECKING:
    from rich.table import Table


def show(result: dict[str, Any], as_json: bool) -> None:
    """Prints the figures of a bench."""
    if as_json:
        print(json.dumps(result))
        return
    peak = f", peak {result['peak_tflops']:.2f} TFLOP/s" if "peak_tflops" in result else ""
    console.out.print(f"{console.plain(result['work'])} on {console.plain(result['device'])}{peak}")
    console.out.print(_points(result) if "points" in result else _figures(result))


def _figures(result: dict[str, Any]) -> "Table":
    """The contestants, and bertkit beside each of the others."""
    rows = []
    for number, one in enumerate(result["figures"]):
        amount = f"{one['seconds']:.2f}" if "seconds" in one else _speed(one["speed"])
        ratio = f"{one['ratio']:.2f} ({one['ratio_low']:.2f} to {one['ratio_high']:.2f})"
        rows.append([one["name"], amount, ratio if number else "", *_extras(one)])
    return _table(("", result["unit"], "bertkit is × as fast", *_EXTRAS), rows)


def _points(result: dict[str, Any]) -> "Table":
    """The settings along each axis."""
    rows, axis = [], ""
    for one in result["points"]:
        rows.append(
            ["" if one["axis"] == axis else one["axis"], str(one["value"]), _speed(one["speed"]), *_extras(one)]
        )
        axis = one["axis"]
    return _table(("", "", result["unit"], *_EXTRAS), rows)


_EXTRAS = ("of peak", "memory", "waiting")


def _extras(one: dict[str, Any]) -> list[str]:
    """Share of the matrix peak, the most memory, and share of the time spent waiting, where they are known."""
    peak, memory, waiting = (one.get(name) for name in ("share_of_peak", "memory_bytes", "waiting"))
    return [
        "" if peak is None else f"{peak:.1%}",
        "" if memory is None else f"{memory / 2**20:,.0f} MiB",
        "" if waiting is None else f"{waiting:.1%}",
    ]


def _speed(speed: float) -> str:
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:,.2f}" if speed >= 1 else f"{speed:.2g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> "Table":
    """Without the columns that have nothing to say; names are broken where the terminal is narrow, figures are not."""
    from rich.table import Table

    kept = [place for place in range(len(head)) if any(row[place] for row in rows)]
    shown = Table(box=None, pad_edge=False)
    for place in kept:
        shown.add_column(head[place], min_width=None if place else 16, no_wrap=place > 0)
    for row in rows:
        shown.add_row(*(console.plain(row[place]) for place in kept))
    return shown
