"""``bertkit pretrain``: from text to a BERT."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertkit import console
from bertkit.cli import options

if TYPE_CHECKING:
    from bertkit.training.record import RunRecord


def pretrain(
    corpus: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CORPUS",
            help="Files, folders, globs, URLs (s3://), - for stdin, a prepared folder, or a hub dataset org/name[:config]; "
            "by default the embedded stories.",
        ),
    ] = None,
    out: Annotated[Path | None, options.out("runs/pretrain-CORPUS")] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="A name of `bertkit recipes`, or a TOML file of your own.",
            show_default="tiny; on a GPU base; with --model adapt",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Continue from this BERT: a folder, or a name on the hub.")
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            help="A folder, vocab.txt or hub name.",
            show_default="word pieces learned from the corpus, or those of --model",
        ),
    ] = None,
    add_words: Annotated[
        int | None,
        typer.Option(
            "--add-words",
            metavar="N",
            help="Add N words to the vocabulary: frequent ones, unknown to the model or cut into three or more word pieces.",
        ),
    ] = None,
    keep: Annotated[
        tuple[str, float] | None,
        typer.Option(
            "--keep",
            metavar="SOURCE SHARE",
            help="Mix in general text, so that less is forgotten: a source as CORPUS, and its share of the examples.",
        ),
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option("--validation", help="Held-out text.", show_default="a share of the corpus"),
    ] = None,
    vocab_size: options.VocabSize = None,
    column: options.Column = None,
    max_steps: options.MaxSteps = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    micro_batch: options.MicroBatch = None,
    seq_len: options.SeqLen = None,
    lr: options.Lr = None,
    seed: options.Seed = None,
    mixed_precision: options.MixedPrecision = None,
    track: options.Track = None,
    sets: options.Set = None,
    device: options.Device = "auto",
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            metavar="TIME",
            parser=options.seconds,
            help="End within this time (90m, 2h, 1h30m), instead of --max-steps; steps and schedule are fitted to it.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be trained, how fast and how long, and stop.")
    ] = False,
    resume: options.ResumeOpt = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Pretrain a BERT on your text."""
    from bertkit.pretraining.request import PretrainRequest
    from bertkit.pretraining.run import pretrain as run

    request = PretrainRequest(
        corpus=corpus or (),
        out=out,
        recipe=recipe,
        overrides=options.overrides(
            sets,
            vocab_size=vocab_size,
            column=column,
            max_steps=max_steps,
            epochs=epochs,
            batch_size=batch_size,
            micro_batch=micro_batch,
            seq_len=seq_len,
            lr=lr,
            seed=seed,
            mixed_precision=mixed_precision,
            track=track,
        ),
        model=model,
        tokenizer=tokenizer,
        add_words=add_words,
        keep=keep,
        validation=validation or (),
        device=device,
        budget_s=budget,
        dry_run=dry_run,
        resume=resume,
        overwrite=overwrite,
    )
    result = run(request)
    if not dry_run:
        _say_result(result)


def _say_result(run: "RunRecord") -> None:
    from bertkit.pretraining.card import text_to_fill

    results, out = run.results, console.plain(run.out)
    if results.get("eval_mlm_loss") is not None:  # None: not finite, in a run of before such a run was refused
        pairs = "SOP" if run.learned_objective == "sop" else "NSP"
        console.note(
            f"held-out: MLM accuracy [bold]{results['eval_mlm_accuracy']:.1%}[/] "
            f"(always guessing the most frequent word piece: {run.most_frequent_token_share:.1%}), "
            f"MLM loss [bold]{results['eval_mlm_loss']:.2f}[/] (word frequencies alone: {run.unigram_entropy:.2f})"
            + (f", {pairs} accuracy {results['eval_nsp_accuracy']:.1%}" if "eval_nsp_accuracy" in results else "")
        )
    if "before" in results:
        _print_before_and_after(run)
    console.note(f"\nYour BERT is in [bold]{out}[/] ({console.duration(run.seconds)}). Next:")
    model = shlex.quote(str(run.out))
    console.command(f'bertkit mask-fill --model {model} "{text_to_fill(run)}"')
    console.command(f"bertkit finetune --model {model} --train ROWS.csv --validation-split 0.1")


def _print_before_and_after(run: "RunRecord") -> None:
    from rich.table import Table

    from bertkit.pretraining.before_after import comparison

    table = Table(
        title=f"before ({console.plain(run.base_model or '')}) and after",
        title_justify="left",
        box=None,
        padding=(0, 2),
    )
    table.add_column("")
    for name in ("before", "after", "change"):
        table.add_column(name, justify="right")
    for what, figures in comparison(run.results).items():
        table.add_row(what, *figures)
    console.err.print(table)
