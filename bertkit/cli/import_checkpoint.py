"""``bertkit import``: converts a TensorFlow checkpoint, or an old PyTorch one, into a plain Hugging Face folder."""

from pathlib import Path
from typing import Annotated

import typer

from bertkit import console


def import_checkpoint(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A folder with bert_model.ckpt.*, a checkpoint by its name without .index, or a pytorch_model.bin.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="New or empty folder to write to.")],
    config: Annotated[
        Path | None, typer.Option("--config", help="bert_config.json, if it is not beside the checkpoint.")
    ] = None,
    vocab: Annotated[
        Path | None, typer.Option("--vocab", help="vocab.txt, if it is not beside the checkpoint.")
    ] = None,
) -> None:
    """Turn a checkpoint of google-research/bert or the model garden into a plain model folder, without TensorFlow."""
    from bertkit.models.import_tf import import_checkpoint as import_into

    imported = import_into(checkpoint, out, config, vocab)
    console.note(f"{imported.cls_name}, {imported.parameters / 1e6:,.1f}M parameters")
    if imported.left_out:
        console.note(f"left out: {imported.left_out:,} tensors of the optimizer")
    for part in imported.missing:
        console.warn(f"the checkpoint has no {part}: the model has none either")
    console.out.print(str(imported.folder), markup=False)
