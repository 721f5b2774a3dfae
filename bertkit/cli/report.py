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
    """Show runs on one page: curves, settings and their differences, sample fills, errors."""
    from bertkit.inference.mask_filling.filler import check_text
    from bertkit.inference.minimal_pairs import read_pairs
    from bertkit.reporting.checkpoints import look
    from bertkit.reporting.pages import check_target
    from bertkit.reporting.runs import read_runs

    for text in fill or ():
        check_text(text)
    check_target(out, overwrite)
    shown = read_runs(runs)
    for flag, asked in (("--fill", fill), ("--minimal-pairs", minimal_pairs)):
        _say_not_asked(shown, flag, asked or ())
    pairs = {name: read_pairs(path) for name, path in _named(minimal_pairs or ()).items()}
    looks = {run.name: look(run, fill or (), pairs) for run in shown if run.is_pretraining}
    from bertkit.reporting.report import write_report

    for path in write_report(shown, looks, out, png, overwrite):
        console.out.print(str(path), markup=False)


def _named(paths: Sequence[Path]) -> dict[str, Path]:
    """The paths by their names, or by the whole paths where two have the same name."""
    names = [path.resolve().name for path in paths]
    return {name if names.count(name) == 1 else str(path): path for name, path in zip(names, paths, strict=True)}


def _say_not_asked(runs: Sequence["Run"], flag: str, asked: Sequence[str | Path]) -> None:
    """Says which runs are not asked what somebody gave with a flag; an error where no run is."""
    others = [run.name for run in runs if asked and not run.is_pretraining]
    if not others:
        return
    told = f"{flag} is for runs of pretraining, and not for {console.listed(others, 3)}"
    if len(others) == len(runs):
        raise BertkitError(f"{told}: leave it out")
    console.note(console.plain(told))
