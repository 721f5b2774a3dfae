"""``python -m benchmarks table``: one bench after another, and what they found as a table in Markdown."""

import datetime
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any, Literal

from benchmarks.apart import once
from benchmarks.stand_in import write_random_bert, write_tokenizer
from bertkit import console

Result = dict[str, Any]
_WORD_ORDER = Path(__file__).parent.parent / "assets" / "word_order"
_HEAD = ["work", "against", "ours", "theirs", "ratio (least to most)", "at least", "aim"]
_DETAILS = ["bench", "", "speed", "share of the peak", "memory at its peak", "waiting for data"]


@dataclass(frozen=True)
class Line:
    """A line of the table, read off a bench.

    Attributes:
        least, aim: what is to be reached.
        theirs, ours: which of the bench's figures are compared, by their places.
        shown: how many times as fast ours is, its share of the other's time, or its share of the matrix peak.
    """

    work: str
    against: str
    least: str
    aim: str
    theirs: int = 1
    ours: int = 0
    shown: Literal["times", "time", "peak"] = "times"


@dataclass(frozen=True)
class Bench:
    """The arguments of a bench, and the lines that are read off it."""

    arguments: Sequence[str]
    lines: Sequence[Line]
    needs_gpu: bool = False


@dataclass(frozen=True)
class TableRequest:
    """What the benches run on; see the options of ``python -m benchmarks table``."""

    corpus: Sequence[str] = ()
    tokenizer: str | None = None
    model: str | None = None
    data: Path | None = None
    steps: int | None = None
    rounds: int = 3
    tags: Path | None = None
    answers: Path | None = None
    choices: Path | None = None


def bench_table(request: TableRequest) -> tuple[str, list[str]]:
    """Runs everything; the table, and what could not be run though it should have.

    What is not given is made: a vocabulary as large as bert-base-uncased's, and a ``tiny`` BERT with random weights.
    """
    with tempfile.TemporaryDirectory(prefix="bertkit-bench-") as made:
        tokenizer = request.tokenizer or _made(Path(made) / "pieces", write_tokenizer)
        model = request.model or _made(
            Path(made) / "tiny", partial(write_random_bert, recipe="tiny", tokenizer=tokenizer)
        )
        wanted = list(benches(request, tokenizer, model))
        found: list[Result | str] = []
        with console.progress("benches", len(wanted), "bench") as line:
            for number, bench in enumerate(wanted):
                line.update(number, " ".join(bench.arguments[:1]))
                found.append(_run(bench))
        problems = [
            one for bench, one in zip(wanted, found, strict=True) if isinstance(one, str) and not bench.needs_gpu
        ]
        return as_markdown(wanted, found).replace(made, "MADE"), problems


def _made(folder: Path, write: Any) -> str:
    once(partial(write, folder))
    return str(folder)


def benches(request: TableRequest, tokenizer: str, model: str) -> Iterator[Bench]:
    """All benches with their lines, and what those are to reach."""
    steps = [] if request.steps is None else ["--steps", str(request.steps)]
    rounds = ["--rounds", str(request.rounds)]
    pieces = [*request.corpus, "--tokenizer", tokenizer]
    on_cpu = ["--device", "cpu"]
    rows = ["--task", "sst2", "--data", str(request.data)] if request.data else []
    for recipe, size, fp32, bf16 in (
        ("tiny", "2/128", ("7", "12"), ("5.5", "9")),
        ("mini", "4/256", ("4.5", "7"), ("3", "4.5")),
    ):
        for precision, name, (least, aim) in (("no", "fp32", fp32), ("bf16", "bf16", bf16)):
            lines = [Line(f"pretrain {size}, {name}", "Trainer", f"{least} ×", f"{aim} ×")]
            if (recipe, precision) == ("mini", "bf16"):
                lines.append(Line("pretrain 4/256, share of the bf16 peak", "", "45 %", "60 %", shown="peak"))
            chosen = ["--recipe", recipe, "--mixed-precision", precision]
            yield Bench(["pretrain", *pieces, *chosen, *on_cpu, *steps, *rounds], lines)
    train = rows or ["--train", str(_WORD_ORDER / "train.tsv")]
    yield Bench(
        ["finetune", *train, "--model", model, *on_cpu, *steps, *rounds],
        [
            Line("fine-tune, examples/s", "Trainer, padded to 128", "6 ×", "9 ×", theirs=2),
            Line("fine-tune, examples/s", "Trainer, padded to the batch's longest", "1.9 ×", "3 ×"),
        ],
    )
    for name, (file, least) in _of_other_heads(request).items():
        yield Bench(
            ["finetune", "--train", str(file), "--model", model, *on_cpu, *steps, *rounds],
            [Line(f"fine-tune on {name}, examples/s", "Trainer, padded to the batch's longest", least, "")],
        )
    yield Bench(
        ["predict", *(rows or [str(_WORD_ORDER / "validation.tsv")]), "--model", model, *on_cpu, *rounds],
        [Line("predict, rows/s", 'pipeline("text-classification", batch_size=32)', "3 ×", "6 ×")],
    )
    yield Bench(
        ["prepare", *pieces, "--megabytes", "60", *rounds],  # of less text the starting of processes is much
        [
            Line("prepare, MB/s", "datasets.map, 2 processes", "2.5 ×", "4 ×"),
            Line("the same with nanotoken", "datasets.map, 2 processes", "15 ×", "40 ×", ours=2),
        ],
    )
    yield Bench(
        ["collator", *pieces, *rounds],
        [Line("collator, tokens/s on one core", "transformers' collator", "1.5 ×, > 1 M/s", "3 ×")],
    )
    fill = "mask-fill, one text, whole process, "
    yield Bench(
        ["mask-fill", "--model", model, *rounds],
        [Line(f"{fill}small model", "the fill-mask pipeline", "≤ 0.15", "≤ 0.08", shown="time")],
    )
    yield Bench(
        ["mask-fill", "--recipe", "base", "--tokenizer", tokenizer, *rounds],
        [Line(f"{fill}base size", "the fill-mask pipeline", "≤ 0.3", "≤ 0.2", shown="time")],
    )
    yield Bench(
        ["start", *rounds],
        [Line("bertkit --help", 'python -c "import transformers, torch"', "≤ 0.15", "", shown="time")],
    )
    yield Bench(
        ["pretrain", *pieces, "--recipe", "base", "--mixed-precision", "bf16", "--device", "cuda", *steps, *rounds],
        [
            Line("pretrain base, bf16, one GPU", "Trainer", "2 ×", "3 ×"),
            Line("pretrain base, share of the bf16 peak, one GPU", "", "40 %", "55 %", shown="peak"),
        ],
        needs_gpu=True,
    )


