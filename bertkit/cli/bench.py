"""``bertkit bench``: how fast this machine is with bertkit, beside what one would use instead."""

import json
from typing import Annotated

import typer

from bertkit import console
from bertkit.cli import options

app = typer.Typer(help="How fast bertkit is on this machine, beside plain transformers.", no_args_is_help=True)


@app.command()
@console.reader_may_leave()
def pretrain(
    corpus: Annotated[list[str] | None, typer.Argument(metavar="[CORPUS]...", help="As `bertkit pretrain`.")] = None,
    recipe: Annotated[str, typer.Option("--recipe", help="A name of `bertkit recipes`.")] = "tiny",
    steps: Annotated[int, typer.Option("--steps", min=2, help="Optimizer steps a run.")] = 20,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Runs of each, taking turns.")] = 3,
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", help="A folder, vocab.txt or hub name, instead of learning word pieces."),
    ] = None,
    vocab_size: options.VocabSize = None,
    batch_size: options.BatchSize = None,
    seq_len: options.SeqLen = None,
    mixed_precision: options.MixedPrecision = None,
    sets: options.Set = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Pretraining: our loop beside transformers' Trainer."""
    from bertkit.pretraining.run import PretrainRequest

    given = options.overrides(
        sets,
        vocab_size=vocab_size,
        batch_size=32 if batch_size is None else batch_size,
        seq_len=128 if seq_len is None else seq_len,
        mixed_precision=mixed_precision,
    )
    request = PretrainRequest(corpus=corpus or (), recipe=recipe, overrides=given, tokenizer=tokenizer, device=device)
    from bertkit.bench.pretrain import bench_pretrain

    result = bench_pretrain(request, steps, rounds)
    if as_json:
        print(json.dumps(result))
        return
    from rich.table import Table

    console.out.print(
        f"{result['work']} on {console.plain(result['device'])}, peak {result['peak_tflops']:.2f} TFLOP/s"
    )
    table = Table("", result["unit"], "bertkit is", "(least to most)", "share of the peak", box=None, pad_edge=False)
    for one in result["figures"]:
        ratio = f"{one['ratio']:.2f} ×", f"{one['ratio_low']:.2f} to {one['ratio_high']:.2f}"
        shown = ("", "") if one["name"] == "bertkit" else ratio
        table.add_row(one["name"], f"{one['speed']:,.0f}", *shown, f"{one['share_of_peak']:.1%}")
    console.out.print(table)
