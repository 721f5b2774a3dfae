"""What is printed where the reader has left."""

import io
import json
import re
import subprocess
import sys
from pathlib import Path

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
from bertkit import console, streams
with streams.reader_may_leave():
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


LONG = "a message of twelve words that says where, what is allowed and what to do about it, in 1,234,567 ways"


def test_json_is_the_same_to_a_program_and_harmless_to_a_terminal(capsys):
    hostile = {"\x9btext": "a\x1b]0;owned\x07b\x9bc\rd \t\x7f\u202e é 中 \ud800"}
    console.print_json(hostile, indent=2)
    printed = capsys.readouterr().out
    assert json.loads(printed) == hostile
    assert [one for one in printed if not (one.isprintable() or one == "\n")] == []
    assert "é 中" in printed


def test_long_lines_break_between_words_on_a_terminal_and_nowhere_else(capsys):
    console._Clean(stderr=True, highlight=False, force_terminal=True, width=80).print(LONG)
    console._Clean(stderr=True, highlight=False, width=80).print(LONG)
    *shown, whole = capsys.readouterr().err.splitlines()
    assert " ".join(line.rstrip() for line in shown) == LONG == whole
    assert max(map(len, shown)) <= 80


@pytest.mark.parametrize(("width", "shown"), [(60, 1), (80, 2), (160, 5)])
def test_a_bar_keeps_itself_and_the_time_left_and_cuts_no_number(monkeypatch, width, shown):
    screen = io.StringIO()
    monkeypatch.setattr(console, "err", console._Clean(file=screen, force_terminal=True, width=width))
    detail = "loss 5.123 · mlm_loss 4.567 · nsp_loss 0.556"
    with console.progress("training", 123_456, "step") as line:
        line._started_at_s -= 12_345 / 3  # 3 steps a second
        line.update(12_345, detail, left_s=7_512)
        line._bar.refresh()
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).splitlines()
    last = [one for one in lines if "12,345/" in one][-1]
    parts = " · ".join(["12,345/123,456 step", "3.0 step/s", *detail.split(" · ")][:shown])
    assert re.fullmatch(rf"training [━╸╺]{{10,}} {re.escape(parts)} 2 h 05 min left\s*", last)
    assert len(last) <= width


HOSTILE = "a run x[/b] [red]\x1b]0;owned\x07\x9bc"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_shows_names_as_they_are_but_for_control_characters(monkeypatch, capsys, is_terminal):
    screen = io.StringIO()
    monkeypatch.setattr(console, "err", console._Clean(file=screen, force_terminal=is_terminal, width=200))
    monkeypatch.setattr(console, "PLAIN_LINE_EVERY_S", 0)
    with console.progress(HOSTILE, 3, "model") as line:
        line.update(1, HOSTILE)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()) + capsys.readouterr().err  # rich's own
    assert "a run x[/b] [red]\ufffd]0;owned\ufffd\ufffdc" in shown
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", shown)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_path_is_whole_to_a_program_and_harmless_to_a_terminal(monkeypatch, capsys, is_terminal):
    path = Path("out\x1b]0;owned\x07 [b]" + "long " * 100)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal)
    console.print_path(path)
    shown = str(path).replace("\x1b", "\ufffd").replace("\x07", "\ufffd") if is_terminal else str(path)
    assert capsys.readouterr().out == f"{shown}\n"
