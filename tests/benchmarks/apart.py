"""Contestants in processes of their own, so that the memory of one is not taken for the other's."""

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from benchmarks.rounds import Turn
from bertkit.errors import BertkitError, Interrupted

Build = Callable[[], Callable[[], Turn]]
"""Makes a contestant ready and returns its turn. It is sent to the other process: a function of a module, or a
``partial`` of one."""

_PATIENCE_S = 5.0


@contextmanager
def apart(builders: Mapping[str, Build]) -> Iterator[dict[str, Callable[[], Turn]]]:
    """Turns that are run in a process a contestant, which starts with its first turn and then waits for the next.

    Raises (in a turn):
        BertkitError: what the contestant raised, or that its process ended.
    """
    children = {name: _Child(name, build) for name, build in builders.items()}
    try:
        yield {name: child.turn for name, child in children.items()}
    finally:
        for child in children.values():
            child.close()


def once(work: Callable[[], Any]) -> Any:
    """The result of some work in a process of its own, which takes its imports and its memory with it."""
    child = _Child(getattr(work, "__name__", "work"), partial(_same, work))
    try:
        return child.turn()
    finally:
        child.close()


def _same(work: Callable[[], Any]) -> Callable[[], Any]:
    return work


class _Child:
    def __init__(self, name: str, build: Build) -> None:
        self._name, self._build = name, build
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._is_at_work = False

    def turn(self) -> Any:
        if self._pipe is None or self._process is None:
            self._process, self._pipe = self._started()
        self._is_at_work = True
        self._pipe.send(None)
        try:
            answer = self._pipe.recv()
            self._is_at_work = False
        except EOFError:
            self._process.join(_PATIENCE_S)
            raise BertkitError(
                f"the process of {self._name} ended with exit code {self._process.exitcode}: "
                "where that is -9, the machine has too little memory for it"
            ) from None
        if isinstance(answer, str):
            raise RuntimeError(f"in the process of {self._name}:\n{answer}")
        if isinstance(answer, BertkitError):
            raise answer
        return answer

    def close(self) -> None:
        """Ends the process: it leaves by itself where it waits for its next turn."""
        if self._pipe is None or self._process is None:
            return
        self._pipe.close()
        if not self._is_at_work:
            self._process.join(_PATIENCE_S)
        for end in (self._process.terminate, self._process.kill):
            if self._process.exitcode is None:
                end()
                self._process.join(_PATIENCE_S)

    def _started(self) -> tuple[BaseProcess, Connection]:
        # Started afresh, not forked: this process may have threads, and its memory is not to be inherited.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._build), name=f"bench of {self._name}")
        process.start()
        theirs.close()
        return process, ours


def _serve(pipe: Connection, build: Build) -> None:
    """Takes turns until the other side leaves; what goes wrong is sent there."""
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (runs tell of themselves, for as long as they live)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that temporary folders go
    # A run's own data workers start as they would elsewhere, not as this process was started.
    multiprocessing.set_start_method(None, force=True)
    run = None
    try:
        while True:
            pipe.recv()
            run = run or build()
            answer = run()
            pipe.send(replace(answer, memory_bytes=peak_memory_bytes()) if isinstance(answer, Turn) else answer)
    except (EOFError, BrokenPipeError, KeyboardInterrupt, Interrupted):
        return
    except BertkitError as error:
        pipe.send(error)
    except BaseException:
        pipe.send(traceback.format_exc())


def peak_memory_bytes() -> int | None:
    """The most memory this process has held: on its GPU where it uses one, else of the machine; None where unknown."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        return int(torch.cuda.max_memory_allocated())
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage: its figure begins with what the process held that started this one.
        line = next((line for line in status.read_text().splitlines() if line.startswith("VmHWM:")), None)
        return int(line.split()[1]) * 1024 if line else None
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
