"""``bertkit mask-fill``: a model's guesses at a ``[MASK]``."""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len

from bertkit import console
from bertkit.cli.options import Device, Json, Model
from bertkit.cli.texts import given_rows, not_blank
from bertkit.errors import BertkitError
from bertkit.io.hub import EMBEDDED

if TYPE_CHECKING:
    from bertkit.inference.mask_filling.filler import Candidate, Completion, MaskFiller

BAR_WIDTH = 12
LINES_AT_ONCE = 1024
WAY_OF_COMPARING = (
    "targets of several pieces: compared by the mean log-probability of a piece of the whole text; "
    "% is a target's share"
)


def mask_fill(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT", help="Sentences with [MASK] in them; - reads lines.")],
    model: Model = EMBEDDED,
    top_k: Annotated[
        int | None,
        typer.Option("--top-k", metavar="N", min=1, help="Guesses per mask.", show_default="5, or all targets"),
    ] = None,
    targets: Annotated[
        str | None, typer.Option("--targets", metavar="A,B,C", help="Compare only these words or phrases.")
    ] = None,
    max_pieces: Annotated[
        int, typer.Option("--max-pieces", metavar="N", min=1, max=8, help="Guess words of up to so many word pieces.")
    ] = 1,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Guess the words at the [MASK]s of a text.

    Several masks are guessed each on its own, and all together. The probability is then that of all words together: the
    mean over the orders in which one mask is filled after the other (all orders of up to four masks, four orders of
    five to 16). More than 16 masks are filled each on its own only. With --max-pieces a word of several word pieces takes
    several masks, and its probability is computed likewise. If a word of --targets has several pieces, the
    targets are compared by the score per piece of the whole text, as in `bertkit score`, and the percentages are shares
    among them.
    """
    from bertkit.inference.mask_filling.filler import MaskFiller
    from bertkit.inference.mask_filling.joint import MOST_MASKS

    words = None if targets is None else [word.strip() for word in targets.split(",") if word.strip()]
    if words and max_pieces > 1:
        raise BertkitError("--targets have the pieces that they have: leave --max-pieces out")
    lines = _lines(texts)
    # The first texts are checked before torch is imported, which takes seconds.
    chunk = list(islice(lines, LINES_AT_ONCE))
    if not chunk:
        raise BertkitError("no text: give a sentence with [MASK] in it, or lines of them on stdin")
    filler = MaskFiller(model, device, texts=len(chunk))
    if not as_json:
        console.out.print(f"[dim]{console.plain(filler.name)}[/]")
    if words:
        filler.say_merged(words)
        if filler.compares_texts(words):
            console.note(WAY_OF_COMPARING)
    # On a terminal the results themselves show the progress.
    shown = len(chunk) == LINES_AT_ONCE and not console.out.is_terminal
    with console.progress("filling", None, "text") if shown else nullcontext() as line:
        done = alone = 0
        while chunk:
            for text, masks in zip(chunk, _filled(filler, chunk, top_k, words, max_pieces), strict=True):
                # Targets are compared at a single mask only.
                together = [] if words else filler.fill_jointly([text], top_k, max_pieces)[0]
                alone += bool(words) and len(masks) > 1
                if len(masks) > MOST_MASKS and not words:
                    console.note(f"{len(masks)} masks: more than the {MOST_MASKS} that are filled together")
                _print_json(text, masks, together) if as_json else _print_table(text, masks, together)
                done += 1
                if line is not None:
                    line.update(done)
            chunk = list(islice(lines, LINES_AT_ONCE))
    _say_alone(alone)
    filler.say_misread()


def _say_alone(texts: int) -> None:
    if texts:
        they_are = console.counted(texts, "text with several masks is", "texts with several masks are")
        console.note(f"{they_are} not filled all together: --targets are compared at each mask alone")


def _filled(
    filler: "MaskFiller", texts: list[str], top_k: int | None, words: list[str] | None, max_pieces: int
) -> Iterator[list[list["Candidate"]]]:
    """The guesses for each text: all texts are read at once, or one after the other if each needs many readings."""
    many_readings = max_pieces > 1 or (words is not None and filler.compares_texts(words))
    at_once = 1 if many_readings else len(texts)
    for begin in range(0, len(texts), at_once):
        yield from filler.fill(texts[begin : begin + at_once], top_k, words, max_pieces)


def _lines(texts: list[str]) -> Iterator[str]:
    """The texts that are not blank, in order, with the lines of stdin in the place of ``-``."""
    from bertkit.inference.mask_filling.filler import check_text

    for (text,) in not_blank(given_rows(texts, (), ())):
        check_text(text)
        yield text


def _print_json(text: str, masks: list[list["Candidate"]], together: list["Completion"]) -> None:
    predictions = [[dataclasses.asdict(candidate) for candidate in candidates] for candidates in masks]
    joint = {"joint": [dataclasses.asdict(completion) for completion in together]} if together else {}
    console.print_json({"text": text, "predictions": predictions} | joint)


def _print_table(text: str, masks: list[list["Candidate"]], together: Sequence["Completion"] = ()) -> None:
    mask = console.plain("[MASK]")
    console.out.print("\n" + console.plain(text).replace(mask, f"[bold magenta]{mask}[/]"))
    for number, candidates in enumerate(masks, start=1):
        if len(masks) > 1:
            console.out.print(f"[italic]mask {number} of {len(masks)}[/]")
        _print_rows([(one.score, one.token_str, one.sequence) for one in candidates])
    if together:
        console.out.print("[italic]all together[/]")
        _print_rows([(one.score, " · ".join(one.token_strs), one.sequence) for one in together])


def _print_rows(rows: Sequence[tuple[float, str, str]]) -> None:
    """Prints a line per guess, however long: its score, its words, and the text with them."""
    width = max((cell_len(words) for _, words, _ in rows), default=0)
    for score, words, sequence in rows:
        # The sequences keep these tokens where other masks stay, as in the pipeline.
        shown = sequence.removeprefix("[CLS] ").removesuffix(" [SEP]")
        padding = " " * (width - cell_len(words))
        console.out.print(
            f"[cyan]{_bar(score)}[/]  {_percent(score)}  [bold green]{console.plain(words)}[/]{padding}  "
            f"[dim]{console.plain(shown)}[/]"
        )


def _percent(share: float) -> str:
    """A share in per cent: ``54.0%``, or with one digit if it is small: ``0.003%``, ``2e-05%``."""
    return (f"{share:.1%}" if share >= 0.0005 else f"{100 * share:.1g}%").rjust(6)


def _bar(share: float) -> str:
    """A bar in eighths of a block; a share of 1 is ``BAR_WIDTH`` columns wide."""
    whole, eighths = divmod(round(share * BAR_WIDTH * 8), 8)
    return ("█" * whole + (chr(0x2590 - eighths) if eighths else "")).ljust(BAR_WIDTH)
