"""Endings of a command that are not bugs: a user's errors, signals, and errors of the machine."""

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Real

MOST_SECONDS = 10**9
"""The longest time that can be asked for: 31 years."""
_RUST = re.compile(r"\(os error (\d+)\)")
# torch has no exception of its own for the memory of a CPU.
_NO_MEMORY = re.compile(r"DefaultCPUAllocator|can't allocate memory|std::bad_alloc")


class BertkitError(Exception):
    """A user's error, in one clear line: what is wrong, where, what is allowed, and what to do.

    The command line prints it as ``error: …`` and exits with 1, as it does with the errors that ``from_outside`` knows.
    Any other exception is a bug in bertkit and keeps its traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))  # texts that it quotes may have line breaks


def did_you_mean(name: str, choices: Sequence[str]) -> str:
    """`` Did you mean 'tiny'?``, to go into an error; empty where no choice is near."""
    near = difflib.get_close_matches(name, choices, n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def os_error_number(error: BaseException) -> int | None:
    """The operating system's number (``errno``) of an error, whichever library passed it on; None for other errors.

    Libraries written in Rust (safetensors, tokenizers) say "os error N" in exceptions of their own.
    """
    if isinstance(error, OSError):
        return error.errno
    said = _RUST.search(str(error))
    return int(said[1]) if said else None


def from_outside(error: BaseException) -> str | None:
    """A line that describes an error of the machine (its files, its memory); None for any other error."""
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
    """Whether a library failed: with an exception, or with a panic of Rust code, which is not an ``Exception``."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


@contextmanager
def rules_applied(text: str = "") -> Iterator[None]:
    """Turns a failure of a tokenizer in the block, such as a pattern that gives up, into a BertkitError.

    Args:
        text: the text that the tokenizer reads, for the message.
    """
    try:
        yield
    except BaseException as error:
        if not is_library_failure(error):
            raise
        what = f"'{text[:60]}'" if text else "a text"
        raise BertkitError(f"the tokenizer cannot read {what}: {str(error)[:200]}; give another tokenizer") from error


class Interrupted(BaseException):
    """A signal has stopped a command, which has saved its state, or left nothing half-written.

    ``exit_code`` is 130 after SIGINT and 143 after SIGTERM; the message says how to continue. Like ``KeyboardInterrupt``
    it is no ``Exception``, as it may be raised anywhere and must not be caught by code that handles other errors.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def check_seconds(name: str, seconds: object) -> None:
    """Raises a BertkitError unless an argument with this name is a time: a number above 0, of ``MOST_SECONDS`` at most."""
    if isinstance(seconds, bool) or not (isinstance(seconds, Real) and 0 < float(seconds) <= MOST_SECONDS):
        raise BertkitError(
            f"{name} must be a number of seconds, more than 0 and {MOST_SECONDS:,} at most, got {seconds!r}"
        )
