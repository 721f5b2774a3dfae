"""``bertkit push``: uploads a model to the Hugging Face hub."""

from pathlib import Path
from typing import Annotated

import typer

from bertkit import console


def push(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model's folder, with its card (README.md).")],
    repository: Annotated[str, typer.Argument(metavar="ORG/NAME", help="The repository; created if there is none.")],
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
) -> None:
    """Push a model and its card to the Hugging Face hub, with the token of `hf auth login` or HF_TOKEN."""
    from bertkit.models.push import push as upload

    console.out.print(upload(Path(model), repository, private), markup=False)
