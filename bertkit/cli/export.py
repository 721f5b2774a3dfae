"""``bertkit export``: exports a trained model to ONNX, half precision or sentence-transformers."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

import bertkit
from bertkit import console
from bertkit.cli import options


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model's folder, its name on the Hugging Face hub, or embedded.")
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="onnx|half|sentence-transformers",
            help="onnx: one graph that onnxruntime runs without torch. half: a Hugging Face folder of half the size. "
            "sentence-transformers: the folder that SentenceTransformer(...) loads.",
        ),
    ] = "onnx",
    int8: Annotated[
        bool, typer.Option("--int8", help="ONNX with weights of 8 bits: a quarter to a half of the size.")
    ] = False,
    pooling: Annotated[
        str,
        typer.Option(
            "--pooling",
            metavar="mean|cls",
            help="What a text's vector is for sentence-transformers: the mean of all tokens, or the first, as in embed.",
        ),
    ] = "mean",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to.", show_default="MODEL-FORMAT, as MODEL-onnx")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Export a model to ONNX, half precision or sentence-transformers, and compare it with the original."""
    exported = bertkit.export(model, format=form, out=out, int8=int8, pooling=pooling)
    _print_json(exported) if as_json else _print(exported, int8)


def _print_json(exported: "bertkit.Exported") -> None:
    facts = dataclasses.asdict(exported) | {"folder": str(exported.folder), "weights": str(exported.weights)}
    print(json.dumps(facts | {"bytes": exported.weights.stat().st_size}))


def _print(exported: "bertkit.Exported", int8: bool) -> None:
    shortest, longest = exported.tokens
    megabytes = exported.weights.stat().st_size / 1e6
    console.out.print(f"{console.plain(str(exported.weights))}  {megabytes:,.1f} MB")
    console.out.print(f"checked against torch on {exported.texts} texts of {shortest} to {longest} tokens:")
    table = Table(box=None, pad_edge=False)
    # What an export is refused by: with 8-bit weights the size of all differences, else the largest one.
    for title in ("", "largest difference", "of the outputs' size" if int8 else "largest number", "same first choice"):
        table.add_column(title, justify="left" if not title else "right", no_wrap=True)
    for one in exported.differences:
        same = "" if one.same_choice is None else f"{one.same_choice:.1%}"
        table.add_row(one.what, f"{one.largest:.1e}", f"{one.share:.1%}" if int8 else f"{one.scale:.3g}", same)
    console.out.print(table)
