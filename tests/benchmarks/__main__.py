"""``python -m benchmarks`` (in ``tests/``): how fast this machine is with bertkit, beside what one would use instead."""

import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.given import Corpus, GlueData, Recipe, Rounds, Steps, Tokenizer, pretraining
from benchmarks.shown import show
from bertkit import console, streams
from bertkit.cli import options
from bertkit.errors import BertkitError

app = typer.Typer(help="How fast bertkit is on this machine, beside plain transformers.", no_args_is_help=True)


@app.command()
@streams.reader_may_leave()
def pretrain(
    corpus: Corpus = None,
    recipe: Recipe = "tiny",
    steps: Steps = 20,
    rounds: Rounds = 3,
    tokenizer: Tokenizer = None,
    vocab_size: options.VocabSize = None,
    batch_size: options.BatchSize = None,
    seq_len: options.SeqLen = None,
    mixed_precision: options.MixedPrecision = None,
    sets: options.Set = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Pretraining: our loop beside transformers' Trainer."""
    given = {"vocab_size": vocab_size, "mixed_precision": mixed_precision}
    request = pretraining(corpus, recipe, tokenizer, batch_size, seq_len, sets, device, **given)
    from benchmarks.pretrain import bench_pretrain

    show(bench_pretrain(request, steps, rounds), as_json)


@app.command()
@streams.reader_may_leave()
def finetune(
    task: Annotated[str | None, typer.Option("--task", help="A task of `bertkit recipes`, such as sst2.")] = None,
    data: GlueData = None,
    train: Annotated[str | None, typer.Option("--train", help="Rows of your own.")] = None,
    model: options.Model = None,
    steps: Steps = 100,
    rounds: Rounds = 3,
    batch_size: options.BatchSize = None,
    seq_len: options.SeqLen = None,
    mixed_precision: options.MixedPrecision = None,
    sets: options.Set = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Fine-tuning: ours, without padding, beside transformers' Trainer, padded either way."""
    from bertkit.finetuning.request import DEFAULT_MODEL, FinetuneRequest, data_request, load_recipe
    from bertkit.finetuning.row_sources import check_inputs

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
    check_inputs(data_request(request, load_recipe(request)))
    from benchmarks.finetune import bench_finetune

    show(bench_finetune(request, steps, rounds), as_json)


@app.command()
def tasks(
    train: Annotated[str, typer.Option("--train", help="Rows to learn from.")],
    validation: Annotated[
        str | None, typer.Option("--validation", help="Rows to judge by; none: a share held out.")
    ] = None,
    validation_split: Annotated[
        float | None, typer.Option("--validation-split", help="Or the share of --train to hold out.")
    ] = None,
    model: options.Model = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each, taking turns.")] = 3,
    rows: Annotated[int | None, typer.Option("--rows", min=1, help="To train on, at most.")] = None,
    epochs: options.Epochs = None,
    batch_size: options.BatchSize = None,
    seq_len: options.SeqLen = None,
    mixed_precision: options.MixedPrecision = None,
    sets: options.Set = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Figures of several seeds: ours and those of transformers' Trainer on the same rows, as a row of a table in Markdown."""
    from bertkit.finetuning.request import DEFAULT_MODEL, FinetuneRequest

    given = {"epochs": epochs, "batch_size": batch_size, "seq_len": seq_len, "mixed_precision": mixed_precision}
    chosen = options.overrides(sets, **given, validation_split=validation_split)
    request = FinetuneRequest(None, None, train, validation, chosen, model or DEFAULT_MODEL, device=device)
    from benchmarks.tasks import as_line, bench_tasks

    found = bench_tasks(request, seeds, rows)
    print(json.dumps(found) if as_json else as_line(found))


@app.command()
@streams.reader_may_leave()
def predict(
    source: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="Lines of text, or a table; none: the embedded rows.")
    ] = None,
    task: Annotated[str | None, typer.Option("--task", help="Its validation rows, instead of a file's.")] = None,
    data: GlueData = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help="A classifier, or an encoder (it gets a random head); none: a new one, tiny."),
    ] = None,
    rounds: Rounds = 3,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Prediction: rows of like length together, beside transformers' text-classification pipeline."""
    if source is not None and task is not None:
        raise BertkitError("give a FILE of rows, or --task NAME (see bertkit recipes), not both")
    if source is not None and not Path(source).is_file():
        raise BertkitError(f"no file {source}: give lines of text or a table, or --task with --data")
    from benchmarks.predict import PredictBench, bench_predict

    show(bench_predict(PredictBench(source, task, data, model, device), rounds), as_json)


