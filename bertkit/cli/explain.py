"""``bertkit explain``: which words speak for a model's answer, and which against it."""

import dataclasses
from typing import Annotated

import typer
from rich.cells import cell_len, set_cell_size

import bertkit
from bertkit import console
from bertkit.cli.options import Device, Json
from bertkit.cli.texts import warn_of_files

_MOST_WORDS = 40
_WORD, _BAR = 24, 40  # columns


def explain(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A classifier of texts, or a model that fills masks.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What the model reads, with one [MASK] to fill it.")],
    text_b: Annotated[str | None, typer.Argument(metavar="TEXT_B", help="The second text of a pair.")] = None,
    answer: Annotated[
        str | None,
        typer.Option("--answer", metavar="ANSWER", help="Class, or word, to explain.", show_default="the model's own"),
    ] = None,
    baseline: Annotated[
        str,
        typer.Option(
            "--baseline", metavar="mask|pad", help="The words are compared with \\[MASK] or \\[PAD] in their places."
        ),
    ] = "mask",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Show which words speak for a model's answer, and which against it: integrated gradients, by captum."""
    warn_of_files([text, *([text_b] if text_b else [])])
    explanation = bertkit.explain(model, text, text_b, answer=answer, baseline=baseline, device=device)
    console.print_json(dataclasses.asdict(explanation)) if as_json else _print(explanation)


def _print(explanation: "bertkit.Explanation") -> None:
    form = "{:.1%}" if explanation.answer else "{:.4g}"
    name = f"[bold]{console.plain(explanation.answer)}[/] " if explanation.answer else ""
    console.out.print(f"[dim]{console.plain(explanation.model)}[/]  {name}{form.format(explanation.output)}")
    hidden = form.format(explanation.baseline_output)
    console.out.print(f"[dim]with {console.plain(explanation.baseline)} for every word {hidden}; each word adds:[/]")
    largest = max(abs(share) for _, share in explanation.words)
    shown = sorted(range(len(explanation.words)), key=lambda at: -abs(explanation.words[at][1]))[:_MOST_WORDS]
    for at in sorted(shown):
        word, share = explanation.words[at]
        print_share(word, share, largest, "{:+7.1%}" if explanation.answer else "{:+9.3g}")
    rest = sum(share for at, (_, share) in enumerate(explanation.words) if at not in {*shown})
    if len(shown) < len(explanation.words):
        figure = ("{:+.1%}" if explanation.answer else "{:+.3g}").format(rest)
        console.note(
            f"words left out, which add less: {len(explanation.words) - len(shown):,}, {figure} together; --json has all"
        )
    console.note(
        f"integrated gradients in {explanation.steps} steps: the words' sum is off by {abs(explanation.error):.1g}",
        markup=False,
    )


def print_share(word: str, share: float, largest: float, form: str) -> None:
    """Prints a line of at most 80 columns: the word, its contribution, and a bar in proportion to the largest one."""
    cells = word if cell_len(word) <= _WORD else f"{set_cell_size(word, _WORD - 1)}…"
    bar = ("█" if share > 0 else "░") * round(_BAR * abs(share) / largest if largest else 0)
    colour = "green" if share > 0 else "red"
    padded = " " * (_WORD - cell_len(cells)) + console.plain(cells)
    console.out.print(f"{padded} {form.format(share)} [{colour}]{bar}[/]", soft_wrap=False, no_wrap=True)
