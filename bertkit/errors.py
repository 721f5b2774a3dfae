"""The endings that are not a bug: a user's errors, signals, and what the machine outside of us says."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

_RUST = re.compile(r"\(os error (\d+)\)")
# torch has no exception of its own for the memory of a CPU.
_NO_MEMORY = re.compile(r"DefaultCPUAllocator|can't allocate memory|std::bad_alloc")


class BertkitError(Exception):
    """A user's error: one clear line that says what is wrong, where, what is allowed and what to do.

    The command line prints it as ``error: …`` and exits with 1. So it does with what ``from_outside`` knows. Anything
    else that escapes is a bug of ours and keeps its traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))  # what it quotes may hold line breaks


def os_error_number(error: BaseException) -> int | None:
    """The operating system's number (``errno``) of an error that comes from it, whatever library passed it on.

    What is written by Rust (safetensors, tokenizers) says "os error N" in an exception of its own.
    """
    if isinstance(error, OSError):
        return error.errno
    said = _RUST.search(str(error))
    return int(said[1]) if said else None


def from_outside(error: BaseException) -> str | None:
    """What to say, in a line, of an error of the machine: its files, its memory; None for a bug of ours."""
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _NO_MEMORY.search(str(error))):
        return (
            "out of memory: use a smaller model or --batch-size, a smaller --micro-batch where there is one, or a "
            "machine with more memory"
        )
    number = os_error_number(error)
    if number is None:
        return None
    file = getattr(error, "filename", None)
    reason = os.strerror(number).lower()
    return reason if file is None else f"{os.fsdecode(file) if not isinstance(file, int) else file}: {reason}"


def is_library_failure(error: BaseException) -> bool:
    """Whether a library raised this: an exception, or the panic of one written in Rust (which is none)."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


@contextmanager
def rules_applied(text: str = "") -> Iterator[None]:
    """While a tokenizer reads: where a pattern of its rules gives up, or anything else of it fails, that is one line.

    Args:
        text: that is read, for the line.
    """
    try:
        yield
    except BaseException as error:
        if not is_library_failure(error):
            raise
        what = f"'{text[:60]}'" if text else "a text"
        raise BertkitError(f"the tokenizer cannot read {what}: {str(error)[:200]}; give another tokenizer") from error


class Interrupted(BaseException):
    """A command that was asked to stop by a signal: it has saved its state, or left nothing half-made.

    ``exit_code`` is 130 after SIGINT and 143 after SIGTERM; the message says how to go on. As it comes at any moment, it
    is none of the exceptions that code around it may expect, just as ``KeyboardInterrupt``.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
