"""``bertkit evaluate``: the figures of a saved classifier."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bertkit import console
from bertkit.cli import options


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A folder of `bertkit finetune`, or a hub name.")],
    task: Annotated[str | None, typer.Option("--task", help="A task; else the one it was fine-tuned on.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder with GLUE's own TSVs, instead of the hub.")
    ] = None,
    validation: Annotated[str | None, typer.Option("--validation", help="Labelled rows of your own.")] = None,
    sets: options.Set = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Evaluate a fine-tuned classifier on labelled text."""
    from bertkit.tasks.apply import evaluate as evaluated

    results = evaluated(model, task, data, validation, options.overrides(sets), device)
    if as_json:
        typer.echo(json.dumps(results, indent=2, ensure_ascii=False))
        return
    _print(results)


def _print(results: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in results.items():
        if isinstance(value, float):
            table.add_row(name, f"{value:.4f}")
        elif name.endswith("interval_95"):
            table.add_row(name, f"{value[0]:.4f} to {value[1]:.4f}")
    console.out.print(table)
