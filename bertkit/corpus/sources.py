"""What a person names as text: files, folders, globs, URLs, stdin, or datasets on the hub and on disk."""

import functools
import glob
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from bertkit.console import counted
from bertkit.corpus.cache import new_spool
from bertkit.corpus.checksums import damaged
from bertkit.corpus.folders import Found, is_readable_form, listed_kinds, suffix
from bertkit.corpus.store import IDS_FILE, INFO_FILE, is_store
from bertkit.errors import BertkitError
from bertkit.io.atomic import disk_errors
from bertkit.io.remote import AnyFile, files_at, is_url
from bertkit.io.structured import read_json
from bertkit.io.tables import FILE_SUFFIXES, form
from bertkit.launcher import process_count

_HUB_NAME = re.compile(r"(?P<name>(?![.-])[\w.-]+/(?![.-])[\w.-]+)(:(?P<config>[^/]+))?", re.ASCII)
_SPLITS_FILE = "dataset_dict.json"


@dataclass(frozen=True)
class Source:
    """One input that can be read as often as needed."""

    name: str
    """As a person calls it."""
    path: AnyFile | None = None
    """A file, here or at a URL, or a folder of ``datasets.save_to_disk``."""
    hub: tuple[str, str | None] | None = None
    """A hub dataset and its config."""

    @property
    def key(self) -> str:
        """What two names of the same input have in common."""
        return str(self.path.resolve() if isinstance(self.path, Path) else self.path or self.name)

    @property
    def is_saved_dataset(self) -> bool:
        return self.path is not None and self.path.is_dir()

    @property
    def is_plain_text(self) -> bool:
        return self.path is not None and not self.is_saved_dataset and form(self.path) == "txt"


def find_sources(inputs: Sequence[str], notes: list[str] | None = None) -> list[Source]:
    """What the inputs name, in order, each file once. Looks at names only, not into files.

    Args:
        notes: where given, it takes what is to be said of what is left out.

    Raises:
        BertkitError: nothing is there, or a file is of no known form.
    """
    found: dict[str, Source] = {}
    told: list[str] = []
    again = len(inputs) - len(set(inputs))
    for one in dict.fromkeys(inputs):  # stdin, too, is there only once
        for source in _sources(one, told):
            again += source.key in found
            found.setdefault(source.key, source)
    if again:
        told.append(f"named more than once and read once: {again:,} of the inputs")
    if notes is not None:
        notes += told
    return list(found.values())


def _sources(one: str, notes: list[str]) -> list[Source]:
    if one == "-":
        return [Source("stdin", _spooled_stdin())]
    if is_url(one):
        there, hidden = files_at(one)
        readable = _readable([Source(str(file), file) for file in there])
        read = {source.path for source in readable}  # a folder may hold a million
        left_out = [suffix(path) for path in there if path not in read] + hidden * ["hidden file"]
        _say_left_out(one, len(read), left_out, notes)
        return readable
    # os.path takes whatever a person types; pathlib raises at over-long names and unknown ~users.
    path = os.path.expanduser(one)
    if os.path.isfile(path):
        form(Path(path))
        return [Source(one, Path(path))]
    if os.path.isdir(path):
        return _in_folder(Path(path), notes)
    matches = [Path(match) for match in sorted(glob.glob(path, recursive=True))]
    if any(os.path.isfile(match) or os.path.isdir(match) for match in matches):
        return _matching(path, matches, notes)
    hub = _HUB_NAME.fullmatch(one)
    if hub and not hub["name"].lower().endswith(FILE_SUFFIXES):
        notes.append(f"{one}: the split train is read")
        return [Source(one, hub=(hub["name"], hub["config"]))]
    raise BertkitError(
        f"no corpus at {one}: give a text file (a blank line between documents), a folder, a glob, a URL, - for stdin, "
        "or a hub dataset org/name"
    )


def _readable(several: list[Source]) -> list[Source]:
    """Those of a form that can be read; of a single one, or where there is none, ``form`` says what it lacks."""
    files = [(one, one.path) for one in several if one.path is not None]
    return [one for one, path in files if is_readable_form(path)] or [one for one, path in files if form(path)]


def _in_folder(folder: Path, notes: list[str]) -> list[Source]:
    if is_store(folder):
        raise BertkitError(f"{folder} is a corpus that is prepared already: it cannot be read as text, nor beside text")
    if os.path.isfile(folder / IDS_FILE):
        raise damaged(folder / INFO_FILE, "it is missing")
    if _is_saved_dataset(folder):
        return [_saved_dataset(folder, notes)]
    found = Found(folder)
    found.enter(folder)
    if not found.texts:
        raise _no_text_in(f"the folder {folder}", list(found.left_out.values()))
    _say_left_out(str(folder), len(found.texts), list(found.left_out.values()), notes)
    return [Source(str(path), path) for path in sorted(found.texts)]


def _matching(pattern: str, matches: Sequence[Path], notes: list[str]) -> list[Source]:
    """What is read of what a glob matches: each file once, and of its folders what is read of those in a folder."""
    found = Found(Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts)))
    datasets: list[Source] = []
    for match in matches:
        if any(one.path in match.parents for one in datasets):
            continue  # a split of it
        if _is_saved_dataset(match):
            datasets.append(_saved_dataset(match, notes))
        else:
            found.take(match)
    texts = [Source(str(path), path) for path in found.texts]
    read = datasets + texts or _readable([Source(str(match), match) for match in matches if match.is_file()])
    paths = {source.path for source in read}
    kinds = [kind for path, kind in found.left_out.items() if path not in paths]
    if not read:
        raise _no_text_in(f"the folders {pattern}", kinds)
    _say_left_out(pattern, len(read), kinds, notes)
    return sorted(read, key=lambda source: source.name)


def _no_text_in(where: str, left_out: Sequence[str]) -> BertkitError:
    but = f" (left out: {listed_kinds(left_out)})" if left_out else ""
    return BertkitError(f"no text in {where}: no .txt, .jsonl, .csv, .tsv or .parquet file is there{but}")


def _say_left_out(name: str, read: int, left_out: Sequence[str], notes: list[str]) -> None:
    if read and left_out:
        notes.append(
            f"{name}: {counted(read, 'file of text is', 'files of text are')} read, "
            f"{counted(len(left_out), 'other is', 'others are')} left out ({listed_kinds(left_out)})"
        )


def _saved_dataset(folder: Path, notes: list[str]) -> Source:
    if (splits := folder / _SPLITS_FILE).is_file():
        named = read_json(splits).get("splits") or ["train"]
        others = f" of {', '.join(map(str, named))}" if len(named) > 1 else ""
        notes.append(f"{folder}: the split train is read{others}")
    return Source(str(folder), folder)


def _is_saved_dataset(folder: Path) -> bool:
    """Whether it was written by ``save_to_disk``, told as ``datasets.load_from_disk`` tells it."""
    # os.path says no where the folder is closed; pathlib raises.
    one = all(os.path.isfile(folder / name) for name in ("dataset_info.json", "state.json"))
    return one or os.path.isfile(folder / _SPLITS_FILE)


@functools.cache
def _spooled_stdin() -> Path:
    """Standard input in a temporary file, as it is read more than once (but comes only once)."""
    if process_count() > 1:
        raise BertkitError("several ranks cannot share standard input: `bertkit prepare - --out FOLDER` first")
    path = new_spool() / "stdin.txt"
    with disk_errors(path), path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path
