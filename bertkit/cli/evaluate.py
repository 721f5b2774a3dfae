"""``bertkit evaluate``: evaluates a fine-tuned model on labelled rows, or a pretrained one on text."""

import math
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from bertkit import console
from bertkit.cli import options
from bertkit.cli.figures import least_class, of_class, say_doubts
from bertkit.errors import BertkitError

SHOWN_ERRORS = 10
_PRETRAINED = "Pretrained models"
# The options that each kind of evaluation takes.
_TAKES = {
    "labelled rows": ("--task", "--data", "--validation", "--set"),
    "--cloze": ("FILE",),
    "--minimal-pairs": ("FILE",),
    "--corpus": ("FILE", "--seq-len", "--max-examples", "--set"),
}


def evaluate(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A folder of `bertkit finetune` or `pretrain`, a hub name, or embedded."),
    ],
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE", help="What --cloze, --corpus or --minimal-pairs reads.", show_default=False),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="A task.", show_default="what it was fine-tuned on")
    ] = None,
    data: options.GlueFolder = None,
    validation: Annotated[str | None, typer.Option("--validation", help="Labelled rows of your own.")] = None,
    cloze: Annotated[
        bool,
        typer.Option(
            "--cloze",
            help="How often a missing word is guessed: in 200 English sentences, or in a FILE with the columns "
            "sentence (one \\[MASK]) and answers (am|was).",
            rich_help_panel=_PRETRAINED,
        ),
    ] = False,
    corpus: Annotated[
        bool,
        typer.Option(
            "--corpus",
            help="Held-out figures on the text of FILE..., as `bertkit pretrain --validation` reports them.",
            rich_help_panel=_PRETRAINED,
        ),
    ] = False,
    minimal_pairs: Annotated[
        bool,
        typer.Option(
            "--minimal-pairs",
            help="How often the right one of two sentences gets the higher score: in a FILE or folder of BLiMP's .jsonl, of "
            ".tsv with the columns good and bad, or of .txt with wrong and right lines in turn.",
            rich_help_panel=_PRETRAINED,
        ),
    ] = False,
    seq_len: Annotated[
        int | None,
        typer.Option(
            "--seq-len",
            help="Tokens per sequence, for --corpus.",
            show_default="those of the run, else 128",
            rich_help_panel=_PRETRAINED,
        ),
    ] = None,
    max_examples: Annotated[
        int | None,
        typer.Option(
            "--max-examples",
            metavar="N",
            min=1,
            help="At most N examples, for --corpus.",
            show_default="2,000",
            rich_help_panel=_PRETRAINED,
        ),
    ] = None,
    sets: options.Set = None,
    device: options.Device = "auto",
    as_json: options.Json = False,
) -> None:
    """Evaluate a fine-tuned classifier on labelled text, or a pretrained model on plain text."""
    chosen = {"--cloze": cloze, "--corpus": corpus, "--minimal-pairs": minimal_pairs}
    kinds = [name for name, wanted in chosen.items() if wanted] or ["labelled rows"]
    if len(kinds) > 1:
        raise BertkitError(f"give {' or '.join(kinds)}, not both")
    kind = kinds[0]
    given = {"FILE": files, "--task": task, "--data": data, "--validation": validation, "--set": sets}
    _check_options(kind, given | {"--seq-len": seq_len, "--max-examples": max_examples})
    if cloze:
        results, show = _cloze(model, files or [], device), _print_cloze
    elif minimal_pairs:
        results, show = _minimal_pairs(model, files or [], device), _print_minimal_pairs
    elif corpus:
        results, show = _corpus(model, files or [], seq_len, max_examples, sets, device), _print_corpus
    else:
        from bertkit.finetuning.predict import evaluate as evaluated

        results, show = (
            evaluated(model, task, data, validation, options.overrides(sets), device),
            partial(_print, model),
        )
    if as_json:
        console.print_json(results, indent=2)
    else:
        show(results)


def _check_options(kind: str, given: dict[str, Any]) -> None:
    """Raises a BertkitError if an option was given that this kind of evaluation does not take."""
    for name, value in given.items():
        if value not in (None, []) and name not in _TAKES[kind]:
            fitting = " or ".join(other for other, takes in _TAKES.items() if name in takes)
            shown = f"'{value[0]}'" if name == "FILE" else name
            raise BertkitError(f"{shown} does not go with {kind}: it is for {fitting}")


def _cloze(model: str, files: list[str], device: str) -> dict[str, Any]:
    from bertkit.inference.cloze import evaluate_cloze

    if len(files) > 1:
        raise BertkitError(f"--cloze takes one file, got {len(files)}: {' '.join(files)}")
    return evaluate_cloze(model, Path(files[0]) if files else None, device)


def _minimal_pairs(model: str, files: list[str], device: str) -> dict[str, Any]:
    from bertkit.inference.minimal_pairs import evaluate_minimal_pairs

    if len(files) != 1:
        raise BertkitError(
            f"--minimal-pairs takes one file or folder, got {len(files)}: bertkit evaluate MODEL --minimal-pairs FILE"
        )
    return evaluate_minimal_pairs(model, Path(files[0]), device)


