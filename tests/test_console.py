"""What is printed where the reader has left."""

import subprocess
import sys

import pytest

PRINTED = {
    "rich": "console.out.print('x' * 99)",
    "plain": "print('x' * 99)",
}


@pytest.mark.parametrize("how", PRINTED)
def test_a_reader_who_has_enough_is_no_error(how):
    script = f"""
from bertkit import console
with console.reader_may_leave():
    for _ in range(100_000):
        {PRINTED[how]}
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"x" * 99 + b"\n"
        process.stdout.close()
        said = process.stderr.read()
        assert (process.wait(timeout=60), said) == (0, b"")
