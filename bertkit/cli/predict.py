"""``bertkit predict``: the predictions of a fine-tuned model for new text."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.cells import cell_len

from bertkit import console
from bertkit.cli import options
from bertkit.cli.texts import peeked, refuse_missing_file
from bertkit.errors import BertkitError

_WIDEST_CLASS = 30


def predict(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder of `bertkit finetune`, a hub name, or a folder of runs.")
    ],
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT|FILE", help="Texts; files with lines or tables; or - for stdin.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", help="File to write (.jsonl, .csv, .tsv or .parquet); with --task a folder."),
    ] = None,
    text: options.TextColumn = None,
    text_pair: options.PairColumn = None,
    task: Annotated[
        str | None, typer.Option("--task", help="Predict this GLUE task's test split, as a leaderboard file.")
    ] = None,
    data: options.GlueFolder = None,
    zip_file: Annotated[
        Path | None, typer.Option("--zip", help="Collect the leaderboard files under MODEL, a folder of runs, here.")
    ] = None,
    abstain_below: Annotated[
        float, typer.Option("--abstain-below", help="No prediction if the most likely class has a lower probability.")
    ] = 0.0,
    device: options.Device = "auto",
    as_json: options.Json = False,
    overwrite: options.ReplaceFile = False,
) -> None:
    """Predict labels for new text, in order. Prints a table on a terminal, and JSON lines to a pipe or with --json."""
    from bertkit.finetuning.predict import predict_rows, write_task_submission
    from bertkit.finetuning.predictor import open_predictor

    own = {"--text": text, "--text-pair": text_pair, "--abstain-below": abstain_below, "--json": as_json}
    if zip_file is not None:
        options.refuse("--zip", "predictions", own | {"TEXT|FILE": sources, "--task": task, "--output": output})
        _zip(Path(model), zip_file, overwrite)
        return
    if (not sources) == (task is None):
        raise BertkitError("give a TEXT or FILE to predict (- for stdin), or --task NAME for GLUE's test split")
    if task is not None:
        options.refuse("--task", "TEXT or FILE", own)
        predictor = open_predictor(model, device)
        for path in write_task_submission(predictor, task, data, output or Path(model), overwrite):
            console.out.print(str(path), markup=False)
        return
    options.refuse("TEXT or FILE", "--task", {"--data": data})
    for source in sources or ():
        refuse_missing_file(
            source, "give texts, lines of text, a table, or - for lines of stdin, which may be any texts"
        )
    from bertkit.io.rows import check_place, write_rows

    if output is not None:
        options.refuse("--output, whose name says the form", "what is printed", {"--json": as_json})
        check_place(output, overwrite)
    rows = predict_rows(model, sources or [], options.columns(text, text_pair), device, abstain_below)
    if output is not None:
        write_rows(output, peeked(_watched(row for _, row in rows))[0])
        return
    rows, _ = peeked(rows)
    if as_json or not sys.stdout.isatty():
        for _, row in rows:
            console.print_json(row)
    else:
        for texts, row in rows:
            _print(texts, row)


def _watched(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    with console.progress("predicting", None, "row") as line:
        for number, row in enumerate(rows, 1):
            yield row
            line.update(number)


def _print(texts: Any, row: dict[str, Any]) -> None:
    """Prints a row of the table: the answer, its probability if it is a class, and as much of the text as fits."""
    entities = [f"{one['text']} {one['label']}" for one in row.get("entities", ())]
    answer, shares = row.get("prediction", entities), row.get("probabilities") or {}
    shown = (
        ", ".join(answer) or "none" if isinstance(answer, list) else "not sure" if answer is None else _figure(answer)
    )
    width = min(_WIDEST_CLASS, max(map(cell_len, [*shares, shown])))
    share = f"{shares[answer]:7.1%}" if isinstance(answer, str) and answer in shares else ""
    parts = list(texts.values()) if isinstance(texts, dict) else texts if isinstance(texts, list | tuple) else [texts]
    text = " │ ".join(map(str, parts))
    console.out.print(
        f"[bold green]{console.plain(shown)}[/]{' ' * (width - cell_len(shown))}[cyan]{share}[/]  "
        f"{console.plain(' '.join(text.split()))}",
        soft_wrap=False,
        no_wrap=True,
        overflow="ellipsis",
    )


def _figure(answer: Any) -> str:
    return f"{answer:.4g}" if isinstance(answer, float) else str(answer)


def _zip(runs: Path, out: Path, overwrite: bool) -> None:
    from bertkit.finetuning.glue import zip_submissions

    path, missing = zip_submissions(runs, out, overwrite)
    if missing:
        console.warn(f"not there yet: {', '.join(missing)}")
    console.out.print(str(path), markup=False)