@app.command()
@streams.reader_may_leave()
def prepare(
    corpus: Corpus = None,
    megabytes: Annotated[float, typer.Option("--megabytes", min=0.01, help="Of the corpus's text, at most.")] = 10,
    rounds: Rounds = 3,
    tokenizer: Tokenizer = None,
    as_json: options.Json = False,
) -> None:
    """Preparation: sentences and ids on disk, beside tokenizing and grouping with datasets."""
    from benchmarks.prepare import bench_prepare

    show(bench_prepare(corpus or [], megabytes, rounds, tokenizer), as_json)


@app.command()
@streams.reader_may_leave()
def collator(
    corpus: Corpus = None,
    batches: Annotated[int, typer.Option("--batches", min=1, help="Different batches to collate.")] = 50,
    rounds: Rounds = 3,
    tokenizer: Tokenizer = None,
    batch_size: options.BatchSize = None,
    seq_len: options.SeqLen = None,
    sets: options.Set = None,
    as_json: options.Json = False,
) -> None:
    """The collator beside transformers' one, on one core."""
    request = pretraining(corpus, "tiny", tokenizer, batch_size, seq_len, sets, "cpu")
    from benchmarks.collator import bench_collator

    show(bench_collator(request, batches, rounds), as_json)


@app.command("mask-fill")
@streams.reader_may_leave()
def mask_fill(
    model: options.Model = None,
    recipe: Annotated[
        str, typer.Option("--recipe", help="Without --model: size of a new model with random weights, such as base.")
    ] = "tiny",
    tokenizer: Annotated[str | None, typer.Option("--tokenizer", help="Of the new model.")] = None,
    rounds: Rounds = 5,
    as_json: options.Json = False,
) -> None:
    """Filling a mask, from the command to its end, beside a process with the fill-mask pipeline."""
    from benchmarks.processes import bench_mask_fill

    show(bench_mask_fill(model, recipe, tokenizer, rounds), as_json)


@app.command()
def serve(
    model: Annotated[str, typer.Option("--model", help="A folder that transformers loads, too.")],
    rounds: Rounds = 3,
    concurrent: Annotated[int, typer.Option("--concurrent", min=1, help="Requests at once.")] = 10_000,
    served: Annotated[
        str | None, typer.Option("--served", help="What bertkit serves, such as its ONNX export.")
    ] = None,
) -> None:
    """Serving: `bertkit serve` beside FastAPI over the fill-mask pipeline, which must be installed (pip install fastapi)."""
    from benchmarks.serve import bench_serve

    console.print_json(bench_serve(model, rounds, concurrent, served), indent=2)


@app.command()
@streams.reader_may_leave()
def start(rounds: Rounds = 5, as_json: options.Json = False) -> None:
    """Starting: `bertkit --help` beside importing transformers and torch."""
    from benchmarks.processes import bench_start

    show(bench_start(rounds), as_json)


