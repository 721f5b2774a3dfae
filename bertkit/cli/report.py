"""``bertkit report``: writes a page about one or several runs."""

from pathlib import Path
from typing import Annotated

import typer

from bertkit import console
from bertkit.cli.options import ReplaceFile
from bertkit.errors import BertkitError


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs, finished or not.")],
    out: Annotated[Path, typer.Option("--out", help="The page to write.", dir_okay=False)] = Path("report.html"),
    png: Annotated[bool, typer.Option("--png", help="Write the plots as PNG files beside it, too.")] = False,
    fill: Annotated[
        list[str] | None,
        typer.Option("--fill", metavar="TEXT", help="A sentence with [MASK] for the checkpoints; may be repeated."),
    ] = None,
    minimal_pairs: Annotated[
        list[Path] | None,
        typer.Option(
            "--minimal-pairs",
            metavar="PATH",
            help="A file or folder of minimal pairs for the checkpoints, as for `bertkit evaluate`; may be repeated.",
        ),
    ] = None,
    overwrite: ReplaceFile = False,
) -> None:
    """Show runs on one page: curves, what pretraining buys, settings and their differences, sample fills, errors."""
    from bertkit.inference.mask_filling.filler import check_text
    from bertkit.inference.minimal_pairs import read_pairs
    from bertkit.reporting.checkpoints import look
    from bertkit.reporting.pages import check_target
    from bertkit.reporting.runs import paths_by_name, read_runs

    for text in fill or ():
        check_text(text)
    check_target(out, overwrite)
    shown = read_runs(runs)
    tuned = [run.name for run in shown if not run.is_pretraining]
    for flag, asked in (("--fill", fill), ("--minimal-pairs", minimal_pairs)):
        if asked and len(tuned) == len(shown):
            raise BertkitError(
                f"{flag} is for runs of pretraining, and not for {console.listed(tuned, 3)}: leave it out"
            )
    if fill and tuned:
        console.note(console.plain(f"--fill is for runs of pretraining, and not for {console.listed(tuned, 3)}"))
    pairs = {name: read_pairs(path) for name, path in paths_by_name(minimal_pairs or ()).items()}
    looks = {run.name: look(run, fill or (), pairs) for run in shown if run.is_pretraining}
    from bertkit.reporting.report import write_report

    for path in write_report(shown, looks, out, png, overwrite):
        console.out.print(str(path), markup=False)
