"""A run's folder: it is used by one run at a time, never overwritten unasked, and records what was run."""

import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bertkit.errors import BertkitError
from bertkit.io.atomic import TEMPORARY, contents, disk_errors, write_text
from bertkit.io.space import check_space
from bertkit.launcher import is_main_process
from bertkit.settings.recipes import dump
from bertkit.settings.schema import Settings, TrainSettings
from bertkit.training.record import MANIFEST, RUN, RunRecord, write_record

RECIPE, LOCK = "recipe.toml", ".lock"
METRICS, RESULTS, PREDICTIONS = "metrics.jsonl", "eval_results.json", "predictions.jsonl"
TRACKED = "bertkit"
"""The project's name in trackers, and so the name of their folder."""
_OURS: tuple[str, ...] = (
    RUN,
    RECIPE,
    LOCK,
    METRICS,
    "README.md",
    "config.json",
    "model.safetensors",
    "features.safetensors",
    "tokenizer.json",
)
_OURS += ("tokenizer_config.json", "vocab.txt", RESULTS, PREDICTIONS)
_RECORD = (RUN, RECIPE, METRICS)
"""Files that every run writes before its first step."""
GO_ON = "the same command with --resume goes on"
_ORPHANS_END_WITHIN_S = 10.0
"""How long a resume waits for the lock: the data workers of a killed run hold it until they notice, some 5 s later."""


def check_one_of(out: Path, resume: bool, overwrite: bool) -> None:
    """Raises a BertkitError if a run is to go on and to be replaced."""
    if resume and overwrite:
        raise BertkitError(
            f"--resume goes on with the run in {out}, and --overwrite replaces it: leave one of them out"
        )


def _check_name(out: Path) -> None:
    try:
        str(out).encode()
    except UnicodeEncodeError:
        raise BertkitError(
            f"{out}: a name with bytes that are not UTF-8, under which no tokenizer can be saved: give another folder with --out"
        ) from None


@contextmanager
def claimed(out: Path, resume: bool, overwrite: bool, dry_run: bool = False) -> Iterator[None]:
    """Reserves a run's folder for this process while the block runs; of several ranks the main one reserves it.

    A dry run is refused where the run would be, and leaves the folder as it was.

    Raises:
        BertkitError: the folder is not empty and neither flag is given, or both are; another run uses it; or it cannot be made,
            or not be named so.
    """
    check_one_of(out, resume, overwrite)
    _check_name(out)
    if not is_main_process():
        yield
        return
    from filelock import FileLock, Timeout

    with disk_errors(out):
        made = [folder for folder in (out, *out.parents) if not folder.exists()]
        if out.exists() and not out.is_dir():
            raise BertkitError(f"{out} is a file: give a folder with --out")
        there = [] if made else [path for path in contents(out) if path.name != LOCK]
        if there and not (resume or overwrite):
            raise BertkitError(
                f"{out} is not empty: --resume goes on with its run, --overwrite replaces it, --out names another"
            )
        if resume and not (any(map(_is_of_a_run, there)) or all(map(_is_begun, there))):
            raise BertkitError(
                f"{out} is not empty and holds no run of bertkit to resume: name another folder with --out"
            )
        if resume:
            _check_recorded(out, there)
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / LOCK)
        try:
            lock.acquire(timeout=_ORPHANS_END_WITHIN_S if resume else 0)
        except Timeout:
            raise BertkitError(
                f"another run is at work in {out}: wait for it, or name another folder with --out"
            ) from None
    try:
        if overwrite:
            _check_ours(out)
        for torn in () if dry_run else out.glob(f"{TEMPORARY}*"):  # left by a run that was killed while it wrote
            _remove(torn)
        yield
    finally:
        lock.release()
        with suppress(OSError):  # the folder is not empty, or gone, or no longer ours
            (out / LOCK).unlink()
            for folder in made:  # empty: the run failed before it wrote anything
                folder.rmdir()


def clear(out: Path) -> None:
    """Removes the files of an earlier run, for ``--overwrite``. Called once everything is ready that the new run needs.

    Raises:
        BertkitError: the folder holds something that no run wrote (then nothing is removed), or a file cannot be removed.
    """
    if is_main_process():
        _check_ours(out)
        with disk_errors(out):
            # The files by which a run's folder is known go last: so a folder that was half cleared, as by a kill, is
            # still known as one.
            for path in sorted(contents(out), key=lambda path: path.name in _RECORD):
                if path.name != LOCK:
                    _remove(path)


