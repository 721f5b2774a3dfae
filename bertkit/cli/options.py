"""The options that several commands share, and the flags that are sugar for settings of a recipe."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bertkit.errors import BertkitError
from bertkit.settings.recipes import Override, parse_set

# Flag (as a parameter of the command) -> the setting it stands for.
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
}


def out(default: str) -> Any:
    """The option of the folder to write, which is ``default`` where none is named."""
    return typer.Option("--out", help="Folder to write to.", file_okay=False, show_default=default)


def overrides(sets: Sequence[str] | None, **flags: Any) -> list[Override]:
    """What the user gave besides the recipe. A flag that is None was not given.

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
    """The columns of the text, or of both texts of a pair; none where none was named.

    Raises:
        BertkitError: only the second was named.
    """
    if text_pair is not None and text is None:
        raise BertkitError("--text-pair needs --text: name the columns of both texts")
    return [name for name in (text, text_pair) if name is not None]


def refuse(asked: str, fitting: str, given: Mapping[str, Any]) -> None:
    """Raises a BertkitError where something was given that what is asked for does not take, rather than pass over it.

    Args:
        fitting: what it is for.
        given: option → its value; None, False, 0 and nothing were not given.
    """
    for name, value in given.items():
        if value:
            raise BertkitError(f"{name} does not go with {asked}: it is for {fitting}")


_SETTINGS_PANEL = "Settings: their defaults are those of `bertkit recipes show NAME --all`"


def epilog(*examples: str) -> str:
    """Command lines as what ``--help`` ends with; in the docs, which are made of it, they are code."""
    return "\n\n".join(["Examples:" if len(examples) > 1 else "Example:", *(f"    {example}" for example in examples)])


def seconds(value: str) -> float:
    """A time as people write it: ``90m``, ``2h``, ``1h30m``, ``45s``, ``1d``.

    Raises:
        typer.BadParameter: it is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", value)
    if not parts or "".join(map("".join, parts)) != value:
        raise typer.BadParameter(f"must be a time such as 90m, 2h or 1h30m, got '{value}'")
    return sum(float(number) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[unit] for number, unit in parts)


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        raise typer.BadParameter(f"must be auto, cpu, cuda, cuda:N or mps, got '{value}'")
    return value


def _setting(flag: str, text: str) -> Any:
    """An option that overrides the recipe."""
    return typer.Option(flag, help=text, rich_help_panel=_SETTINGS_PANEL, show_default=False)


Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting of the recipe, as often as needed: --set train.weight_decay=0.1",
        rich_help_panel=_SETTINGS_PANEL,
        show_default=False,
    ),
]
Lr = Annotated[float | None, _setting("--lr", "Peak learning rate.")]
SeqLen = Annotated[int | None, _setting("--seq-len", "Tokens a sequence, in place of all phases.")]
BatchSize = Annotated[int | None, _setting("--batch-size", "Sequences per optimizer step, over all devices together.")]
MicroBatch = Annotated[
    int | None,
    _setting("--micro-batch", "Sequences a device computes at a time: a matter of memory."),
]
Track = Annotated[
    list[str] | None,
    _setting("--track", "Log to tensorboard, wandb, trackio or mlflow too; as often as needed."),
]
MaxSteps = Annotated[int | None, _setting("--max-steps", "Optimizer steps of the whole run.")]
Epochs = Annotated[float | None, _setting("--epochs", "Passes over the data, in place of --max-steps.")]
Seed = Annotated[int | None, _setting("--seed", "Of the weights, the data and the dropout.")]
MixedPrecision = Annotated[
    str | None, _setting("--mixed-precision", "auto, no, bf16 or fp16; auto is bf16 where it is native.")
]
VocabSize = Annotated[int | None, _setting("--vocab-size", "Word pieces of the tokenizer to train.")]
Column = Annotated[str | None, _setting("--column", "Field of tables and hub datasets that holds the text.")]

Model = Annotated[str, typer.Option("--model", help="A model's folder, its name on the Hugging Face hub, or embedded.")]
Device = Annotated[
    str, typer.Option("--device", help="auto (a GPU where there is one), cpu, cuda, cuda:N or mps.", callback=_device)
]
ResumeOpt = Annotated[bool, typer.Option("--resume", help="Go on from the newest whole checkpoint.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is in the folder.")]
ReplaceFile = Annotated[
    bool, typer.Option("--overwrite", help="Replace a file at the place of the output that bertkit did not write.")
]
GlueFolder = Annotated[Path | None, typer.Option("--data", help="Folder with GLUE's own TSVs, instead of the hub.")]
TextColumn = Annotated[str | None, typer.Option("--text", help="Column of the text, for tables.")]
PairColumn = Annotated[str | None, typer.Option("--text-pair", help="Column of the second text of a pair.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