@app.command()
@streams.reader_may_leave()
def scaling(
    corpus: Corpus = None,
    recipe: Annotated[str, typer.Option("--recipe", help="The size that the other axes are measured with.")] = "tiny",
    steps: Steps = 8,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Runs of each setting.")] = 1,
    tokenizer: Tokenizer = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Picture to draw: .png, .svg or .pdf.")] = None,
    mixed_precision: options.MixedPrecision = None,
    sets: options.Set = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Pretraining's speed against model size, length, batch, data workers and processes."""
    request = pretraining(corpus, recipe, tokenizer, None, None, sets, device, mixed_precision=mixed_precision)
    from benchmarks import scaling as bench

    if plot is not None:
        bench.check_plot(plot)
    result = bench.bench_scaling(request, steps, rounds)
    show(result, as_json)
    if plot is not None:
        bench.plot(result, plot)
        console.note(f"drawn: {console.plain(str(plot))}")


@app.command()
def documents(
    number: Annotated[
        int, typer.Option("--documents", min=1, help="Of the store (of 10^8: 4 GB in the temporary folder).")
    ],
) -> None:
    """Opening a prepared corpus of very many documents: seconds and memory."""
    from benchmarks import documents as bench

    print(bench.shown(bench.bench_documents(number)))


@app.command()
def parts(
    corpus: Annotated[list[str], typer.Argument(metavar="FILE...", help="Each is a part.")],
    tokenizer: Annotated[str, typer.Option("--tokenizer", help="A folder, vocab.txt or hub name.")] = "embedded",
) -> None:
    """A corpus in parts, as `bertkit prepare --engine` makes it: seconds of a part on one core, and of the merge."""
    from benchmarks.parts import bench_parts

    console.print_json(bench_parts(corpus, tokenizer))


@app.command()
def experiment(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of docs/experiments.md; a wrong one lists them.")],
    corpus: Annotated[list[str], typer.Argument(metavar="CORPUS...", help="As `bertkit pretrain`.")],
    validation: Annotated[list[str], typer.Option("--validation", help="Held-out text.")],
    out: Annotated[Path, typer.Option("--out", help="Models and results; the same command goes on.")],
    recipe: Recipe = "tiny",
    model: Annotated[str | None, typer.Option("--model", help="Weights to begin with; else random ones.")] = None,
    tokenizer: Annotated[
        str, typer.Option("--tokenizer", help="Of random weights: a folder, vocab.txt or hub name.")
    ] = "embedded",
    data: GlueData = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each arm.")] = 3,
    sets: options.Set = None,
) -> None:
    """Pretraining done in several ways, and what came of them: docs/experiments.md has the tables."""
    from benchmarks.experiments import Setup, run

    settings = {one.key: one.value for one in options.overrides(sets)}
    print(run(name, Setup(corpus, validation, recipe, settings, tokenizer, data, seeds, out, model)), end="")


@app.command()
def curve(
    models: Annotated[list[str], typer.Argument(metavar="TOKENS=MODEL...", help="Millions of tokens, and a folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the figures; what is there is not measured again.")],
    pairs: Annotated[
        list[Path] | None, typer.Option("--minimal-pairs", help="As `bertkit evaluate`; repeat it.")
    ] = None,
    data: GlueData = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each task of GLUE a model.")] = 5,
    plot: Annotated[Path | None, typer.Option("--plot", help="Picture to draw: .png, .svg or .pdf.")] = None,
) -> None:
    """What pretraining buys: models that saw more and more tokens, and what each can do."""
    from benchmarks import curve as bench

    points = bench.bench_curve(models, pairs or (), data, seeds, out)
    print(json.dumps(points))
    if plot is not None:
        bench.plot(points, plot)


@app.command()
@streams.reader_may_leave()
def table(
    corpus: Corpus = None,
    tokenizer: Annotated[
        str | None, typer.Option("--tokenizer", help="Folder, vocab.txt or hub name; none: one of 30,522 pieces.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="A small BERT; none: a new one of 2/128.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder with GLUE's SST-2; none: the embedded word-order rows.")
    ] = None,
    tags: Annotated[Path | None, typer.Option("--tags", help="Rows of tagged words; none: not measured.")] = None,
    answers: Annotated[
        Path | None, typer.Option("--answers", help="Questions and answers; none: not measured.")
    ] = None,
    choices: Annotated[Path | None, typer.Option("--choices", help="Multiple choice; none: not measured.")] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", min=2, help="Of training runs; none: each bench's own.")
    ] = None,
    rounds: Rounds = 3,
    out: Annotated[Path | None, typer.Option("--out", help="Markdown file to write.", dir_okay=False)] = None,
) -> None:
    """Every bench, one after another, as a table in Markdown with what is to be reached (half an hour)."""
    from benchmarks.table import TableRequest, bench_table
    from bertkit.io.atomic import write_text

    text, problems = bench_table(
        TableRequest(corpus or (), tokenizer, model, data, steps, rounds, tags, answers, choices)
    )
    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        console.out.print(str(out), markup=False)
    if problems:
        many = "1 bench" if len(problems) == 1 else f"{len(problems)} benches"
        raise BertkitError(f"{many} could not be run: {'; '.join(problems)}")


def main() -> None:
    """Runs a benchmark; what a person can mend ends with one line and exit code 1."""
    try:
        app()
    except BertkitError as error:
        console.err.print(f"[bold red]error:[/] {console.plain(str(error))}")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
