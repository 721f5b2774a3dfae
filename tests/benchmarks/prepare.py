"""``python -m benchmarks prepare``: from text to ids on disk, beside ``datasets.map`` as in transformers' examples."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.apart import apart
from benchmarks.rounds import OURS, Turn, compare
from bertkit.assets import EMBEDDED_CORPUS
from bertkit.cores import usable_cores
from bertkit.corpus.encoders import ENCODERS, suitable_encoders
from bertkit.corpus.preparation import Preparation, nothing_in
from bertkit.corpus.prepare import prepare
from bertkit.corpus.sources import find_sources
from bertkit.io.text import ReadReport
from bertkit.models.tokenizer import save_tokenizer
from bertkit.models.tokenizer_loading import load_tokenizer
from bertkit.pretraining.word_pieces import train_tokenizer
from bertkit.settings.schema import TokenizerSettings

PROCESSES = 2
THEIRS = f"datasets.map, {PROCESSES} processes"
FAST = f"{OURS} with nanotoken"
_LENGTH = 512  # of the blocks that the example makes of its tokens


def bench_prepare(corpus: list[str], megabytes: float, rounds: int, tokenizer: str | None) -> dict[str, Any]:
    """Megabytes of text a second: ours without and, where it is installed, with nanotoken, and the example's way.

    Ours is timed from the text file to the whole store: reading, splitting into sentences, ids, offsets, counts.
    The other gets its lines in a table on disk before its time begins: tokenizing and grouping them is what counts.
    Memory is that of the process that was asked; either asks others for help.

    Args:
        corpus: as `bertkit pretrain` takes it; the embedded one where empty.
        megabytes: of its text, from the beginning, at most.
        rounds: of all, taking turns.
        tokenizer: None learns word pieces on the corpus.
    """
    preparation = Preparation(find_sources(corpus or [str(EMBEDDED_CORPUS)]))
    pieces = load_tokenizer(tokenizer) if tokenizer else train_tokenizer(preparation, TokenizerSettings())
    with tempfile.TemporaryDirectory(prefix="bertkit-bench-") as made:
        text, folder = Path(made) / "corpus.txt", Path(made) / "pieces"
        size = write_beginning(preparation, megabytes, text) / 1e6
        save_tokenizer(pieces, folder)
        plain = [name for name in ENCODERS if name != "nanotoken"]
        builders = {OURS: partial(ours, text, folder, plain), THEIRS: partial(theirs, text, folder)}
        if "nanotoken" in suitable_encoders(pieces.backend_tokenizer.to_str()):
            builders[FAST] = partial(ours, text, folder, ENCODERS)
        with apart(builders) as contestants:
            figures = compare(contestants, rounds)
    return {
        "work": f"prepare {size:,.1f} MB of text, vocabulary {len(pieces):,}",
        "unit": "MB/s",
        "device": f"{usable_cores()} CPUs",
        "figures": [one.as_json() for one in figures],
    }


def write_beginning(preparation: Preparation, megabytes: float, path: Path) -> int:
    """Writes the first documents of a corpus as plain text and returns its size in bytes.

    Raises:
        BertkitError: there is none.
    """
    size = 0
    with path.open("wb") as file:
        for paragraph in preparation.paragraphs(ReadReport()):
            size += file.write(f"{paragraph or ''}\n".encode())
            if size >= megabytes * 1e6:
                break
    if not size:
        raise nothing_in(preparation)
    return size


def ours(text: Path, tokenizer: Path, encoders: Sequence[str]) -> Callable[[], Turn]:
    """Our preparation, anew each time."""
    return partial(_our_turn, text, load_tokenizer(str(tokenizer)), encoders)


def _our_turn(text: Path, tokenizer: Any, encoders: Sequence[str]) -> Turn:
    out = text.with_name("store")
    started_at_s = time.perf_counter()
    prepare(Preparation(find_sources([str(text)])), tokenizer, out, encoders)
    turn = Turn(text.stat().st_size / 1e6, time.perf_counter() - started_at_s)
    shutil.rmtree(out)
    return turn


def theirs(text: Path, tokenizer: Path) -> Callable[[], Turn]:
    """transformers' run_mlm.py: lines to ids, and these in blocks of one length."""
    return partial(_their_turn, text, load_tokenizer(str(tokenizer)))


def _their_turn(text: Path, tokenizer: Any) -> Turn:
    # In a new folder each time: what was mapped before would be taken from the cache.
    with tempfile.TemporaryDirectory(dir=text.parent) as cache:
        lines = lines_on_disk(text, cache)
        started_at_s = time.perf_counter()
        mapped(lines, tokenizer)
        return Turn(text.stat().st_size / 1e6, time.perf_counter() - started_at_s)


def lines_on_disk(text: Path, cache: str) -> Any:
    """The lines of a text as a table of ``datasets``."""
    import datasets

    datasets.disable_progress_bars()
    return datasets.Dataset.from_text(str(text), cache_dir=cache)


def mapped(lines: Any, tokenizer: Any, processes: int = PROCESSES) -> Any:
    """Lines → ids with special tokens → blocks of ``_LENGTH``, both by ``datasets.map``."""
    encoded = lines.map(partial(_encoded, tokenizer), batched=True, num_proc=processes, remove_columns=["text"])
    return encoded.map(_grouped, batched=True, num_proc=processes)


def _encoded(tokenizer: Any, rows: dict[str, Any]) -> Any:
    return tokenizer(rows["text"], return_special_tokens_mask=True)


def _grouped(rows: dict[str, Any]) -> dict[str, list[list[int]]]:
    return {name: list(_blocks(values)) for name, values in rows.items()}


def _blocks(values: Iterable[Iterable[int]]) -> Iterator[list[int]]:
    flat = list(chain.from_iterable(values))
    for start in range(0, len(flat) - _LENGTH + 1, _LENGTH):
        yield flat[start : start + _LENGTH]
