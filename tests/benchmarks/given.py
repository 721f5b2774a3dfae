"""Options that several benchmarks share, and the request to pretrain that they make."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertkit.cli import options

if TYPE_CHECKING:
    from bertkit.pretraining.request import PretrainRequest

Corpus = Annotated[list[str] | None, typer.Argument(metavar="[CORPUS]...", help="As `bertkit pretrain`.")]
Recipe = Annotated[str, typer.Option("--recipe", help="A name of `bertkit recipes`.")]
Steps = Annotated[int, typer.Option("--steps", min=2, help="Optimizer steps a run.")]
Rounds = Annotated[int, typer.Option("--rounds", min=1, help="Runs of each, taking turns.")]
Tokenizer = Annotated[
    str | None, typer.Option("--tokenizer", help="A folder, vocab.txt or hub name, instead of learning word pieces.")
]
GlueData = Annotated[Path | None, typer.Option("--data", help="Folder with GLUE's own TSVs.")]


def pretraining(
    corpus: list[str] | None,
    recipe: str,
    tokenizer: str | None,
    batch_size: int | None,
    seq_len: int | None,
    sets: list[str] | None,
    device: str,
    **given: Any,
) -> "PretrainRequest":
    """A request to pretrain, with AdamW, length 128 and batches of 32 unless others are given, whatever the recipe has.

    Raises:
        BertkitError: there is no such corpus or recipe; raised before anything heavy is imported.
    """
    from bertkit.corpus.sources import find_sources
    from bertkit.pretraining.prepare import is_prepared
    from bertkit.pretraining.request import PretrainRequest
    from bertkit.settings.recipes import load
    from bertkit.settings.schema import PretrainRecipe

    others = sets or []
    if not any("optimizer" in one for one in others):
        others = ["train.optimizer=adamw", *others]  # the Trainer's
    overrides = options.overrides(
        others,
        batch_size=32 if batch_size is None else batch_size,
        seq_len=128 if seq_len is None else seq_len,
        **given,
    )
    load(PretrainRecipe, "pretrain", recipe, overrides)
    if corpus and not is_prepared(corpus):
        find_sources(corpus)
    return PretrainRequest(corpus=corpus or (), recipe=recipe, overrides=overrides, tokenizer=tokenizer, device=device)
