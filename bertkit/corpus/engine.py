"""The parts of a corpus as tasks of Ray: on the machines of a cluster, or on the cores of this one."""

import io
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from typing import Any, TypeVar

from bertkit import console
from bertkit.corpus.preparation import Engine, Preparation
from bertkit.corpus.workers import ONE_THREAD
from bertkit.errors import BertkitError, Interrupted, from_outside
from bertkit.extras import import_extra

T = TypeVar("T")
TRIES = 3
"""Of a part whose process dies or whose input cannot be read."""
_ANSWER_TIMEOUT_S = 5.0


@contextmanager
def ray_engine() -> Iterator[Engine]:
    """Joins the Ray cluster at ``RAY_ADDRESS`` (``auto``: that of this machine), else starts one here for the block.

    Raises:
        BertkitError: Ray is not installed, or the cluster cannot be joined.
        Interrupted: SIGTERM came while Ray started.
    """
    ray = import_extra("ray", "ray")
    _join(ray)
    try:
        # What Ray says of a lost process goes to stdout, where results belong; we say it ourselves.
        with redirect_stdout(io.StringIO()):
            yield partial(_each, ray)
    finally:
        ray.shutdown()


def _join(ray: Any) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = os.environ.get("RAY_ADDRESS", "")
    host, _, port = address.rpartition("://")[2].rpartition(":")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        if host and port.isdecimal():  # Ray itself tries for minutes
            socket.create_connection((host, int(port)), _ANSWER_TIMEOUT_S).close()
        ray.init(address or "local", logging_level=logging.ERROR, log_to_driver=False)
    except SystemExit as error:  # its own handler, for that while
        raise Interrupted("stopped by SIGTERM while Ray started", 128 + signal.SIGTERM) from error
    except Exception as error:  # no connection, other versions of Python or Ray there, no memory for its store
        reason = console.one_line(error)
        way = (
            "set RAY_ADDRESS to HOST:PORT of its head, or unset it to use this machine"
            if address
            else "see `ray.init()`"
        )
        raise BertkitError(f"no Ray cluster{' at ' if address else ''}{address}: {reason}; {way}") from error
    finally:
        signal.signal(signal.SIGTERM, handler)  # Ray's own ends the process at once


def _each(ray: Any, work: Callable[[Preparation], T], parts: Sequence[Preparation]) -> Iterator[tuple[int, T]]:
    """See ``parts.Engine``."""
    # We try again ourselves: Ray would print a traceback for each try.
    task = ray.remote(num_cpus=1, max_retries=0)(_on_one_core)
    shared = ray.put(work)
    running = {task.remote(shared, part): (number, 1) for number, part in enumerate(parts)}
    while running:
        # Not fetched before its turn: of all the parts one is in memory here.
        (done, *_), _ = ray.wait(list(running), fetch_local=False)
        number, tries = running.pop(done)
        try:
            yield number, ray.get(done)
        except ray.exceptions.RayError as error:
            reason = _reason(error)
            if reason is None:
                raise
            part = f"part {number + 1} of {len(parts)} ({_place(parts[number])}) failed"
            if tries == TRIES:
                raise BertkitError(f"{part} {TRIES} times: {reason}") from error
            console.warn(console.plain(f"{part}: {reason}; trying again"))
            running[task.remote(shared, parts[number])] = number, tries + 1


def _on_one_core(work: Callable[[Preparation], T], part: Preparation) -> T:
    os.environ.update(ONE_THREAD)
    return work(part)


def _place(part: Preparation) -> str:
    return part.names[0] if len(part.names) == 1 else f"{part.names[0]} … {part.names[-1]}"


def _reason(error: Exception) -> str | None:
    """Why a part failed, in a line; None for an error of ours."""
    cause = getattr(error, "cause", None)
    if cause is None:
        return f"its process or machine was lost ({type(error).__name__})"
    return str(cause) if isinstance(cause, BertkitError) else from_outside(cause)
