"""A run's folder: it is used by one run at a time, never overwritten unasked, and records what was run."""

import os
import re
import shutil
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.atomic import TEMPORARY, contents, disk_errors, write_text
from bertkit.io.space import check_space
from bertkit.io.structured import read_toml
from bertkit.launcher import is_main_process
from bertkit.settings.recipes import dump
from bertkit.settings.schema import Settings, TrainSettings
from bertkit.training.record import MANIFEST, RUN, RunRecord, read_record, write_record

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
# Settings that may differ between a run and its resume: they do not change what is learned from, only when it is evaluated or
# saved, and how it fits into memory. (A micro-batch of another size rounds differently, and draws other dropout.)
_FREE = {
    f"train.{name}" for name in ("micro_batch_size", "logging_steps", "eval_steps", "save_steps", "save_total_limit")
} | {"train.num_workers", "train.report_to", "train.skip_nonfinite_steps", "train.torch_compile"}


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
def claimed(out: Path, resume: bool, overwrite: bool) -> Iterator[None]:
    """Reserves a run's folder for this process while the block runs; of several ranks the main one reserves it.

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
        for torn in out.glob(f"{TEMPORARY}*"):  # left by a run that was killed while it wrote
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


def check_same_kind(out: Path, kind: str) -> None:
    """Refuses a resume, as a run of this kind ("pretrain" or "finetune"), of a run that was begun as another.

    Raises:
        BertkitError: the message names both.
    """
    began = read_record(out).kind
    if began not in ("", kind):
        raise BertkitError(
            f"cannot resume {out} by {kind}: it was begun by bertkit {began}; name another folder with --out, or start anew "
            "with --overwrite"
        )


def check_same_maths(out: Path, settings: Settings, fingerprint: str, unused: Collection[str] = ()) -> None:
    """Refuses a resume whose settings or data differ from those that the run began with.

    Args:
        out: the run's folder.
        settings: as for ``check_same_settings``.
        fingerprint: of the data and the tokenizer of the resume.
        unused: as for ``check_same_settings``.

    Raises:
        BertkitError: the message names the first setting that differs, or the data.
    """
    check_same_settings(out, settings, unused)
    recorded = read_record(out).data_fingerprint
    if recorded and recorded != fingerprint:
        raise BertkitError(
            f"cannot resume {out}: what its text or rows hold, or its tokenizer, has changed since it was begun; give the same, "
            "or start anew with --overwrite"
        )


def check_same_settings(out: Path, settings: Settings, unused: Collection[str] = ()) -> None:
    """Refuses a resume whose settings differ from those that the run began with.

    A setting that did not exist when the run began had what is its default now.

    Args:
        out: the run's folder.
        settings: all settings of the resume.
        unused: names of settings that nothing in this run reads; earlier versions recorded any value of them.

    Raises:
        BertkitError: the message names the first setting that differs.
    """
    path = out / RECIPE
    if not path.is_file():
        return
    defaults, now = (flat(tomllib.loads(dump(one))) for one in (type(settings)(), settings))
    before = defaults | flat(read_toml(path))
    for name in sorted(before.keys() | now.keys()):
        if name not in _FREE and name not in unused and before.get(name) != now.get(name):
            raise BertkitError(
                f"cannot resume {out} with {name} = {now.get(name)}: it was begun with {before.get(name)}; "
                "give the same settings, or start anew with --overwrite"
            )


def say_other_precision(out: Path, precision: str) -> None:
    """Says where a resume computes in another precision than the run began with, as ``auto`` does on another device."""
    names = {"no": "fp32"}
    began = read_record(out).facts.get("mixed_precision", precision)
    if began != precision:
        told = f"{out} was begun in {names.get(began, began)} and goes on in {names.get(precision, precision)}"
        console.warn(console.plain(f"{told} (--mixed-precision auto): not to the bit what its run would have been"))


def check_same_base(out: Path, model: str | None) -> None:
    """Refuses a resume that goes on from another model than the run began with.

    Raises:
        BertkitError: the message names both.
    """
    began = read_record(out).facts
    if "base_model" in began:
        _check_same(out, "--model", began["base_model"], model)


def check_same_given(out: Path, given: Mapping[str, Any]) -> None:
    """Refuses a resume with another value of an option than the run began with; a run of before they were recorded takes any.

    Args:
        out: the run's folder.
        given: the values by option, as ``RunRecord.given``.

    Raises:
        BertkitError: the message names the first option that differs, and both values.
    """
    began = read_record(out).given
    for flag in (flag for flag in given if flag in began):
        _check_same(out, flag, began[flag], given[flag])


def _check_same(out: Path, flag: str, began: Any, now: Any) -> None:
    if not _is_same(began, now):
        before, with_it = (f"with {flag}{_typed(value)}" if value else f"without {flag}" for value in (began, now))
        raise BertkitError(
            f"cannot resume {out} {with_it}: it was begun {before}; give the same, or start anew with --overwrite"
        )


def _typed(value: Any) -> str:
    """What stands behind an option in a command; nothing of one whose value may change."""
    if value is True:
        return ""
    return (
        f" {' '.join(map(str, value))}" if isinstance(value, Sequence) and not isinstance(value, str) else f" {value}"
    )


def _is_same(began: Any, now: Any) -> bool:
    """Whether two values of an option are the same; of names of files and folders, whether they name the same one."""
    if isinstance(began, list) and isinstance(now, Sequence):
        return all(map(_is_same, began, now))
    if not isinstance(began, str) or not isinstance(now, str) or not os.path.exists(now):
        return bool(began == now)
    if os.path.exists(began):
        return os.path.samefile(began, now)
    return Path(began).name == Path(now).resolve().name  # it was moved, or is seen from another folder


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


def flat(tables: dict[str, Any]) -> dict[str, Any]:
    """Nested tables with dotted keys: ``{"train": {"seed": 1}}`` → ``{"train.seed": 1}``."""
    values: dict[str, Any] = {}
    # Without recursion: the file may be anybody's, and dotted keys nest tables as deeply as they like.
    waiting = list(reversed(tables.items()))
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{name}.{inner}", one) for inner, one in reversed(value.items())]
        else:
            values[name] = value
    return values


def record(out: Path, settings: Settings, facts: dict[str, Any]) -> RunRecord:
    """Writes ``recipe.toml`` (all settings of the run, so that it can be repeated) and ``run.json``; returns the latter."""
    write_text(out / RECIPE, dump(settings))
    return write_record(out, facts)
