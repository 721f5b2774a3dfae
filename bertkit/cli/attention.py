"""``bertkit attention``: the attention of a model's heads in a text."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from bertkit import console
from bertkit.cli.options import Json, ReplaceFile
from bertkit.cli.texts import warn_of_files

if TYPE_CHECKING:
    from bertkit.inference.attention import Attention, Link

LINKS = 15


def attention(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's folder, or its name on the hub.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What the model reads.")],
    text_b: Annotated[str | None, typer.Argument(metavar="TEXT_B", help="The second text of a pair.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Page to write, on which to explore all heads.", dir_okay=False)
    ] = None,
    layer: Annotated[int | None, typer.Option("--layer", help="Only this layer, from 1.")] = None,
    head: Annotated[int | None, typer.Option("--head", help="Only this head of each layer, from 1.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also show links with [CLS] and [SEP], and of a token to itself.")
    ] = False,
    as_json: Json = False,
    overwrite: ReplaceFile = False,
) -> None:
    """Show the attention of a model's heads in a text: the strongest links, and a page with all of them."""
    from bertkit.inference.attention import read_attention, strongest_links
    from bertkit.reporting.attention import write_attention
    from bertkit.reporting.pages import check_target

    warn_of_files([text, *([text_b] if text_b else [])])
    if out is not None:
        check_target(out, overwrite)
    reading = read_attention(model, text, text_b, layer, head)
    links = strongest_links(reading, LINKS, every)
    if out is not None:
        write_attention(reading, out)
    if as_json:
        console.print_json(_as_json(reading, links))
        return
    _print(reading, links, every)
    if out is None:
        console.note("--out FILE.html writes a page on which to explore all heads", markup=False)
    else:
        console.out.print(f"\n{console.plain(str(out))}")


def _as_json(reading: "Attention", links: list["Link"]) -> dict[str, object]:
    """The strongest links as JSON; for a single head also all its weights, ``[from][to]``."""
    content: dict[str, object] = {"model": reading.model, "tokens": reading.tokens}
    content["links"] = [dataclasses.asdict(link) for link in links]
    if len(reading.layers) == len(reading.heads) == 1:
        content["weights"] = reading.weights[0, 0].tolist()
    return content


def _print(reading: "Attention", links: list["Link"], every: bool) -> None:
    console.out.print(f"[dim]{console.plain(reading.model)}[/]\n{console.plain(' '.join(reading.tokens))}\n")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title, side in (("layer", "right"), ("head", "right"), ("from", "right"), ("", "left"), ("to", "left")):
        table.add_column(title, justify=side)  # type: ignore[arg-type]
    table.add_column("weight", justify="right")
    for link in links:
        begin, end = (f"{console.plain(token)} [dim]{index}[/]" for token, index in _ends(link))
        table.add_row(str(link.layer), str(link.head), begin, "→", end, f"{link.weight:.1%}")
    console.out.print(table)
    if not every:
        console.note("left out: links with [CLS] and [SEP], and of a token to itself (--all shows them)", markup=False)


def _ends(link: "Link") -> list[tuple[str, int]]:
    return [(link.from_token, link.from_index), (link.to_token, link.to_index)]
