"""Pieces of work in processes: in order, bounded, and no process outlives its use."""

import itertools
import math
import operator
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from bertkit.corpus.workers import in_order
from bertkit.errors import BertkitError


def children():
    return [
        one for one in psutil.Process().children(recursive=True) if "bertkit.corpus.workers" in "".join(one.cmdline())
    ]


def gone(processes):
    """Waits for processes that are no children of ours to go."""
    deadline_s = time.monotonic() + 30
    while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True


def test_answers_come_in_order_and_pieces_are_read_as_needed():
    read = []
    pieces = (read.append(n) or n for n in itertools.count())
    with closing(in_order(math.factorial, pieces, 2)) as answers:
        # The first takes longest.
        assert list(itertools.islice(answers, 6)) == [math.factorial(n) for n in range(6)]
        assert len(read) <= 6 + 3
        assert len(children()) == 2
    assert children() == []
    assert list(in_order(math.factorial, range(4), 1)) == [1, 1, 2, 6]


def test_an_error_comes_in_its_place_and_ends_the_processes():
    answers = in_order(operator.inv, [1, 2, "three", 4], 2)
    assert [next(answers), next(answers)] == [-2, -3]
    with pytest.raises(TypeError, match="bad operand") as error:
        next(answers)
    assert "in a worker process" in error.value.__notes__[0]
    assert children() == []


def test_what_reads_the_pieces_may_fail():
    def pieces():
        yield 1
        raise BertkitError("a.txt cannot be read")

    with pytest.raises(BertkitError, match=r"a\.txt cannot be read"):
        list(in_order(math.factorial, pieces(), 2))
    assert children() == []


def test_a_process_that_ends_by_itself_is_one_clear_line():
    with pytest.raises(BertkitError, match="a process that prepared the corpus ended with exit code 9: memory"):
        list(in_order(os._exit, [9] * 4, 2))
    assert children() == []


def test_what_a_library_prints_is_no_answer():
    # `print` answers None, and writes to what was stdout.
    assert list(in_order(print, ["loud"], 2)) == [None]


def start_preparing(tmp_path):
    """A `bertkit prepare` that has started its processes, of much text in small pieces."""
    corpus, tokenizer = tmp_path / "corpus.txt", tmp_path / "tokenizer"
    tokenizer.mkdir()
    with corpus.open("w") as file:
        for n in range(15_000):
            file.write(f"The cat number {n} sat on a mat with number {n * 7}. It was glad of it, and slept.\n\n" * 8)
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abc", "the", "cat"]
    (tokenizer / "vocab.txt").write_text("\n".join(pieces) + "\n")
    (tokenizer / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    code = (
        "from bertkit.corpus import writing; writing.usable_cores = lambda: 2; writing.CHUNK_CHARACTERS = 10_000; "
        "from bertkit.__main__ import main; main()"
    )
    arguments = ["prepare", str(corpus), "--tokenizer", str(tokenizer), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline_s = time.monotonic() + 60
    # Each in a session of its own, which Ctrl-C does not reach.
    while len(workers := [one for one in psutil.Process(process.pid).children() if os.getsid(one.pid) == one.pid]) < 2:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline_s
        time.sleep(0.02)
    return process, workers


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_is_left_when_the_preparation_is_stopped(tmp_path: Path, number):
    process, workers = start_preparing(tmp_path)
    os.killpg(process.pid, number)  # as a terminal sends Ctrl-C: to all of the group
    _, told = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    assert told == ""
    assert gone(workers)
    assert not (tmp_path / "out").exists()
    if number == signal.SIGINT:
        assert not list(tmp_path.glob(".tmp-*"))
