"""bertkit's command line in processes that are forked from one which has imported everything: a start takes no 10 s."""

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

SERVE = "import sys; sys.path[:] = {path!r}; from helpers.forked import serve; serve()"
_IMPORTED = (
    "bertkit.cli", "bertkit.corpus.prepare", "bertkit.finetuning.job", "bertkit.finetuning.run", "bertkit.hardware",
    "bertkit.finetuning.evaluation", "bertkit.inference.exporting.export", "bertkit.models.bert", "bertkit.models.headed",
    "bertkit.models.saved", "bertkit.pretraining.run", "bertkit.pretraining.objective", "bertkit.training.loop",
    "bertkit.models.card", "bertkit.finetuning.card", "bertkit.pretraining.card", "sklearn.metrics", "accelerate.utils",
    "transformers.models.bert.modeling_bert", "transformers.models.bert.tokenization_bert", "torch._dynamo", "torch.onnx",
    "onnxruntime.quantization",
)  # fmt: skip


class Forked:
    """Starts commands; use it as a context.

    Args:
        folder: where the commands run; their cache and temporary folder lie in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._logs = folder, dict[int, Path]()
        (folder / "tmp").mkdir()
        place = {"BERTKIT_CACHE": folder / "cache", "TMPDIR": folder / "tmp", "HF_HUB_OFFLINE": 1, "OMP_NUM_THREADS": 1,
                 "TOKENIZERS_PARALLELISM": "false", "COLUMNS": 300}  # fmt: skip
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVE.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **{name: str(value) for name, value in place.items()}},
            cwd=folder,
        )

    def __enter__(self) -> "Forked":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stdin.close()
        self._server.wait(60)
        self._server.stdout.close()

    def start(
        self,
        arguments: Sequence[str],
        environment: dict[str, str] | None = None,
        restarts: int = -1,
        folder: Path | None = None,
    ) -> int:
        """The number of the process, which runs the arguments; with ``restarts``, of a torchrun of two ranks that do."""
        log = self._folder / f"said-{environment['RANK'] if environment else 0}.txt"
        asked = {"arguments": [*arguments], "environment": environment or {}, "log": str(log), "restarts": restarts}
        process = int(self._ask({**asked, "folder": str(folder or self._folder)}))
        self._logs[process] = log
        return process

    def run(
        self,
        folder: Path,
        *arguments: str,
        check: bool = True,
        given: str = "",
        environment: dict[str, str] | None = None,
    ) -> "subprocess.CompletedProcess[str]":
        """Runs a command in ``folder`` to its end, as ``subprocess.run`` does.

        Args:
            check: assert that it ends with 0.
            given: what it reads from standard input.
            environment: variables beside those of all commands.
        """
        given_, out, log = (self._folder / f"run-{name}.txt" for name in ("given", "out", "said"))
        given_.write_text(given, encoding="utf-8")
        asked = {"arguments": arguments, "environment": environment or {}, "log": str(log), "restarts": -1}
        process = int(self._ask({**asked, "folder": str(folder), "given": str(given_), "out": str(out)}))
        code = int(self._ask({"wait": process}))
        said = [path.read_text(encoding="utf-8") for path in (out, log)]
        assert not check or code == 0, said[1]
        return subprocess.CompletedProcess(arguments, code, *said)

    def start_ranks(self, arguments: Sequence[str], ranks: int, folder: Path | None = None) -> list[int]:
        """So many ranks of one run, without a launcher."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
        place |= {"WORLD_SIZE": str(ranks), "LOCAL_WORLD_SIZE": str(ranks)}
        own = [{**place, "RANK": str(one), "LOCAL_RANK": str(one)} for one in range(ranks)]
        return [self.start(arguments, environment, folder=folder) for environment in own]

    def ending(self, process: int) -> tuple[int, str]:
        """Waits for a process: its exit code, -N where signal N ended it, and what it said."""
        code = int(self._ask({"wait": process}))
        return code, self._logs[process].read_text(encoding="utf-8", errors="replace")

    def _ask(self, what: dict[str, Any]) -> str:
        self._server.stdin.write(json.dumps(what) + "\n")
        self._server.stdin.flush()
        return self._server.stdout.readline()


def is_at_work(process: int) -> bool:
    """Whether a process that was started has not ended yet; until its ending is waited for."""
    return psutil.Process(process).status() != psutil.STATUS_ZOMBIE


def serve() -> None:
    """What the process does that has imported everything: forks, and waits for those it has forked."""
    for name in _IMPORTED:
        with suppress(ImportError):  # what comes with an extra
            importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        if "wait" in asked:
            print(os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]), flush=True)
            continue
        child = os.fork()
        if not child:
            _run(**asked)
        print(child, flush=True)
    os._exit(0)  # to take all that was imported down would be seconds of work


def _run(
    arguments: list[str],
    environment: dict[str, str],
    log: str,
    restarts: int,
    folder: str,
    given: str = os.devnull,
    out: str | None = None,
) -> None:
    os.chdir(folder)
    said = _emptied(log)
    os.dup2(os.open(given, os.O_RDONLY), 0)
    os.dup2(_emptied(out) if out else said, 1)
    os.dup2(said, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    code = 0
    try:
        _command(arguments) if restarts < 0 else _launch(arguments, restarts)
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(bool(ending.code))
    except KeyboardInterrupt:  # before the command had begun
        code = 130
    except BaseException:
        traceback.print_exc()
        code = 98
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command is over
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _emptied(path: str) -> int:
    return os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND)


def _command(arguments: list[str]) -> None:
    from bertkit.__main__ import main

    sys.argv = ["bertkit", *arguments]
    main()


def _launch(arguments: list[str], restarts: int) -> None:
    """What ``torchrun --nproc_per_node 2 --max-restarts N`` does, but that its ranks are forked."""
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        1, 1, 2, rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=restarts, start_method="fork",
        monitor_interval=0.1,
    )  # fmt: skip
    elastic_launch(config, _command)(arguments)
