"""Refuses a resume that is not the same run: of another kind, with other settings, data or options, or of another model."""

import os
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.structured import read_toml
from bertkit.settings.recipes import dump, flat
from bertkit.settings.schema import Settings
from bertkit.training.record import read_record
from bertkit.training.run_folder import RECIPE

# Settings that may differ between a run and its resume: they do not change what is learned from, only when it is evaluated or
# saved, and how it fits into memory. (A micro-batch of another size rounds differently, and draws other dropout.)
_FREE = {
    f"train.{name}" for name in ("micro_batch_size", "logging_steps", "eval_steps", "save_steps", "save_total_limit")
} | {"train.num_workers", "train.report_to", "train.skip_nonfinite_steps", "train.torch_compile"}


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