def _of_other_heads(request: TableRequest) -> dict[str, tuple[Path, str]]:
    """Rows that were given, by what is in them, with how many times as fast fine-tuning on them is to be."""
    known = {"tags": (request.tags, "2 ×"), "answers": (request.answers, "1.5 ×"), "choices": (request.choices, "2 ×")}
    return {name: (file, least) for name, (file, least) in known.items() if file is not None}


TESTS = Path(__file__).parent.parent
"""Where ``python -m benchmarks`` is found."""


def _run(bench: Bench) -> Result | str:
    """What a bench found, or why it could not be run."""
    command = [sys.executable, "-m", "benchmarks", *bench.arguments, "--json"]
    # Told of by its own last line, not by a flood of them.
    ended = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False, cwd=TESTS
    )
    if not ended.returncode:
        return json.loads(ended.stdout.splitlines()[-1])
    return ended.stderr.strip().rpartition("\n")[2].removeprefix("error: ") or f"ended with {ended.returncode}"


def as_markdown(wanted: Sequence[Bench], found: Sequence[Result | str]) -> str:
    """The table, the details of each bench, and the commands."""
    pairs = list(zip(wanted, found, strict=True))
    lines = [_cells(line, one) for bench, one in pairs for line in bench.lines]
    details = [cells for _, one in pairs if not isinstance(one, str) for cells in _detail_cells(one)]
    commands = [shlex.join(["python", "-m", "benchmarks", *bench.arguments]) for bench in wanted]
    parts = [_described(found), _table(_HEAD, lines), _table(_DETAILS, details), "\n".join(["```", *commands, "```"])]
    return "\n\n".join(parts) + "\n"


def _described(found: Sequence[Result | str]) -> str:
    """When and on what it was measured."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("torch", "transformers", "tokenizers"))
    peaks = {
        f"{one['peak_tflops']:.2f} TFLOP/s ({one['work'].rpartition(', ')[2]})"
        for one in found
        if not isinstance(one, str) and one["work"].startswith("pretrain")
    }
    return (
        f"Measured on {datetime.date.today()}: {_processor()}, {os.cpu_count()} CPUs, {platform.system()}, "
        f"Python {platform.python_version()}, {versions}. Matrix peaks: {', '.join(sorted(peaks)) or 'none'}."
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    named = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.is_file() else []
    return named[0].partition(": ")[2] if named else platform.processor() or platform.machine()


def _cells(line: Line, found: Result | str) -> list[str]:
    if isinstance(found, str):
        return [line.work, line.against, "", "", f"not run: {found}", line.least, line.aim]
    figures = found["figures"]
    if max(line.ours, line.theirs) >= len(figures):
        return [line.work, line.against, "", "", "not run: its backend is not installed", line.least, line.aim]
    ours, theirs = figures[line.ours], figures[line.theirs]
    if line.shown == "peak":
        return [line.work, line.against, f"{ours['share_of_peak']:.0%}", "", "", line.least, line.aim]
    amounts = [_amount(one, found["unit"]) for one in (ours, theirs)]
    return [line.work, line.against, *amounts, _ratio(line, ours["speeds"], theirs["speeds"]), line.least, line.aim]


def _ratio(line: Line, ours: Sequence[float], theirs: Sequence[float]) -> str:
    """How ours compares: the median of the rounds, the least and the greatest."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    if line.shown == "time":
        shares = [1 / ratio for ratio in ratios]
        return f"{median(shares):.2f} ({min(shares):.2f} to {max(shares):.2f}) of its time"
    return f"{median(ratios):.1f} × ({min(ratios):.1f} to {max(ratios):.1f})"


def _amount(figure: Mapping[str, Any], unit: str) -> str:
    if "seconds" in figure:
        return f"{figure['seconds']:.2f} s"
    speed = figure["speed"]
    return f"{speed:,.{0 if speed >= 100 else 1}f} {unit}" if speed >= 1 else f"{speed:.2g} {unit}"


def _detail_cells(found: Result) -> Iterator[list[str]]:
    for one in found["figures"]:
        peak, memory, waiting = (one.get(name) for name in ("share_of_peak", "memory_bytes", "waiting"))
        yield [
            found["work"],
            one["name"],
            _amount(one, found["unit"]),
            "" if peak is None else f"{peak:.1%}",
            "" if memory is None else f"{memory / 2**20:,.0f} MiB",
            "" if waiting is None else f"{waiting:.1%}",
        ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = [list(head), ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in cells)
