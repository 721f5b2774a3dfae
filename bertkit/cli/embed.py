"""``bertkit embed``: a model's hidden states as features."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertkit import console
from bertkit.cli.options import Device, Model, ReplaceFile, TextColumn, columns
from bertkit.cli.texts import Files, given_rows, peeked, single, watched
from bertkit.io.hub import EMBEDDED

if TYPE_CHECKING:
    from bertkit.inference.embedding import TextVectors


def embed(
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Texts; - reads lines.")] = None,
    files: Files = None,
    text: TextColumn = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="A .npy or .parquet file to write.")
    ] = None,
    layers: Annotated[
        str,
        typer.Option(
            "--layers",
            metavar="LAYERS",
            help="last, a number (-2 is the second last, 0 the embeddings), concat-last-4, sum-last-4, or all: "
            "the embeddings and every layer side by side.",
        ),
    ] = "last",
    pooling: Annotated[
        str,
        typer.Option(
            "--pooling",
            metavar="POOLING",
            help="mean of all tokens, or cls, the first token: one row per text. word, the mean of its pieces: one row per "
            "word. none: one row per token.",
        ),
    ] = "mean",
    overflow: Annotated[
        str,
        typer.Option(
            "--overflow",
            metavar="OVERFLOW",
            help="For texts longer than the model reads: truncate keeps the beginning, windows takes the mean over all.",
        ),
    ] = "truncate",
    model: Model = EMBEDDED,
    device: Device = "auto",
    overwrite: ReplaceFile = False,
) -> None:
    """Turn texts into features: JSON lines, or a .npy or .parquet file with --output, in the order of the texts.

    Blank lines are texts as well, so that row n belongs to line n.
    """
    from bertkit.inference.embedding import Embedder
    from bertkit.inference.feature_files import check_place, tokens_path, write_features

    by_token = pooling in ("word", "none")
    if output is not None:
        check_place(output, by_token, overwrite)
    some, few = peeked(map(single, given_rows(texts, files, columns(text))))
    embedder = Embedder(model, layers, pooling, device, few, overflow)
    console.note(f"[dim]{console.plain(model)}: {embedder.width:,} numbers a {'token' if by_token else 'text'}[/]")
    chunks = watched(embedder.chunks(some), "embedding", always=output is not None)
    if output is not None:
        write_features(output, chunks, embedder.width, by_token)
    else:
        _print(chunks, by_token)
    with_mean = " with --pooling mean" if pooling == "word" else ""  # words are not read in windows
    embedder.texts.say_cut(f": --overflow windows{with_mean} reads all")
    embedder.say_misread()
    if output is not None:
        console.out.print(str(output), markup=False)
        if by_token and output.suffix == ".npy":
            console.out.print(str(tokens_path(output)), markup=False)


def _print(chunks: Iterator[list["TextVectors"]], by_token: bool) -> None:
    index = 0
    for chunk in chunks:
        for one in chunk:
            if not by_token:
                console.print_json({"text": one.text, "embedding": one.rows[0].tolist()})
            for token, row in zip(one.tokens or (), one.rows, strict=False):
                console.print_json({"text_index": index, "token": token, "embedding": row.tolist()})
            index += 1
