"""bertkit's command line in processes that are forked from one which has imported everything: a start takes no 10 s."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SERVE = "import sys; sys.path[:] = {path!r}; from helpers.forked import serve; serve()"
_IMPORTED = (
    "bertkit.cli", "bertkit.corpus.prepare", "bertkit.finetuning.job", "bertkit.finetuning.run", "bertkit.hardware",
    "bertkit.finetuning.evaluation", "bertkit.inference.exporting.export", "bertkit.models.bert", "bertkit.models.headed",
    "bertkit.models.saved", "bertkit.pretraining.run", "bertkit.pretraining.objective", "bertkit.training.loop",
    "bertkit.models.card", "bertkit.finetuning.card", "bertkit.pretraining.card", "sklearn.metrics", "accelerate.utils",
    "transformers.models.bert.modeling_bert", "transformers.models.bert.tokenization_bert", "torch._dynamo",
)  # fmt: skip


class Forked:
    """Starts commands one after the other; use it as a context.

    Args:
        folder: where the commands run; their cache and temporary folder lie in it.
    """

    def __init__(self, folder: Path) -> None:
        self.log = folder / "said.txt"
        (folder / "tmp").mkdir()
        place = {"BERTKIT_CACHE": folder / "cache", "TMPDIR": folder / "tmp", "HF_HUB_OFFLINE": 1, "OMP_NUM_THREADS": 1,
                 "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip
        environment = {**os.environ, **{name: str(value) for name, value in place.items()}}
        code = SERVE.format(path=sys.path)
        self._server = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=folder,
        )

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stdin.close()
        self._server.wait(60)
        self._server.stdout.close()

    def start(self, arguments: Sequence[str]) -> int:
        """The process's number; what it says goes to ``log``, which begins anew."""
        self._server.stdin.write(json.dumps([*arguments]) + "\n")
        self._server.stdin.flush()
        return int(self._server.stdout.readline())

    def ending(self) -> tuple[int, str]:
        """Waits for the command: its exit code, -N where signal N ended it, and what it said."""
        return int(self._server.stdout.readline()), self.log.read_text(encoding="utf-8", errors="replace")


def serve() -> None:
    import importlib

    for name in _IMPORTED:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            with contextlib.suppress(SystemExit):
                _run(json.loads(line))
            os._exit(99)
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def _run(arguments: list[str]) -> None:
    os.setpgid(0, 0)
    said = os.open("said.txt", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(said, 1)
    os.dup2(said, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["bertkit", *arguments]
    code = 0
    try:
        from bertkit.__main__ import main

        main()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(bool(ending.code))
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 98
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