def check_checkpoints_fit(
    out: Path, parameters: int, total_steps: int, settings: TrainSettings, keeps_best: bool = False
) -> None:
    """Refuses, before the first step, a run whose checkpoints would not fit on its disk.

    A checkpoint holds the weights and AdamW's two moments in fp32: 12 bytes per parameter. ``save_total_limit`` of them
    are kept, one more is written before the oldest is removed, and the model at the end takes 4 bytes per parameter. A
    run that keeps its best weights keeps their checkpoint beside these, and may save after each evaluation.
    What lies in the folder already counts as free.

    Raises:
        BertkitError: the disk is too small; the message says what is needed and what is free.
    """
    every = [settings.save_steps, *([settings.eval_steps] if keeps_best and settings.eval_steps else [])]
    saves = 1 + sum((total_steps - 1) // steps for steps in every)  # the last step saves in any case
    checkpoints = min(settings.save_total_limit + (2 if keeps_best else 1), saves)
    needed = parameters * (12 * checkpoints + 4)
    check_space(out, needed, f"{checkpoints:,} checkpoints with the model take", ", or lower --set save_total_limit")


def _check_ours(out: Path) -> None:
    paths = [path for path in contents(out) if path.name != LOCK]
    foreign = next((path for path in paths if not _is_ours(path)), None)
    if foreign is None and paths and not (any(map(_is_of_a_run, paths)) or all(map(_is_begun, paths))):
        foreign = paths[0]
    if foreign is not None:
        raise BertkitError(f"{out} holds '{foreign.name}', which no run of bertkit wrote: nothing was removed")


def _check_recorded(out: Path, there: Collection[Path]) -> None:
    """Refuses to resume from checkpoints of which nothing says what they were begun with: settings, data, model.

    A run writes both files before its first step.
    """
    checkpoint = next((path.name for path in there if path.name.startswith("checkpoint-") and _is_of_a_run(path)), "")
    for name in (name for name in (RUN, RECIPE) if checkpoint and not (out / name).is_file()):
        raise BertkitError(
            f"cannot resume {out}: it has {checkpoint}, but no {name}, which says what it was begun with; put that file back, "
            "start anew with --overwrite, or name another folder with --out"
        )


def _is_of_a_run(path: Path) -> bool:
    """Whether a file or folder shows that the folder it lies in is that of a run, or of a sweep of runs."""
    inside = (RUN, MANIFEST, *((RECIPE,) if "seed=" in path.name else ()))
    return path.name in _RECORD or any((path / name).is_file() for name in inside)


def _is_begun(path: Path) -> bool:
    """Whether a file or folder is what a run leaves that was killed before its record was written."""
    is_small = path.name == LOCK or path.name.startswith(TEMPORARY)
    return is_small or (path.is_dir() and all(map(_is_begun, contents(path))))


def _is_ours(path: Path) -> bool:
    if path.is_dir() and not path.is_symlink():
        a_run_of_a_sweep = "seed=" in path.name and ((path / RUN).is_file() or all(map(_is_ours, contents(path))))
        tracked = path.name == TRACKED and any(path.glob("events.out.*"))
        written = re.fullmatch(r"checkpoint-\d+", path.name) is not None or path.name.startswith(TEMPORARY)
        return written or a_run_of_a_sweep or tracked
    return path.name in _OURS or path.name.startswith(("not-finite-step-", TEMPORARY))


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def check_apart(out: Path, needed: Mapping[str, str | None]) -> None:
    """Refuses to overwrite a folder with a model or tokenizer in it that the new run, or its resume, has to read.

    Args:
        out: the folder of the run.
        needed: what the run reads, by the flag that names it.

    Raises:
        BertkitError: one of them is the folder, or lies in it.
    """
    for flag, given in needed.items():
        if given and os.path.exists(given) and Path(given).resolve().is_relative_to(out.resolve()):
            raise BertkitError(
                f"--overwrite would remove {out}, and {flag} {given} is there: name another folder with --out"
            )


def record(out: Path, settings: Settings, facts: dict[str, Any]) -> RunRecord:
    """Writes ``recipe.toml`` (all settings of the run, so that it can be repeated) and ``run.json``; returns the latter."""
    write_text(out / RECIPE, dump(settings))
    return write_record(out, facts)
