"""What lies in folders, and what a glob matches: files of text, and all that is left out, by kind."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path, PurePath

from bertkit.console import listed
from bertkit.corpus.store import IDS_FILE, INFO_FILE
from bertkit.errors import BertkitError
from bertkit.io.remote import AnyFile
from bertkit.io.tables import form

_MARKS = (
    {"run.json"}, {"recipe.toml", "metrics.jsonl"}, {"manifest.json", "state.json"}, {INFO_FILE}, {IDS_FILE},
    {"config.json", "vocab.txt"}, {"config.json", "tokenizer.json"},
)  # fmt: skip
"""The files by which folders are known whose text is no corpus: runs, also those just begun, checkpoints, prepared corpora,
and models."""
_NO_CORPUS = "folder of a run, model or prepared corpus"
_SHOWN_KINDS = 5


class Found:
    """The files of text below a folder that a person names, and all that is left out."""

    def __init__(self, named: Path) -> None:
        self.texts: set[Path] = set()
        self.left_out: dict[Path, str] = {}
        """With the kind of each, for people."""
        self._named = named
        self._entered: set[Path] = set()
        self._is_no_corpus = functools.cache(_is_no_corpus)

    def take(self, path: Path) -> None:
        """Takes up a file or folder, if it was not taken up before and is in no run, model or prepared corpus."""
        below = [one for one in reversed((path, *path.parents)) if self._named in one.parents]
        known = next(filter(self._is_no_corpus, below), None)
        if known is not None:
            self.left_out[known] = _NO_CORPUS
        elif not os.path.isdir(path):
            self._put(path, _why_not_read(path))
        elif path not in self._entered:
            self.left_out.pop(path, None)  # a link in another folder
            self.enter(path)

    def enter(self, folder: Path) -> None:
        """Takes up what lies in a folder and below it, but no runs, models and prepared corpora unless they are named."""
        for place, folders, names in os.walk(folder, onerror=self._leave_closed):
            here = Path(place)
            if here != self._named and self._is_no_corpus(here):
                self.left_out[here] = _NO_CORPUS
                folders.clear()
                continue
            self._entered.add(here)
            for name in names:
                self._put(here / name, "hidden file" if name.startswith(".") else _why_not_read(here / name))
            for name in [*folders]:
                is_hidden = name.startswith(".")
                if is_hidden or os.path.islink(here / name):
                    folders.remove(name)
                    self.left_out[here / name] = "hidden folder" if is_hidden else "linked folder"

    def _put(self, path: Path, why_not: str) -> None:
        if why_not:
            self.left_out[path] = why_not
        else:
            self.texts.add(path)

    def _leave_closed(self, error: OSError) -> None:
        self.left_out[Path(error.filename)] = "folder that cannot be opened"


def _is_no_corpus(folder: Path) -> bool:
    return any(all(os.path.isfile(folder / name) for name in names) for names in _MARKS)


def _why_not_read(path: Path) -> str:
    """What kind of thing it is if it is no file of text; else empty."""
    if os.path.isfile(path):
        return "" if is_readable_form(path) else suffix(path)
    return "pipe or device" if os.path.exists(path) else "link that leads nowhere"


def is_readable_form(path: AnyFile) -> bool:
    """Whether a file in a folder is text; its .json files are settings and the like more often than not."""
    try:
        return bool(form(path)) and ".json" not in PurePath(str(path)).suffixes
    except BertkitError:
        return False


def suffix(path: AnyFile) -> str:
    """The kind of a file that is not read."""
    return path.suffix or str(path)


def listed_kinds(kinds: Sequence[str]) -> str:
    """The kinds of what is left out, each once; the suffixes of files behind all others."""
    return listed(sorted(set(kinds), key=lambda kind: (kind.startswith("."), kind)), _SHOWN_KINDS)
