"""Opening a corpus of very many documents: seconds, and memory of a rank's own beside what ranks share."""

import json
import tempfile
import time
from pathlib import Path

import numpy as np

from bertkit.corpus.store import CorpusInfo, open_store, write_info

SENTENCES, TOKENS = 3, 30
"""Of a document."""
_AT_ONCE = 2**22
_VOCABULARY = 4_096


def write_sizes(folder: Path, documents: int) -> None:
    """A store of documents of one size; the file of its tokens is a hole, which takes no room on the disk."""
    folder.mkdir(parents=True)
    for name, of_document, step in (("documents", 1, SENTENCES), ("sentences", SENTENCES, TOKENS // SENTENCES)):
        with (folder / f"{name}.bin").open("wb") as file:
            for first in range(0, documents * of_document + 1, _AT_ONCE):
                rows = np.arange(first, min(first + _AT_ONCE, documents * of_document + 1), dtype="<i8")
                file.write((rows * step).tobytes())
    with (folder / "ids.bin").open("wb") as file:
        file.truncate(2 * TOKENS * documents)
    (folder / "counts.bin").write_bytes(np.zeros(_VOCABULARY, "<i8").tobytes())
    sizes = {"documents": documents, "sentences": SENTENCES * documents, "tokens": TOKENS * documents}
    write_info(folder, CorpusInfo("sizes", "sizes", ["sizes"], **sizes, vocab_size=_VOCABULARY, text_bytes=0))


def opening(folder: Path) -> dict[str, float]:
    """Opens a store, splits it and makes its examples ready, in this process; seconds, and megabytes at the end."""
    from bertkit.pretraining.pairs import PairSampler
    from bertkit.pretraining.split import split_documents

    begin = time.perf_counter()
    store = open_store(folder)
    opened = time.perf_counter()
    training, held_out = split_documents(store, 0.02, seed=1)
    for side in (training, held_out):
        PairSampler(store, side, 128).example(0, 0)
    ready = time.perf_counter()
    status = {
        name: int(value.split()[0]) / 1024
        for name, _, value in (line.partition(":") for line in Path("/proc/self/status").read_text().splitlines())
        if name in ("VmHWM", "RssAnon")
    }
    return {
        "open_s": round(opened - begin, 3),
        "ready_s": round(ready - begin, 3),
        "peak_mb": round(status["VmHWM"]),
        "own_mb": round(status["RssAnon"]),
    }


def bench_documents(documents: int) -> dict[str, dict[str, float]]:
    """The first process that opens such a store, and the next ones."""
    from benchmarks.apart import once

    with tempfile.TemporaryDirectory() as folder:
        write_sizes(Path(folder) / "store", documents)
        script = _Opening(Path(folder))
        return {"first": once(script), "next": once(script)}


class _Opening:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self) -> dict[str, float]:
        import os

        os.environ["BERTKIT_CACHE"] = str(self.folder / "cache")
        return opening(self.folder / "store")


def shown(figures: dict[str, dict[str, float]]) -> str:
    """As JSON lines."""
    return "\n".join(json.dumps({"process": name, **values}) for name, values in figures.items())
