"""``bertkit serve``: serves a model over HTTP."""

from typing import Annotated

import typer

import bertkit
from bertkit.cli.options import Device


def serve(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A model's folder, its name on the Hugging Face hub, or embedded.")
    ],
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; 0.0.0.0 is all addresses of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0 takes one that is free.")] = 8000,
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.001, metavar="SECONDS", help="A request that waits longer is refused.")
    ] = 60.0,
    device: Device = "auto",
) -> None:
    """Serve a model over HTTP, as the Hugging Face inference API does, with a page to try it in a browser.

    It fills masks, predicts classes or tags, answers questions or gives vectors, depending on what the model was trained
    for. Requests that arrive together are computed together.
    """
    bertkit.serve(model, host=host, port=port, timeout_s=timeout, device=device)
