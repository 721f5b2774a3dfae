"""Ranks of one run on this machine, each started by hand: no launcher ends the others when one ends."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CLI = "from bertkit.__main__ import main; main()"


def start_ranks(folder: Path, commands: Sequence[Sequence[str]], code: str = CLI) -> list[subprocess.Popen]:
    """Starts ``python -c code`` once for each list of arguments, as so many ranks; their stderr is piped."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = []
    for rank, arguments in enumerate(commands):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": len(commands), "LOCAL_WORLD_SIZE": len(commands),
                 "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1, "HF_HUB_OFFLINE": 1,
                 "BERTKIT_CACHE": folder / f"cache-{rank}"}  # fmt: skip
        environment = {**os.environ, **{name: str(value) for name, value in place.items()}}
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
    return started


def endings(ranks: Sequence[subprocess.Popen], seconds: float) -> list[tuple[int, list[str]]]:
    """The exit code and the lines on stderr of each rank; one that has not ended after so long fails the test."""
    try:
        said = [rank.communicate(timeout=seconds)[1].strip().splitlines() for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.wait()
            rank.stderr.close()
    return [(rank.returncode, lines) for rank, lines in zip(ranks, said, strict=True)]
