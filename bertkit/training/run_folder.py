"""A run's folder: one run at a time, nothing of a person's overwritten unasked, and a record of what was run."""

import json
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from bertkit import __version__, console
from bertkit.errors import BertkitError
from bertkit.io.atomic import write_json, write_text
from bertkit.settings.recipes import dump
from bertkit.settings.schema import Settings

RUN, RECIPE, LOCK = "run.json", "recipe.toml", ".lock"
TRACKED = "bertkit"
"""The project's name for trackers, and so of their folder."""
_OURS: tuple[str, ...] = (
    RUN,
    RECIPE,
    LOCK,
    "metrics.jsonl",
    "README.md",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
)
_OURS += ("tokenizer_config.json", "vocab.txt", "eval_results.json", "predictions.jsonl")
_PACKAGES = ("torch", "transformers", "tokenizers", "accelerate", "datasets", "numpy")
# May differ between a run and its resume: they decide when to look and to save, or how to fit into memory.
_FREE = {
    f"train.{name}" for name in ("micro_batch_size", "logging_steps", "eval_steps", "save_steps", "save_total_limit")
} | {"train.num_workers", "train.report_to", "train.skip_nonfinite_steps", "train.torch_compile"}

S = TypeVar("S", bound=Settings)


@contextmanager
def claimed(out: Path, resume: bool, overwrite: bool) -> Iterator[None]:
    """Holds a run's folder for this process (of several ranks: for the main one) while the block runs.

    Raises:
        BertkitError: it is not empty and neither flag is given; another run is at work in it; it cannot be made.
    """
    if not console.is_main_process():
        yield
        return
    from filelock import FileLock, Timeout

    if out.exists() and not out.is_dir():
        raise BertkitError(f"{out} is a file: give a folder with --out")
    found = sorted(path.name for path in out.iterdir() if path.name != LOCK) if out.exists() else []
    if found and not (resume or overwrite):
        raise BertkitError(
            f"{out} is not empty: --resume goes on with its run, --overwrite replaces it, --out names another"
        )
    is_new = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise BertkitError(f"another run is at work in {out}: wait for it, or name another folder with --out") from None
    except OSError as error:
        raise BertkitError(f"cannot write into {out}: {error.strerror}") from error
    try:
        if overwrite and not resume:
            _check_ours(out)
        for torn in out.glob(".tmp-*"):  # of a run that was killed while it wrote
            shutil.rmtree(torn) if torn.is_dir() else torn.unlink()
        yield
    finally:
        lock.release()
        (out / LOCK).unlink(missing_ok=True)
        if is_new and not any(out.iterdir()):
            out.rmdir()  # the run failed before it left anything


def clear(out: Path) -> None:
    """Removes what an earlier run has left, for ``--overwrite``: once all is ready that the new one needs.

    Raises:
        BertkitError: there is something else in the folder; nothing was removed.
    """
    if console.is_main_process():
        _check_ours(out)
        for path in out.iterdir():
            if path.name != LOCK:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _check_ours(out: Path) -> None:
    foreign = sorted(path.name for path in out.iterdir() if not _is_ours(path))
    if foreign:
        raise BertkitError(f"{out} holds '{foreign[0]}', which no run of bertkit wrote: nothing was removed")


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        a_run_of_a_sweep = "seed=" in path.name and (path / RUN).is_file()
        tracked = path.name == TRACKED and any(path.glob("events.out.*"))
        return path.name.startswith(("checkpoint-", ".tmp-")) or a_run_of_a_sweep or tracked
    return path.name in _OURS or path.name.startswith(("not-finite-step-", ".tmp-"))


def is_finished(out: Path) -> bool:
    """Whether the run in a folder has ended."""
    return bool(read_run(out).get("finished"))


def read_run(out: Path) -> dict[str, Any]:
    """A run's ``run.json``; empty where there is none."""
    try:
        loaded = json.loads((out / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def check_same_maths(out: Path, settings: Settings, fingerprint: str) -> None:
    """Refuses a resume that would train something else than what was begun.

    Raises:
        BertkitError: naming the first setting that differs, or the data.
    """
    import tomllib

    path = out / RECIPE
    if not path.is_file():
        return
    before = flat(tomllib.loads(path.read_text(encoding="utf-8")))
    now = flat(tomllib.loads(dump(settings)))
    for name in sorted(before.keys() | now.keys()):
        if name not in _FREE and before.get(name) != now.get(name):
            raise BertkitError(
                f"cannot resume {out} with {name} = {now.get(name)}: it was begun with {before.get(name)}; "
                "give the same settings, or start anew with --overwrite"
            )
    known = read_run(out).get("data_fingerprint")
    if known and known != fingerprint:
        raise BertkitError(f"cannot resume {out}: its data or tokenizer has changed since it was begun")


def flat(tables: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables by dotted keys: ``{"train": {"seed": 1}}`` → ``{"train.seed": 1}``."""
    found: dict[str, Any] = {}
    for name, value in tables.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def record(out: Path, settings: Settings, facts: dict[str, Any]) -> dict[str, Any]:
    """Writes ``recipe.toml`` (resolved: it reproduces the run) and ``run.json``; returns the latter."""
    run = {
        "command": " ".join(["bertkit", *sys.argv[1:]]),
        "bertkit": __version__,
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        **facts,
    }
    write_text(out / RECIPE, dump(settings))
    write_json(out / RUN, run)
    return run
