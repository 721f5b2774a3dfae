"""The same work on many items, several at a time, in processes of our own.

Not ``multiprocessing``: its fresh processes run the caller's main script once more, which a notebook or a script
without an ``if __name__`` does not stand, and its forked ones inherit the threads' locks of torch and tokenizers.
Nor loky, for docs/design.md's reasons.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, TypeVar

from bertkit.errors import BertkitError

In = TypeVar("In")
Out = TypeVar("Out")
_SERVE = "import sys; sys.path[:] = {path!r}; from bertkit.corpus.workers import serve; serve()"
_PATIENCE_S = 5.0
ONE_THREAD = {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""The environment of a process that has one core to itself."""


def in_order(work: Callable[[In], Out], items: Iterable[In], processes: int) -> Generator[Out, None, None]:
    """``work(item)`` for each item, in their order. Close it to end the processes early.

    Args:
        work: can be pickled.
        items: read as they are needed; two more than there are processes are held at a time.
        processes: one means this one.

    Raises:
        BertkitError: a process ended by itself, or could not be started.
        Whatever the work raises, in its place in the order.
    """
    if processes == 1:
        yield from map(work, items)
        return
    with contextlib.ExitStack() as ending:
        threads = ending.enter_context(ThreadPoolExecutor(processes))
        idle: SimpleQueue[_Worker] = SimpleQueue()
        for _ in range(processes):
            worker = _Worker(work)
            ending.callback(worker.end)  # before the threads are waited for: some may be waiting for an answer
            idle.put(worker)

        def ask(item: In) -> Out:
            worker = idle.get()
            try:
                answer: Out = worker.ask(item)
                return answer
            finally:
                idle.put(worker)

        ending.callback(threads.shutdown, wait=False, cancel_futures=True)
        asked: deque[Future[Out]] = deque()
        for item in items:
            asked.append(threads.submit(ask, item))
            if len(asked) > processes + 1:
                yield asked.popleft().result()
        while asked:
            yield asked.popleft().result()


class _Worker:
    """A process that answers one item after the other. Where we are gone it sees the end of its input, and goes."""

    def __init__(self, work: Callable[[Any], Any]) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _SERVE.format(path=sys.path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **ONE_THREAD},
                start_new_session=True,  # Ctrl-C is for us, who end it
            )
        except OSError as error:
            raise BertkitError(
                f"cannot start a process to prepare the corpus ({os.strerror(error.errno or 0).lower()}): memory, processes "
                "or descriptors are short; free some, or raise their limits (ulimit -u, ulimit -n)"
            ) from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self._from = self._process.stdin, self._process.stdout
        self._unsent = [work]

    def ask(self, item: Any) -> Any:
        try:
            while self._unsent:
                pickle.dump(self._unsent.pop(), self._to, pickle.HIGHEST_PROTOCOL)
            pickle.dump(item, self._to, pickle.HIGHEST_PROTOCOL)
            self._to.flush()
            well, answer = pickle.load(self._from)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            code = self._ended()
            how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
            raise BertkitError(
                f"a process that prepared the corpus ended {how}: memory may be short; free some, then run again"
            ) from error
        if well:
            return answer
        raise answer

    def _ended(self) -> int:
        """The exit code; a process that goes on, having sent something that is no answer, is ended."""
        try:
            return self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._from.close()
        with contextlib.suppress(OSError):  # what it was not told any more
            self._to.close()


def serve() -> None:
    """What a worker process does: takes the work, then item after item, and answers each."""
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not lie among the answers
    # Where the process that asks is gone, its last message may be cut off, and nobody waits for an answer.
    with contextlib.suppress(EOFError, pickle.UnpicklingError, BrokenPipeError):
        work = pickle.load(asked)
        while True:
            answers.write(_answer(work, pickle.load(asked)))
            answers.flush()
    os._exit(0)  # not to flush an answer that nobody reads


def _answer(work: Callable[[Any], Any], item: Any) -> bytes:
    try:
        return pickle.dumps((True, work(item)), pickle.HIGHEST_PROTOCOL)
    except BaseException as error:
        error.add_note(f"in a worker process:\n{traceback.format_exc()}")
        with contextlib.suppress(Exception):
            return pickle.dumps((False, error))
        return pickle.dumps((False, RuntimeError(traceback.format_exc())))
