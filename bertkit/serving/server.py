"""The server process: its socket, its signals, and its messages."""

import asyncio
import contextlib
import os
import socket

from bertkit import console
from bertkit.errors import BertkitError, os_error_number
from bertkit.extras import import_extra

_WAITING_CONNECTIONS = 16_384
"""How many connections the system may accept in advance; it may allow fewer."""


def serve(model: str, host: str, port: int, device: str, timeout_s: float) -> None:
    """Serves a model until a signal ends it; requests that have arrived before are still answered.

    Args:
        model: a folder, a name on the hub, or "embedded".
        host: the address to listen at.
        port: the port; 0 takes a free one.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        timeout_s: how long a request may wait for its answer.

    Raises:
        BertkitError: the libraries are not installed, the model cannot be served, the address is in use, or a notebook
            calls this function outside of a thread.
    """
    _refuse_within_a_loop()
    uvicorn = import_extra("uvicorn", "serve")
    import_extra("starlette.applications", "serve")
    from bertkit.serving.app import Service

    _allow_connections()
    with _listening(host, port) as listening:
        service = Service(model, device, timeout_s)
        address = listening.getsockname()
        name = f"[{address[0]}]" if ":" in address[0] else address[0]
        where = console.plain(f"{model} answers {service.task} at http://{name}:{address[1]}")
        console.note(f"{where} (a page to try it; JSON by POST); Ctrl-C ends it")
        if not address[0].startswith("127.") and address[0] != "::1":
            console.warn("whoever reaches this address may ask: there is no password")
        settings = uvicorn.Config(
            service.app(), log_level="warning", access_log=False, lifespan="off", backlog=_WAITING_CONNECTIONS
        )
        uvicorn.Server(settings).run(sockets=[listening])


def _refuse_within_a_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise BertkitError(
        "a server cannot run within an event loop, as a notebook's cells do: "
        "threading.Thread(target=bertkit.serve, args=[MODEL]).start()"
    )


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        host.encode("idna")  # what cannot be encoded would be a TypeError of the socket, which would not be closed
        listening = socket.create_server((host, port), family=family, backlog=_WAITING_CONNECTIONS)
    except (OSError, OverflowError, UnicodeError) as error:
        number = os_error_number(error)
        reason = os.strerror(number).lower() if number and number > 0 else str(error)
        raise BertkitError(f"cannot listen at {host}:{port} ({reason}): give another --port or --host") from None
    # Without it the body of an answer waits 40 ms for the acknowledgement of its headers.
    # asyncio sets it only on the sockets that it opens.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _allow_connections() -> None:
    """Raises the limit of open connections to what the system allows this process."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no such limit
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
