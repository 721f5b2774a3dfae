"""The two kinds of ending that are not a bug."""


class BertkitError(Exception):
    """A user's error: one clear line that says what is wrong, where, what is allowed and what to do.

    The command line prints it as ``error: …`` and exits with 1. Anything else that escapes is a bug of ours
    and keeps its traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))  # what it quotes may hold line breaks


def is_library_failure(error: BaseException) -> bool:
    """Whether a library raised this: an exception, or the panic of one written in Rust (which is none)."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


class Interrupted(Exception):  # noqa: N818 (an ending, not an error)
    """A run that was asked to stop by a signal and has saved its state.

    ``exit_code`` is 130 after SIGINT and 143 after SIGTERM; the message says how to go on.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
