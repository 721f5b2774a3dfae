"""``python -m bertkit``, so that ``torchrun -m bertkit`` and ``accelerate launch -m bertkit`` work."""

import os
import sys
import time


def main() -> None:
    """Runs the command line and turns the known endings into exit codes (1 user's error, 130/143 signals)."""
    from bertkit import console
    from bertkit.cli import app
    from bertkit.errors import BertkitError, Interrupted

    try:
        app()
    except BertkitError as error:
        where = ""
        if not console.is_main_process():
            # What befell all ranks the main one says, and its end ends this one; what befell this one alone it says.
            time.sleep(3)
            where = f" (rank {os.environ.get('RANK')})"
        console.err.print(f"[bold red]error{where}:[/] {console.plain(str(error))}")
        sys.exit(1)
    except Interrupted as ending:
        console.note(console.plain(str(ending)))
        sys.exit(ending.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
