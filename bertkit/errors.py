"""The two kinds of ending that are not a bug."""


class BertkitError(Exception):
    """A user's error: one clear line that says what is wrong, where, what is allowed and what to do.

    The command line prints it as ``error: …`` and exits with 1. Anything else that escapes is a bug of ours
    and keeps its traceback.
    """


class Interrupted(Exception):  # noqa: N818 (an ending, not an error)
    """A run that was asked to stop by a signal and has saved its state.

    ``exit_code`` is 130 after SIGINT and 143 after SIGTERM; the message says how to go on.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
