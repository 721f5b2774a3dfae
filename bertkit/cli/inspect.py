"""``bertkit inspect``: what a model will see of a corpus, or of labelled rows."""

from typing import Annotated, Any

import typer

from bertkit import console
from bertkit.cli import options
from bertkit.errors import BertkitError
from bertkit.settings.recipes import Override

_SAMPLE, _EXAMPLES = 2_000, 3
_ROWS = "Labelled rows"


def inspect(
    corpus: Annotated[
        list[str] | None, typer.Argument(metavar="CORPUS", help="As for `bertkit pretrain`.", show_default=False)
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            help="The recipe that training would use.",
            show_default="tiny; on a GPU base; with --model adapt",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="The BERT that training would continue from.")] = None,
    tokenizer: Annotated[str | None, typer.Option("--tokenizer", help="The tokenizer that training would use.")] = None,
    vocab_size: options.VocabSize = None,
    column: options.Column = None,
    seq_len: options.SeqLen = None,
    batch_size: options.BatchSize = None,
    max_steps: options.MaxSteps = None,
    seed: options.Seed = None,
    sets: options.Set = None,
    examples: Annotated[
        int | None,
        typer.Option(
            "--examples", metavar="N", min=0, help="Examples to show with their masks.", show_default=str(_EXAMPLES)
        ),
    ] = None,
    dump: Annotated[
        int | None, typer.Option("--dump", metavar="N", min=1, help="Print N examples as JSON lines, and nothing else.")
    ] = None,
    train: Annotated[
        str | None,
        typer.Option(
            "--train",
            help="Check labelled rows instead: csv, tsv, jsonl, parquet, or org/name.",
            rich_help_panel=_ROWS,
        ),
    ] = None,
    validation: Annotated[
        str | None, typer.Option("--validation", help="The held-out rows beside them.", rich_help_panel=_ROWS)
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--text", help="Column of the text.", show_default="recognised", rich_help_panel=_ROWS),
    ] = None,
    text_pair: Annotated[
        str | None, typer.Option("--text-pair", help="Column of the second text of a pair.", rich_help_panel=_ROWS)
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", help="Column of the label; several for multi-label data.", rich_help_panel=_ROWS),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show what a model will see: figures, warnings and masked examples of a corpus; or classes, duplicates, lengths and
    problems of labelled rows."""
    asked = {"--examples": examples is not None}  # 0 is a wish as well
    examples = _EXAMPLES if examples is None else examples
    if train is not None:
        if corpus:
            raise BertkitError("give CORPUS... for pretraining or --train FILE for fine-tuning, not both")
        named = {"--recipe": recipe, "--tokenizer": tokenizer, "--vocab-size": vocab_size, "--column": column}
        run = {"--batch-size": batch_size, "--max-steps": max_steps, "--seed": seed, "--dump": dump}
        options.refuse("--train", "CORPUS...", named | run | asked)
        texts = options.columns(text, text_pair) or None
        given = options.overrides(sets, seq_len=seq_len, text=texts, label=label)
        _inspect_table(train, validation, model, given, as_json)
        return
    rows = {"--validation": validation, "--text": text, "--text-pair": text_pair, "--label": label}
    options.refuse("CORPUS...", "--train FILE (of a corpus it is --column that names the text)", rows)
    if dump or as_json:
        options.refuse("--dump" if dump else "--json", "what is printed for people", asked)
    from bertkit.pretraining.inspection import inspect as inspected
    from bertkit.pretraining.request import PretrainRequest

    request = PretrainRequest(
        corpus=corpus or (),
        recipe=recipe,
        model=model,
        tokenizer=tokenizer,
        overrides=options.overrides(
            sets,
            vocab_size=vocab_size,
            column=column,
            seq_len=seq_len,
            batch_size=batch_size,
            max_steps=max_steps,
            seed=seed,
        ),
    )
    seen = inspected(request)
    if dump is not None:
        for example in seen.examples(dump):
            console.print_json(example)
        return
    drawn = list(seen.examples(max(_SAMPLE, examples)))
    report = seen.report(drawn)
    if as_json:
        console.print_json(report, indent=2)
        return
    _print_report(report)
    for example in drawn[:examples]:
        _print_example(example, seen.corpus.tokenizer)


def _inspect_table(train: str, validation: str | None, model: str | None, given: list[Override], as_json: bool) -> None:
    from bertkit.cli.table_check import print_check
    from bertkit.finetuning.inspection import inspect as inspected
    from bertkit.finetuning.request import FinetuneRequest

    look, notes = inspected(
        FinetuneRequest(train=train, validation=validation, overrides=given, model=model or "embedded")
    )
    if as_json:
        console.print_json({"notes": notes, **look.as_json()}, indent=2)
        return
    print_check(look, notes)
    if model is None and look.limit:
        console.note("tokens are those of the embedded model; --model counts those of yours")


def _print_report(report: dict[str, Any]) -> None:
    from rich.table import Table

    from bertkit.pretraining.mix import line_of

    for title in ("corpus", "examples"):
        table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
        for name, value in report[title].items():
            table.add_row(name.replace("_", " "), _figure(name, value))
        console.out.print(table)
    for text in report.get("mix", []):
        console.out.print(console.plain(line_of(text)))
    if "words" in report:
        _print_words(report["words"])
    for told in report["warnings"]:
        console.out.print(f"[yellow]![/] {console.plain(told)}")


def _print_words(words: dict[str, Any]) -> None:
    """Prints how words are cut into pieces, what added words would save, and the most costly words, in 80 columns."""
    from rich.table import Table

    after = " and ".join(f"{value:.3f} with --add-words {n}" for n, value in words["word_pieces_a_word_after"].items())
    bought = f"; after pretrain {after}" if words["worst"] else ", and no frequent one into three or more"
    unknown = (
        f" ({words['unknown_words']:,} are [UNK], and count by their characters)" if words["unknown_words"] else ""
    )
    cut = f"cut into {words['word_pieces_a_word']:.3f} word pieces each"
    console.out.print(f"{words['words']:,} words, {cut}{unknown}{bought}")
    table = Table(
        title="words and signs that are unknown, or cut into three word pieces or more",
        title_justify="left",
        box=None,
        padding=(0, 2),
    )
    table.add_column("word", no_wrap=True, max_width=24)
    table.add_column("times", justify="right")
    table.add_column("word pieces", no_wrap=True, max_width=38)
    for one in words["worst"]:
        pieces = console.plain(" ".join(one["word_pieces"]))
        table.add_row(console.plain(one["word"]), f"{one['times']:,}", pieces)
    if words["worst"]:
        console.out.print(table)


def _figure(name: str, value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    if name.startswith(("tokens", "mean")):
        return f"{value:,.1f}"
    if name == "unigram_entropy":
        return f"{value:.3f} nats"
    return f"{value:.2%}" if value >= 0.0001 or not value else f"{100 * value:.1g}%"


def _print_example(example: dict[str, Any], tokenizer: Any) -> None:
    """Prints an example with the true piece behind each predicted one: masks red, random tokens yellow, kept ones green."""
    pieces = []
    for piece, label in zip(example["tokens"], example["labels"], strict=True):
        shown = console.plain(piece)
        if label == -100:
            pieces.append(f"[dim]{shown}[/]" if piece in ("[CLS]", "[SEP]") else shown)
            continue
        true = tokenizer.convert_ids_to_tokens(label)
        colour = "red" if piece == tokenizer.mask_token else "green" if piece == true else "yellow"
        pieces.append(f"[{colour}]{shown}[/][dim]({console.plain(true)})[/]")
    label = {0: "B is next", 1: "B is random", -100: "no pair"}[example["next_sentence_label"]]
    console.out.print(f"\n[bold]{label}[/]  " + " ".join(pieces))
