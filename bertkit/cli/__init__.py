"""The command line. One file a command: it turns options into settings and calls one plain function.

To add a command, write its file with a function of the command's name and register it below. What is heavy
(torch, transformers, …) is imported inside that function, after the arguments have been checked.
"""

from collections.abc import Callable
from typing import Annotated

import typer

from bertkit import __version__, console
from bertkit.cli import (
    attention,
    embed,
    evaluate,
    export,
    finetune,
    import_checkpoint,
    inspect,
    mask_fill,
    predict,
    prepare,
    pretrain,
    push,
    recipes,
    report,
    score,
)

app = typer.Typer(
    name="bertkit",
    help="Pretrain a BERT of your own on your text, fine-tune it on your labels, and use it anywhere.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bertkit {__version__}")
        raise typer.Exit


@app.callback()
def bertkit(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave."),
    ] = False,
) -> None:
    """Pretrain a BERT of your own on your text, fine-tune it on your labels, and use it anywhere."""


def _register(name: str, function: Callable[..., None]) -> None:
    app.command(name)(console.reader_may_leave()(function))


# In the order of `bertkit --help`.
_register("pretrain", pretrain.pretrain)
_register("prepare", prepare.prepare)
_register("inspect", inspect.inspect)
_register("mask-fill", mask_fill.mask_fill)
_register("score", score.score)
_register("embed", embed.embed)
_register("attention", attention.attention)
_register("finetune", finetune.finetune)
_register("evaluate", evaluate.evaluate)
_register("predict", predict.predict)
_register("report", report.report)
_register("import", import_checkpoint.import_checkpoint)
_register("export", export.export)
_register("push", push.push)
app.add_typer(recipes.app, name="recipes")
