"""A corpus in parts, one a file: what a part takes of one core, what putting them together takes, and the bytes that travel."""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bertkit.corpus import preparation as preparing
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.prepare import prepare
from bertkit.corpus.sources import find_sources
from bertkit.models.tokenizer_loading import load_tokenizer


def bench_parts(corpus: Sequence[str], tokenizer: str) -> dict[str, float]:
    """One part after the other in this process; seconds a part are of wall clock and of the processor, their median."""
    preparing.PART_BYTES = 1
    took: dict[str, list[tuple[float, float]]] = {}
    ended = 0.0, 0.0

    def timed(work: Any, parts: Sequence[Preparation]) -> Iterator[tuple[int, Any]]:
        nonlocal ended
        for number, part in enumerate(parts):
            begun = time.perf_counter(), time.process_time()
            done = work(part)
            name = getattr(work, "func", work).__name__
            took.setdefault(name, []).append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
            yield number, done
        ended = time.perf_counter(), time.process_time()

    with tempfile.TemporaryDirectory() as folder:
        os.environ["BERTKIT_CACHE"] = folder
        preparation = Preparation(find_sources(corpus), engine=timed)
        store = prepare(preparation, load_tokenizer(tokenizer))
        merge_s, merge_cpu_s = time.perf_counter() - ended[0], time.process_time() - ended[1]
        store_bytes = sum(path.stat().st_size for path in Path(store.folder).iterdir())
    text_bytes = preparation.estimated_bytes()
    (hash_s, hash_cpu_s), (part_s, part_cpu_s) = (
        [statistics.median(times) for times in zip(*took[name], strict=True)] for name in ("_hashed", "_prepared")
    )
    return {
        "parts": len(preparation.parts),
        "text_mb": round(text_bytes / 1e6, 1),
        "hash_s": round(hash_s, 2),
        "hash_cpu_s": round(hash_cpu_s, 2),
        "part_s": round(part_s, 2),
        "part_cpu_s": round(part_cpu_s, 2),
        "merge_s": round(merge_s, 2),
        "merge_cpu_s": round(merge_cpu_s, 2),
        "store_mb": round(store_bytes / 1e6, 1),
    }
