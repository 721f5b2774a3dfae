"""``python -m bertkit``, so that ``torchrun -m bertkit`` and ``accelerate launch -m bertkit`` work."""

import os
import sys
import time
import traceback
from typing import NoReturn


def main() -> None:
    """Runs the command line; even Ctrl-C during its imports gives no traceback."""
    try:
        _main()
    except KeyboardInterrupt:
        sys.exit(130)


def _main() -> None:
    """Runs the command line and turns known endings into exit codes: 1 for a user's error, 130 and 143 for signals.

    Errors of the machine (files, memory) are one line as well. A bug in bertkit keeps its traceback.
    """
    from bertkit import console, cores, streams
    from bertkit.errors import BertkitError, Interrupted, from_outside
    from bertkit.launcher import check_ranks
    from bertkit.signals import stopped_cleanly

    streams.open_streams()
    cores.share_cores()
    try:
        check_ranks()
        with stopped_cleanly():
            from bertkit.cli import app, options

            options.refuse_empty_places(sys.argv)
            try:
                app()
            finally:
                sys.stdout.flush()
    except Interrupted as ending:
        console.note(console.plain(str(ending)))
        sys.exit(ending.exit_code)
    except BertkitError as error:
        _refuse(str(error))
    except Exception as error:
        said = from_outside(error)
        if said is not None:
            _refuse(said)
        sys.stderr.write(console.masked(traceback.format_exc()))
        sys.exit(1)


def _refuse(said: str) -> NoReturn:
    from bertkit import console, streams

    where, rank = "", os.environ.get("RANK", "0")
    if rank.isdecimal() and int(rank):
        # An error on all ranks is printed by the main one, whose end ends this rank; one on this rank alone is printed here.
        time.sleep(3)
        where = f" (rank {rank})"
    console.err.print(f"[bold red]error{where}:[/] {console.plain(said)}")
    try:
        sys.stdout.flush()
    except OSError:
        streams.abandon_stdout()
    sys.exit(1)


if __name__ == "__main__":
    main()
