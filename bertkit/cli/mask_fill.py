"""``bertkit mask-fill``: what a model makes of a ``[MASK]``."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from bertkit import console
from bertkit.cli.options import Device, Json, Model
from bertkit.errors import BertkitError

if TYPE_CHECKING:
    from bertkit.inference.mask_fill import Candidate

BAR_WIDTH = 12
LINES_AT_ONCE = 1024


def mask_fill(
    texts: Annotated[
        list[str], typer.Argument(metavar="TEXT...", help="Sentences with [MASK] in them; - reads lines.")
    ],
    model: Model = None,
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="Guesses a mask.")] = 5,
    targets: Annotated[str | None, typer.Option("--targets", metavar="A,B,C", help="Compare only these words.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Guess the words at the [MASK]s of a text."""
    from bertkit.inference.mask_fill import MaskFiller

    if model is None:
        raise BertkitError(
            "no model: give --model with a folder that `bertkit pretrain` wrote, "
            "or a name on the hub such as google-bert/bert-base-uncased"
        )
    words = None if targets is None else [word.strip() for word in targets.split(",") if word.strip()]
    lines = _lines(texts)
    # The first texts are checked before seconds go into importing torch.
    window = list(islice(lines, LINES_AT_ONCE))
    if not window:
        raise BertkitError("no text: give a sentence with [MASK] in it, or lines of them on stdin")
    filler = MaskFiller(model, device, texts=len(window))
    if not as_json:
        console.out.print(f"[dim]{console.plain(filler.name)}[/]")
    while window:
        for text, masks in zip(window, filler.fill(window, top_k, words), strict=True):
            _print_json(text, masks) if as_json else _print_table(text, masks)
        window = list(islice(lines, LINES_AT_ONCE))


def _lines(texts: list[str]) -> Iterator[str]:
    """The texts in order, with the non-blank lines of stdin in the place of ``-``."""
    from bertkit.inference.mask_fill import check_text

    for text in texts:
        for line in sys.stdin if text == "-" else [text]:
            stripped = line.rstrip("\r\n")
            if text == "-" and not stripped.strip():
                continue
            check_text(stripped)
            yield stripped


def _print_json(text: str, masks: list[list["Candidate"]]) -> None:
    predictions = [[dataclasses.asdict(candidate) for candidate in candidates] for candidates in masks]
    print(json.dumps({"text": text, "predictions": predictions}))


def _print_table(text: str, masks: list[list["Candidate"]]) -> None:
    mask = console.plain("[MASK]")
    console.out.print("\n" + console.plain(text).replace(mask, f"[bold magenta]{mask}[/]"))
    for number, candidates in enumerate(masks, start=1):
        title = None if len(masks) == 1 else f"mask {number} of {len(masks)}"
        table = Table(box=None, show_header=False, pad_edge=False, title=title, title_justify="left")
        for candidate in candidates:
            table.add_row(
                f"[cyan]{_bar(candidate.score)}[/]",
                f"{candidate.score:6.1%}",
                f"[bold green]{console.plain(candidate.token_str)}[/]",
                f"[dim]{console.plain(candidate.sequence)}[/]",
            )
        console.out.print(table)


def _bar(share: float) -> str:
    """A bar of eighths of a block, as wide as the share of ``BAR_WIDTH`` columns."""
    whole, eighths = divmod(round(share * BAR_WIDTH * 8), 8)
    return ("█" * whole + (chr(0x2590 - eighths) if eighths else "")).ljust(BAR_WIDTH)