def _corpus(
    model: str, files: list[str], seq_len: int | None, max_examples: int | None, sets: list[str] | None, device: str
) -> dict[str, Any]:
    from bertkit.pretraining.corpus_evaluation import CorpusRequest, evaluate_corpus

    if not files:
        raise BertkitError("--corpus needs text: bertkit evaluate MODEL --corpus FILE...")
    given = options.overrides(sets, seq_len=seq_len, max_examples=max_examples)
    return evaluate_corpus(CorpusRequest(model, files, overrides=given, device=device))


def _print(model: str, results: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in results.items():
        if isinstance(value, float):
            table.add_row(name + of_class(name.removeprefix("eval_"), results), f"{value:.4f}")
        elif name.endswith("interval_95"):
            table.add_row(name, f"{value[0]:.4f} to {value[1]:.4f}")
    if (least := least_class(results)) is not None:
        table.add_row(least, f"{results['least_class']['recall']:.4f}")
    console.out.print(table)
    say_doubts(results, model)


def _print_cloze(results: dict[str, Any]) -> None:
    from rich.table import Table

    _print_head(results, f"{results['sentences']:,} sentences of {results['cloze']}")
    table = Table("", "", "95 % interval", box=None, pad_edge=False)
    for k in (1, 5):
        low, high = results[f"top_{k}_interval_95"]
        share = f"{results[f'top_{k}']:.1%}"
        table.add_row(f"top-{k}", share, f"{low:.1%} to {high:.1%}")
    table.add_row("mean reciprocal rank", f"{results['mean_reciprocal_rank']:.3f}", "")
    console.out.print(table)
    if results["unknown"]:
        console.note(f"sentences without an answer that is one word piece to this model: {results['unknown']:,}")
    wrong = [one for one in results["guesses"] if one["rank"] != 1]
    if wrong:
        shown = f"{SHOWN_ERRORS} of {len(wrong):,} wrong guesses" if len(wrong) > SHOWN_ERRORS else "wrong guesses"
        console.out.print(f"\n{shown}, and what is right:")
    for one in wrong[:SHOWN_ERRORS]:
        before, after = one["sentence"].split("[MASK]")
        guessed = f"{before}[{one['predictions'][0]['token_str']}]{after}"
        console.hanging("  - ", f"{console.plain(guessed)}  [green]{console.plain(', '.join(one['answers']))}[/]")


def _print_minimal_pairs(results: dict[str, Any]) -> None:
    from rich.table import Table

    _print_head(results, f"{results['pairs']:,} minimal pairs of {results['minimal_pairs']}")
    table = Table("", "right", "95 % interval", "pairs", box=None, pad_edge=False)
    parts = results.get("by_phenomenon", results["by_file"])
    for name, figures in {**(parts if len(parts) > 1 else {}), "all": results}.items():
        low, high = figures["accuracy_interval_95"]
        share, interval = f"{figures['accuracy']:.1%}", f"{low:.1%} to {high:.1%}"
        table.add_row(console.plain(name), share, interval, f"{figures['pairs']:,}")
    console.out.print(table)
    if results.get("without_phenomenon"):
        console.note(f"pairs of no phenomenon, which count under all alone: {results['without_phenomenon']:,}")
    if results["equal"]:
        console.note(f"pairs with equal scores, as of unknown words, which do not count as right: {results['equal']:,}")
    if results["cut"]:
        console.warn(f"sentences cut to what the model reads: {results['cut']:,}")


def _print_corpus(results: dict[str, Any]) -> None:
    from rich.table import Table

    sources = results["corpus"]
    more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
    _print_head(
        results,
        f"{results['examples']:,} examples of at most {results['max_seq_length']} tokens of {sources[0]}{more} "
        f"({results['tokens_in_corpus']:,} tokens, {results['unknown_token_share']:.1%} of them unknown)",
    )
    frequent, entropy = results["most_frequent_token_share"], results["unigram_entropy"]
    pairs = "SOP" if results["sentence_objective"] == "sop" else "NSP"
    table = Table("", "model", "without context", "", box=None, pad_edge=False)
    for label, name, form, baseline, why in (
        ("MLM accuracy", "eval_mlm_accuracy", ".1%", frequent, "always the most frequent piece"),
        ("MLM loss", "eval_mlm_loss", ".3f", entropy, "how often each piece occurs"),
        ("perplexity", "eval_perplexity", ",.1f", math.exp(entropy), "the same"),
        (f"{pairs} accuracy", "eval_nsp_accuracy", ".1%", 0.5, "a coin"),
        (f"{pairs} loss", "eval_nsp_loss", ".3f", math.log(2), "the same"),
    ):
        if name in results:
            table.add_row(label, format(results[name], form), format(baseline, form), f"[dim]{why}[/]")
    console.out.print(table)


def _print_head(results: dict[str, Any], what: str) -> None:
    console.out.print(f"[bold]{console.plain(results['model'])}[/] on {console.plain(what)}\n")
