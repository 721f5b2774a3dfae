"""``bertkit bench``: how fast this machine is with bertkit, beside what one would use instead."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bertkit import console
from bertkit.cli import options
from bertkit.errors import BertkitError

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

    _show(bench_pretrain(request, steps, rounds), as_json)


@app.command()
@console.reader_may_leave()
def finetune(
    task: Annotated[str | None, typer.Option("--task", help="A task of `bertkit recipes`, such as sst2.")] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Folder with GLUE's own TSVs.")] = None,
    train: Annotated[str | None, typer.Option("--train", help="Rows of your own.")] = None,
    model: options.Model = None,
    steps: Annotated[int, typer.Option("--steps", min=2, help="Optimizer steps a run.")] = 100,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Runs of each, taking turns.")] = 3,
    batch_size: options.BatchSize = None,
    seq_len: options.SeqLen = None,
    mixed_precision: options.MixedPrecision = None,
    sets: options.Set = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Fine-tuning: our batches of like length beside transformers' Trainer, padded either way."""
    from bertkit.tasks.run import DEFAULT_MODEL, FinetuneRequest

    if (task is None) == (train is None):
        raise BertkitError("give --task NAME (see bertkit recipes), or --train FILE with rows of your own")
    given = options.overrides(
        sets,
        batch_size=batch_size,
        seq_len=seq_len,
        mixed_precision=mixed_precision,
        validation_split=0.1 if train else None,
    )
    request = FinetuneRequest(task, data, train, None, given, model or DEFAULT_MODEL, device=device)
    from bertkit.bench.finetune import bench_finetune

    _show(bench_finetune(request, steps, rounds), as_json)


def _show(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(result))
        return
    from rich.table import Table

    peak = f", peak {result['peak_tflops']:.2f} TFLOP/s" if "peak_tflops" in result else ""
    console.out.print(f"{console.plain(result['work'])} on {console.plain(result['device'])}{peak}")
    table = Table("", result["unit"], "bertkit is", "(least to most)", box=None, pad_edge=False)
    if peak:
        table.add_column("share of the peak")
    for one in result["figures"]:
        ratio = f"{one['ratio']:.2f} ×", f"{one['ratio_low']:.2f} to {one['ratio_high']:.2f}"
        shown = ("", "") if one["name"] == "bertkit" else ratio
        table.add_row(one["name"], f"{one['speed']:,.0f}", *shown, *([f"{one['share_of_peak']:.1%}"] if peak else []))
    console.out.print(table)
