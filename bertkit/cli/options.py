"""Options that several commands share, and options that stand for settings of a recipe."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from bertkit.errors import MOST_SECONDS, BertkitError
from bertkit.settings.recipes import Override, parse_set

# Options (as parameters of a command), and the settings that they stand for.
_SETTINGS = {
    "lr": "train.learning_rate",
    "seq_len": "data.max_seq_length",
    "batch_size": "train.batch_size",
    "micro_batch": "train.micro_batch_size",
    "max_steps": "train.max_steps",
    "epochs": "train.epochs",
    "seed": "train.seed",
    "mixed_precision": "train.mixed_precision",
    "vocab_size": "tokenizer.vocab_size",
    "column": "data.column",
    "validation_split": "data.validation_split",
    "text": "task.text",
    "label": "task.label",
    "head": "task.head",
    "track": "train.report_to",
    "max_examples": "data.max_eval_examples",
}

_PLACES = ("--out", "--output", "--zip")


def out(default: str) -> Any:
    """The option for the folder to write; ``default`` describes the default."""
    return typer.Option("--out", help="Folder to write to.", file_okay=False, show_default=default)


def refuse_empty_places(arguments: Sequence[str]) -> None:
    """Refuses an empty name of what is to be written, which would be the current folder: a shell's variable is not set.

    Raises:
        BertkitError: there is one.
    """
    for name, value in pairwise([*arguments, None]):
        place = next((one for one in _PLACES if (name, value) == (one, "") or name == f"{one}="), None)
        if place is not None:
            raise BertkitError(f"{place} is empty: give a name (is a variable of the shell not set?)")


def overrides(sets: Sequence[str] | None, **flags: Any) -> list[Override]:
    """The settings that a user gave besides the recipe: options that are not None, and the entries of ``--set``.

    Raises:
        BertkitError: an entry of ``sets`` is not ``KEY=VALUE``.
    """
    given = [
        Override(_SETTINGS[name], value, f"--{name.replace('_', '-')}")
        for name, value in flags.items()
        if value is not None
    ]
    return given + [parse_set(text) for text in sets or ()]


def columns(text: str | None, text_pair: str | None = None) -> list[str]:
    """The column of the text, or the columns of both texts of a pair; empty if none was named.

    Raises:
        BertkitError: only the second column was named.
    """
    if text_pair is not None and text is None:
        raise BertkitError("--text-pair needs --text: name the columns of both texts")
    return [name for name in (text, text_pair) if name is not None]


def refuse(asked: str, fitting: str, given: Mapping[str, Any]) -> None:
    """Raises a BertkitError if an option was given that has no effect here, instead of ignoring it.

    Args:
        asked: what was asked for.
        fitting: what the options are for.
        given: the options with their values; None, False, 0 and empty ones were not given.
    """
    for name, value in given.items():
        if value:
            raise BertkitError(f"{name} does not go with {asked}: it is for {fitting}")


_SETTINGS_PANEL = "Settings: their defaults are those of `bertkit recipes show NAME --all`"


def epilog(*examples: str) -> str:
    """The end of a ``--help``, with examples of command lines; in the docs, which are made from it, they are code."""
    return "\n\n".join(["Examples:" if len(examples) > 1 else "Example:", *(f"    {example}" for example in examples)])


def seconds(value: str) -> float:
    """The seconds of a time such as ``90m``, ``2h``, ``1h30m``, ``45s`` or ``1d``.

    Raises:
        typer.BadParameter: the text is not a time, or it is no time at all.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", value)
    if not parts or "".join(map("".join, parts)) != value:
        raise typer.BadParameter(f"must be a time such as 90m, 2h or 1h30m, got '{value}'")
    total = sum(float(number) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[unit] for number, unit in parts)
    if not 0 < total <= MOST_SECONDS:
        raise typer.BadParameter(f"must be more than no time, and {MOST_SECONDS:,} s at most, got '{value}'")
    return total


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise typer.BadParameter(f"must be auto, cpu, cuda, cuda:N or mps, got '{value}'")
    return value


def _setting(flag: str, text: str) -> Any:
    """An option that overrides a setting of the recipe."""
    return typer.Option(flag, help=text, rich_help_panel=_SETTINGS_PANEL, show_default=False)


Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting of the recipe, such as train.weight_decay=0.1; may be repeated.",
        rich_help_panel=_SETTINGS_PANEL,
        show_default=False,
    ),
]
Lr = Annotated[float | None, _setting("--lr", "Peak learning rate.")]
SeqLen = Annotated[int | None, _setting("--seq-len", "Tokens per sequence, throughout the run.")]
RowLength = Annotated[int | None, _setting("--seq-len", "Tokens per row; longer rows are cut, or read in windows.")]
BatchSize = Annotated[int | None, _setting("--batch-size", "Sequences per optimizer step, over all devices together.")]
MicroBatch = Annotated[
    int | None,
    _setting(
        "--micro-batch",
        "Sequences that a device computes at a time: fewer take less memory. With dropout, another number draws another "
        "dropout.",
    ),
]
Track = Annotated[
    list[str] | None,
    _setting("--track", "Also log to tensorboard, wandb, trackio or mlflow; may be repeated."),
]
MaxSteps = Annotated[int | None, _setting("--max-steps", "Optimizer steps of the whole run.")]
Epochs = Annotated[float | None, _setting("--epochs", "Passes over the data, instead of --max-steps.")]
Seed = Annotated[int | None, _setting("--seed", "Seed of the weights, the data and the dropout.")]
MixedPrecision = Annotated[
    str | None, _setting("--mixed-precision", "auto, no, bf16 or fp16; auto is bf16 if the device is faster in it.")
]
VocabSize = Annotated[int | None, _setting("--vocab-size", "Word pieces of the tokenizer to train.")]
Column = Annotated[str | None, _setting("--column", "Field of tables and hub datasets that holds the text.")]

Model = Annotated[str, typer.Option("--model", help="A model's folder, its name on the Hugging Face hub, or embedded.")]
Device = Annotated[
    str, typer.Option("--device", help="auto (a GPU if there is one), cpu, cuda, cuda:N or mps.", callback=_device)
]
ResumeOpt = Annotated[bool, typer.Option("--resume", help="Continue from the newest intact checkpoint.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in the folder.")]
ReplaceFile = Annotated[
    bool, typer.Option("--overwrite", help="Replace the output file even if bertkit did not write it.")
]
GlueFolder = Annotated[Path | None, typer.Option("--data", help="Folder with GLUE's own TSVs, instead of the hub.")]
TextColumn = Annotated[str | None, typer.Option("--text", help="Column of the text, for tables.")]
PairColumn = Annotated[str | None, typer.Option("--text-pair", help="Column of the second text of a pair.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
