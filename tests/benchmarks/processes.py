"""``python -m benchmarks mask-fill`` and ``start``: whole processes, from the command to its end."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.apart import once
from benchmarks.rounds import OURS, Figure, Turn, compare
from benchmarks.stand_in import write_random_bert
from bertkit.errors import BertkitError

TEXT = "the old woman opened the [MASK] and looked at the sea ."
FILL_MASK = """import sys
from transformers import pipeline
for guess in pipeline("fill-mask", model=sys.argv[1])(sys.argv[2]):
    print(guess["score"], guess["token_str"])
"""
_BERTKIT = [sys.executable, "-m", "bertkit"]


def bench_mask_fill(model: str | None, recipe: str, tokenizer: str | None, rounds: int) -> dict[str, Any]:
    """Seconds from the command to the guesses for one text, ours and the fill-mask pipeline's.

    Args:
        model: a folder or a hub name; None makes one of the recipe's size with random weights.
        recipe: a name of ``bertkit recipes``.
        tokenizer: of the model that is made; None takes one with as many pieces as bert-base-uncased.
        rounds: of both.
    """
    with tempfile.TemporaryDirectory(prefix="bertkit-bench-") as made:
        folder = _local(model) if model else Path(made)
        if model is None:
            once(partial(write_random_bert, folder, recipe, tokenizer))
        commands = {
            OURS: [*_BERTKIT, "mask-fill", "--model", str(folder), TEXT],
            'pipeline("fill-mask")': [sys.executable, "-c", FILL_MASK, str(folder), TEXT],
        }
        # All of the model is there: neither is to ask the hub anything.
        figures = _take_turns(commands, rounds, {"HF_HUB_OFFLINE": "1"})
        size = sum(file.stat().st_size for file in folder.glob("*.safetensors")) / 1e6
    return _result(f"mask-fill, cold, with {model or f'a new {recipe}'} ({size:,.0f} MB of weights)", figures)


def bench_start(rounds: int) -> dict[str, Any]:
    """Seconds of `bertkit --help`, and of importing what it does without."""
    commands = {
        OURS: [*_BERTKIT, "--help"],
        'python -c "import transformers, torch"': [sys.executable, "-c", "import transformers, torch"],
    }
    return _result("bertkit --help", _take_turns(commands, rounds, {}))


def _local(model: str) -> Path:
    from bertkit.models.folder import bert_folder

    return bert_folder(model)


def _take_turns(commands: Mapping[str, Sequence[str]], rounds: int, more: Mapping[str, str]) -> list[Figure]:
    contestants = {name: partial(whole_process, command, {**os.environ, **more}) for name, command in commands.items()}
    for run in contestants.values():
        run()  # files come from the disk only once, and modules are compiled
    return compare(contestants, rounds)


def _result(work: str, figures: Sequence[Figure]) -> dict[str, Any]:
    return {
        "work": work,
        "unit": "s",
        "device": f"{os.cpu_count()} CPUs",
        "figures": [{**one.as_json(), "seconds": 1 / one.speed, "share_of_its_time": 1 / one.ratio} for one in figures],
    }


def whole_process(command: Sequence[str], env: Mapping[str, str]) -> Turn:
    """Runs a command once.

    Raises:
        BertkitError: it failed, with the last line that it wrote on stderr.
    """
    with tempfile.TemporaryFile() as errors:
        started_at_s = time.perf_counter()
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=errors)
        memory_bytes = _ended(process)
        seconds = time.perf_counter() - started_at_s
        if process.returncode:
            errors.seek(0)
            last = errors.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise BertkitError(f"{Path(command[0]).name} {command[1]} {command[2]} failed: {last}")
    return Turn(1, seconds, memory_bytes=memory_bytes)


def _ended(process: "subprocess.Popen[bytes]") -> int | None:
    """Waits for the end; the most memory the process held, where the system tells."""
    try:
        if not hasattr(os, "wait4"):
            process.wait()
            return None
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    except BaseException:
        process.kill()
        process.wait()
        raise
