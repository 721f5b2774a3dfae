"""What is printed where the reader has left."""

import re
import subprocess
import sys

import pytest
from rich.table import Table

from bertkit import console

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


def test_no_control_characters_of_texts_reach_a_terminal(capsys):
    hostile = "a\x1b]0;owned\x07b\x9bc\rd :cat:\te"
    table = Table()
    table.add_column(hostile)
    table.add_row(hostile)
    terminal = console._Stdout(force_terminal=True, width=200, highlight=False, emoji=False)
    terminal.print(hostile)
    terminal.print(table)
    terminal.print(hostile, markup=False)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)  # colours are rich's own
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
    assert shown.count("a\ufffd]0;owned\ufffdb\ufffdc\ufffdd :cat:") == 4
