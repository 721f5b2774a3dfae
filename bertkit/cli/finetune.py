"""``bertkit finetune``: from a BERT to a classifier."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertkit import console
from bertkit.cli import options
from bertkit.cli.figures import say_doubts, say_least_class, told
from bertkit.launcher import is_main_process

if TYPE_CHECKING:
    from bertkit.training.record import RunRecord


def finetune(
    task: Annotated[str | None, typer.Option("--task", help="A task of `bertkit recipes`, such as sst2.")] = None,
    data: options.GlueFolder = None,
    train: Annotated[
        str | None, typer.Option("--train", help="Your rows: csv, tsv, jsonl, parquet, or org/name.")
    ] = None,
    validation: Annotated[str | None, typer.Option("--validation", help="Your held-out rows.")] = None,
    validation_split: Annotated[
        float | None, typer.Option("--validation-split", help="Or the share of --train to hold out.")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option("--head", help="sequence, token, span or choice.", show_default="recognised from the rows"),
    ] = None,
    text: Annotated[str | None, typer.Option("--text", help="Column of the text.", show_default="recognised")] = None,
    text_pair: options.PairColumn = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Column of the label; several for multi-label data.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="A model's folder, its name on the Hugging Face hub, or embedded.",
            show_default="google-bert/bert-base-uncased; embedded where no rows are named",
        ),
    ] = None,
    out: Annotated[Path | None, options.out("runs/finetune-TASK, or the name of --train")] = None,
    epochs: options.Epochs = None,
    max_steps: options.MaxSteps = None,
    batch_size: options.BatchSize = None,
    micro_batch: options.MicroBatch = None,
    seq_len: options.RowLength = None,
    lr: options.Lr = None,
    seed: options.Seed = None,
    mixed_precision: options.MixedPrecision = None,
    track: options.Track = None,
    sets: options.Set = None,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=1, help="Train with N seeds and report their spread.")
    ] = 1,
    grid: Annotated[
        str | None,
        typer.Option("--grid", help="Try settings: 'paper', or such as 'lr=5e-5,3e-5 epochs=2,3'."),
    ] = None,
    device: options.Device = "auto",
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Leave out rows without a text or label, and count them.")
    ] = False,
    resume: options.ResumeOpt = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Fine-tune a BERT on labelled text.

    The defaults are three passes over the rows, 32 rows per step, and at most 128 tokens per row; recipes of tasks may
    differ. The learning rate is 3e-5, and higher for narrow models.
    """
    from bertkit.finetuning.request import FinetuneRequest
    from bertkit.finetuning.sweep import finetune_all, parse_grid

    given = options.overrides(
        sets,
        epochs=epochs,
        max_steps=max_steps,
        batch_size=batch_size,
        micro_batch=micro_batch,
        seq_len=seq_len,
        lr=lr,
        seed=seed,
        mixed_precision=mixed_precision,
        track=track,
        validation_split=validation_split,
        text=options.columns(text, text_pair) or None,
        label=label,
        head=head,
    )
    request = FinetuneRequest(
        task, data, train, validation, given, model or "", out, device, resume, overwrite, skip_bad_rows
    )
    _say_result(finetune_all(request, seeds, parse_grid(grid) if grid else None))


def _say_result(run: "RunRecord") -> None:
    results, out = run.results, console.plain(run.out)
    for metric in run.metrics:
        if f"eval_{metric}" in results:
            console.note(told(metric, results))
    say_least_class(results)
    say_doubts(results, run.out)
    if "sweep" in results:
        _say_sweep(results["sweep"])
    console.note(f"\nYour model is in [bold]{out}[/] ({console.duration(run.seconds)}). Next:")
    console.command(f"bertkit predict {shlex.quote(str(run.out))} FILE")


def _say_sweep(spread: dict[str, Any]) -> None:
    """Prints the runs of a sweep in a table, the best one first, and their spread."""
    from rich.table import Table

    headline, figures = spread["metric"], [run[spread["metric"]] for run in spread["runs"]]
    ranked = sorted(spread["runs"], key=lambda run: abs(run[headline] - spread["best"]))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ranked[0]:
        table.add_column(name.removeprefix("eval_").replace("_", " "), justify="right")
    for number, run in enumerate(ranked):
        cells = [f"{value:.4f}" if name == headline else str(value) for name, value in run.items()]
        table.add_row(*cells, style="bold" if number == 0 else None)
    won = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in ranked[0].items() if name != headline)
    if is_main_process():
        console.err.print("", table)
    console.note(
        f"{len(figures)} runs: mean {spread['mean']:.4f} ± {spread['standard_deviation']:.4f}, best "
        f"{spread['best']:.4f} ({console.plain(won)}), {spread['collapsed']} collapsed"
    )
