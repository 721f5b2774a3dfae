"""``bertkit report``: writes a page about one or several runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertkit import console
from bertkit.cli.options import ReplaceFile
from bertkit.errors import BertkitError

if TYPE_CHECKING:
    from bertkit.reporting.runs import Run


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs, finished or not.")],
    out: Annotated[Path, typer.Option("--out", help="The page to write.", dir_okay=False)] = Path("report.html"),
    png: Annotated[bool, typer.Option("--png", help="Write the plots as PNG files beside it, too.")] = False,
    fill: Annotated[
        list[str] | None,
        typer.Option("--fill", metavar="TEXT", help="A sentence with [MASK] for the checkpoints; may be repeated."),
    ] = None,
    overwrite: ReplaceFile = False,
) -> None:
    """Show runs on one page: curves, settings and their differences, sample fills, errors."""
    from bertkit.inference.mask_filling.filler import check_text
    from bertkit.reporting.checkpoints import Look, look
    from bertkit.reporting.pages import check_target
    from bertkit.reporting.runs import read_runs

    for text in fill or ():
        check_text(text)
    check_target(out, overwrite)
    shown = read_runs(runs)
    _say_without_fills(shown, fill or ())
    looks = [look(run, fill or ()) if run.is_pretraining else Look(run) for run in shown]
    from bertkit.reporting.report import write_report

    fills = {one.run.name: one.fills for one in looks}
    for path in write_report([one.run for one in looks], fills, out, png, overwrite):
        console.out.print(str(path), markup=False)


def _say_without_fills(runs: Sequence["Run"], asked: Sequence[str]) -> None:
    """Says which runs do not fill the sentences that somebody gave; an error where no run does."""
    others = [run.name for run in runs if asked and not run.is_pretraining]
    if not others:
        return
    told = f"--fill is for runs of pretraining, and not for {console.listed(others, 3)}"
    if len(others) == len(runs):
        raise BertkitError(f"{told}: leave it out")
    console.note(console.plain(told))
