"""A corpus in parts, which an engine prepares apart, put together to the very store that one process writes."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bertkit import console
from bertkit.corpus.cache import cache_folder, locked, name_of
from bertkit.corpus.contents import changed
from bertkit.corpus.merge import join
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.store import CorpusInfo, open_store, read_info
from bertkit.corpus.writing import write_store
from bertkit.errors import BertkitError
from bertkit.io.atomic import new_folder, scratch_folder


def write_by_parts(folder: Path, preparation: Preparation, tokenizer: Any, encoders: Sequence[str]) -> CorpusInfo:
    """Has the engine prepare the parts, and writes one corpus out of them; see ``writing.write_store``.

    A part that is done lies in the cache until ``remove_parts``: it is not done again after a kill.
    """
    kept = _kept_parts(preparation, tokenizer)
    with locked(kept):
        folders = [kept / str(number) for number in range(len(preparation.parts))]
        _make(folders, preparation, partial(_prepared, tokenizer=tokenizer, encoders=encoders))
        tokenizer.save_pretrained(folder)
        return join(folder, [open_store(one) for one in folders], preparation.fingerprint, preparation.names)


def remove_parts(preparation: Preparation, tokenizer: Any) -> None:
    """Removes what ``write_by_parts`` has left in the cache."""
    if preparation.engine is not None:
        kept = _kept_parts(preparation, tokenizer)
        if kept.is_dir():
            with locked(kept):
                shutil.rmtree(kept, ignore_errors=True)


def _kept_parts(preparation: Preparation, tokenizer: Any) -> Path:
    # Parts know their inputs by name, and which inputs are in which part.
    described = repr([preparation.store_name(tokenizer), *(part.names for part in preparation.parts)])
    return cache_folder() / "parts" / name_of(described)


def _make(folders: Sequence[Path], preparation: Preparation, work: "Callable[[Preparation], _Made]") -> None:
    """Makes those parts that are not there yet."""
    assert preparation.engine is not None
    missing = [number for number, folder in enumerate(folders) if not _is_whole(folder)]
    done = len(folders) - len(missing)
    if done:
        console.note(f"{done} of {len(folders)} parts are prepared already")
    said: set[str] = set()
    with console.progress("preparing", len(folders), "parts", done) as line:
        # Without their contents: those are looked at anew there, as another machine may know a file by another inode.
        wanted = [replace(preparation.parts[number]) for number in missing]
        for number, (files, told) in preparation.engine(work, wanted):
            with new_folder(folders[missing[number]]) as fresh:
                for name, content in files.items():
                    content.tofile(fresh / name)
                if read_info(fresh).fingerprint != preparation.parts[missing[number]].fingerprint:
                    raise changed(wanted[number].names[0])
            for one in told:
                if one not in said:
                    console.note(one)
            said.update(told)
            done += 1
            line.update(done)


def _is_whole(folder: Path) -> bool:
    try:
        open_store(folder)
    except BertkitError:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


_Made = tuple[dict[str, np.ndarray], list[str]]
"""The files of a part's store, uint8 by name, and what is to be said of it."""


def _prepared(part: Preparation, tokenizer: Any, encoders: Sequence[str]) -> _Made:
    """A part as the files of a store: they travel, so that the machines need no disk in common."""
    with console.kept() as told, scratch_folder("bertkit-part") as folder:
        write_store(folder, part, tokenizer, encoders, processes=1)
        return {file.name: np.fromfile(file, np.uint8) for file in folder.iterdir()}, told
