"""The table of all benches, read off results by hand; the settings of the scaling bench and its picture."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import scaling, table
from benchmarks.__main__ import app
from benchmarks.table import Bench, Line, TableRequest, as_markdown, benches

OTHERS = {"tags": Path("tags.conll"), "answers": Path("answers.json"), "choices": Path("choices.jsonl")}
ALL = list(benches(TableRequest(["corpus.txt"], data=Path("glue"), steps=5, rounds=4, **OTHERS), "vocab.txt", "model"))


def result(*speeds, **more):
    figures = [{"name": f"n{number}", "speed": sorted(some)[1], "speeds": some, **more}
               for number, some in enumerate(speeds)]  # fmt: skip
    return {"work": "pretrain tiny, fp32", "unit": "tokens/s", "peak_tflops": 0.5, "figures": figures}


def cells(markdown, start):
    line = next(line for line in markdown.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_lines_are_read_off_their_figures():
    bench = Bench(
        ["pretrain", "x y"],
        [
            Line("first", "a", "1 ×", "2 ×"),
            Line("second", "b", "1 ×", "2 ×", theirs=2),
            Line("third", "", "45 %", "60 %", shown="peak"),
            Line("fourth", "c", "≤ 0.3", "", shown="time"),
            Line("fifth", "c", "3 ×", "", ours=1, theirs=2),
            Line("sixth", "c", "3 ×", "", ours=3),
        ],
    )
    found = result(
        [1200, 800, 1600], [300, 400, 200], [150, 100, 160], share_of_peak=0.456, memory_bytes=5 << 20, waiting=0.01
    )
    shown = as_markdown([bench], [found])
    assert cells(shown, "first")[2:5] == ["1,200 tokens/s", "300 tokens/s", "4.0 × (2.0 to 8.0)"]
    assert cells(shown, "second")[3:] == ["150 tokens/s", "8.0 × (8.0 to 10.0)", "1 ×", "2 ×"]
    assert cells(shown, "third")[2:5] == ["46%", "", ""]
    assert cells(shown, "fourth")[4] == "0.25 (0.12 to 0.50) of its time"
    assert cells(shown, "fifth")[4] == "2.0 × (1.2 to 4.0)"
    assert cells(shown, "sixth")[4] == "not run: its backend is not installed"
    assert cells(shown, "pretrain tiny")[1:] == ["n0", "1,200 tokens/s", "45.6%", "5 MiB", "1.0%"]
    assert "Matrix peaks: 0.50 TFLOP/s (fp32)." in shown
    assert "python -m benchmarks pretrain 'x y'" in shown


def test_what_could_not_be_run_says_why_in_its_line():
    shown = as_markdown([Bench(["start"], [Line("help", "python", "≤ 0.15", "")])], ["no device 'cuda' | here"])
    assert cells(shown, "help")[4] == "not run: no device 'cuda' / here"


@pytest.mark.parametrize("bench", ALL, ids=lambda bench: " ".join(bench.arguments))
def test_every_bench_of_the_table_has_its_options(bench):
    assert CliRunner().invoke(app, [*bench.arguments, "--json", "--help"]).exit_code == 0
    assert bench.arguments[-2:] == ["--rounds", "4"]


def test_an_option_that_is_none_is_seen():
    assert CliRunner().invoke(app, ["start", "--steps", "5", "--help"]).exit_code == 2


def test_a_bench_that_fails_is_told_of_unless_it_wants_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "benches", lambda *_: [
        Bench(["predict", "no.txt"], [Line("text", "", "", "")]),
        Bench(["finetune"], [Line("gpu", "", "", "")], needs_gpu=True),
    ])  # fmt: skip
    arguments = ["table", "--tokenizer", "t", "--model", "m", "--out", str(tmp_path / "table.md")]
    ended = CliRunner().invoke(app, arguments)
    assert str(ended.exception).startswith("1 bench could not be run: ")
    shown = (tmp_path / "table.md").read_text()
    assert cells(shown, "text")[4].startswith("not run: no file no.txt")
    assert cells(shown, "gpu")[4].startswith("not run: give --task NAME")


def test_each_axis_changes_one_thing_and_goes_through_the_middle():
    middle = scaling.Setting("mini")
    by_axis = {}
    for axis, one in scaling.settings(middle, "cpu"):
        by_axis.setdefault(axis, []).append(one)
    assert list(by_axis) == list(scaling.AXES)
    assert all(middle in some and len(some) == len(set(some)) for some in by_axis.values())
    assert {one.max_seq_length * one.batch_size for one in by_axis["max_seq_length"]} == {128 * 32}
    assert [one.processes for one in by_axis["processes"]] == [1, 2]


def test_the_picture_is_one(tmp_path):
    points = [{"axis": axis, "value": value, "speed": 1000.0 * value} for axis in "ab" for value in (1, 2)]
    path = tmp_path / "new" / "scaling.png"
    scaling.plot({"work": "w", "device": "d", "unit": "tokens/s", "points": points}, path)
    assert path.read_bytes().startswith(b"\x89PNG")
