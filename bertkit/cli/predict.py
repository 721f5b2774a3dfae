"""``bertkit predict``: what a fine-tuned classifier says of new text."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from bertkit import console
from bertkit.cli import options
from bertkit.errors import BertkitError
from bertkit.io.atomic import new_text


def predict(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder of `bertkit finetune`, a hub name, or a folder of runs.")
    ],
    source: Annotated[
        str | None, typer.Argument(metavar="FILE", help="Lines of text, a table, or - for stdin.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write: JSON lines, or .tsv; with --task a folder.")
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="Column of the text, for tables.")] = None,
    text_pair: Annotated[str | None, typer.Option("--text-pair", help="Column of the second text of a pair.")] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="Predict this GLUE task's test split, as a leaderboard file.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder with GLUE's own TSVs, instead of the hub.")
    ] = None,
    zip_file: Annotated[
        Path | None, typer.Option("--zip", help="Collect the leaderboard files under MODEL, a folder of runs, here.")
    ] = None,
    device: options.Device = "auto",
) -> None:
    """Predict labels for new text: one JSON line a row, in order."""
    from bertkit.finetuning import predict

    if zip_file is not None:
        _zip(Path(model), zip_file)
        return
    if (source is None) == (task is None):
        raise BertkitError("give a FILE to predict (- for stdin), or --task NAME for GLUE's test split")
    if source not in (None, "-") and not Path(str(source)).is_file():
        raise BertkitError(f"no file {source}: give lines of text, a table, or - for stdin")
    if task is not None:
        classifier = predict.open_classifier(model, device)
        for path in predict.write_task_submission(classifier, task, data, output or Path(model)):
            console.out.print(str(path), markup=False)
        return
    rows = predict.predict_rows(model, str(source), [name for name in (text, text_pair) if name], device)
    if output is None:
        for row in rows:
            sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")
        return
    tsv = output.suffix == ".tsv"
    with new_text(output) as file, console.progress("predicting", None, "row") as line:
        for number, row in enumerate(rows, 1):
            file.write((predict.as_tsv(row) if tsv else json.dumps(row, ensure_ascii=False)) + "\n")
            line.update(number)


def _zip(runs: Path, out: Path) -> None:
    from bertkit.finetuning.glue import zip_submissions

    path, missing = zip_submissions(runs, out)
    if missing:
        console.warn(f"not there yet: {', '.join(missing)}")
    console.out.print(str(path), markup=False)
