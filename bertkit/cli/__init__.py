"""The command line, with one file per command, which turns options into settings and calls one plain function.

To add a command, write a file with a function of the command's name and register it below. Heavy libraries (torch,
transformers, …) are imported inside that function, after the arguments have been checked.
"""

from collections.abc import Callable
from inspect import cleandoc
from typing import Annotated

import typer

from bertkit import __version__, streams
from bertkit.cli import (
    attention,
    embed,
    evaluate,
    explain,
    export,
    finetune,
    import_checkpoint,
    inspect,
    mask_fill,
    options,
    predict,
    prepare,
    pretrain,
    push,
    recipes,
    report,
    score,
    serve,
)
from bertkit.launcher import check_alone

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


_BY_RANKS = ("pretrain", "finetune")
"""The commands that several processes can do together."""


@app.callback()
def bertkit(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave."),
    ] = False,
) -> None:
    """Pretrain a BERT of your own on your text, fine-tune it on your labels, and use it anywhere."""
    if context.invoked_subcommand not in (None, *_BY_RANKS):
        check_alone(f"bertkit {context.invoked_subcommand}")


def _register(name: str, function: Callable[..., None], *examples: str, short: str | None = None) -> None:
    """Registers a function as a command.

    Args:
        name: the name of the command.
        function: its docstring and annotated arguments make the help.
        examples: command lines at the end of its ``--help``.
        short: its line in the list of commands, of at most 45 characters; by default the help.
    """
    paragraphs = cleandoc(function.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)  # Typer wraps it to the terminal
    command = app.command(name, help=text, short_help=short, epilog=options.epilog(*examples))
    command(streams.reader_may_leave()(function))


# In the order of `bertkit --help`.
_register(
    "pretrain",
    pretrain.pretrain,
    "bertkit pretrain corpus.txt --out runs/mine",
    "bertkit pretrain corpus.txt --budget 90m --track tensorboard",
)
_register(
    "prepare",
    prepare.prepare,
    "bertkit prepare corpus.txt --out prepared",
    short="Turn text into token ids on disk.",
)
_register(
    "inspect",
    inspect.inspect,
    "bertkit inspect corpus.txt",
    "bertkit inspect --train reviews.csv",
    short="Look at a text or a table before training.",
)
_register(
    "mask-fill",
    mask_fill.mask_fill,
    'bertkit mask-fill --model runs/mine "the cat sat on the [MASK] ."',
    'bertkit mask-fill "she [MASK] the door ." --targets opened,closed',
)
_register(
    "score",
    score.score,
    'bertkit score "the cat sat on the mat ." "mat the on sat cat the ."',
    'bertkit score --next "it was raining ." "she took her umbrella ."',
    short="Score sentences, or pairs of sentences.",
)
_register(
    "embed",
    embed.embed,
    'bertkit embed "the cat sat on the mat ."',
    "bertkit embed --file texts.txt --output features.npy",
    short="Turn texts into vectors.",
)
_register(
    "attention",
    attention.attention,
    'bertkit attention embedded "she took her umbrella ." --out heads.html',
    short="Show the attention of a model's heads.",
)
_register(
    "explain",
    explain.explain,
    'bertkit explain embedded "she was hungry so she ate an [MASK] from the tree ."',
    'bertkit explain runs/finetune-reviews "not a bad film at all"',
    short="Show which words speak for an answer.",
)
_register(
    "finetune",
    finetune.finetune,
    "bertkit finetune --model embedded --train reviews.csv --validation-split 0.1",
    "bertkit finetune --model runs/mine --task sst2 --seeds 5",
)
_register(
    "evaluate",
    evaluate.evaluate,
    "bertkit evaluate runs/finetune-reviews --validation held-out.csv",
    "bertkit evaluate embedded --cloze",
    short="Evaluate a fine-tuned or a pretrained model.",
)
_register(
    "predict",
    predict.predict,
    'bertkit predict runs/finetune-reviews "what a lovely film"',
    "bertkit predict runs/finetune-reviews new.csv --output answers.csv",
    short="Predict labels for new text.",
)
_register(
    "serve",
    serve.serve,
    "bertkit serve embedded",
    "bertkit serve runs/finetune-reviews --port 9000",
    short="Serve a model over HTTP.",
)
_register(
    "report",
    report.report,
    "bertkit report runs/mine runs/finetune-reviews --out report.html",
    short="Show runs on one page.",
)
_register(
    "import",
    import_checkpoint.import_checkpoint,
    "bertkit import uncased_L-12_H-768_A-12 --out bert-base",
    short="Convert a TensorFlow or old PyTorch model.",
)
_register(
    "export",
    export.export,
    "bertkit export runs/mine --format onnx --int8",
    short="Export a model to other formats.",
)
_register(
    "push",
    push.push,
    "bertkit push runs/finetune-reviews my-org/reviews --private",
    short="Push a model to the Hugging Face hub.",
)
app.add_typer(recipes.app, name="recipes", epilog=options.epilog("bertkit recipes", "bertkit recipes show tiny --all"))
