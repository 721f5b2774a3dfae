"""The programs of docs/examples, and the lines of Python in the README, run as they stand."""

import re
import runpy
import shutil
from pathlib import Path

import pytest

from bertkit.assets import EMBEDDED_CORPUS

ROOT = Path(__file__).parent.parent
SAID = {
    "fill": "she opened the door",
    "pretrain": "million parameters in runs/stories",
    "classify": r"accuracy on held-out rows: (9\d|100)\.\d%",
    "tag": "LOC oslo 14 18",
}


def test_every_program_is_here():
    assert sorted(path.stem for path in (ROOT / "docs" / "examples").glob("*.py")) == sorted(SAID)


@pytest.mark.parametrize("name", SAID)
def test_a_program_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program = ROOT / "docs" / "examples" / f"{name}.py"
    assert len(program.read_text(encoding="utf-8").splitlines()) <= 25
    runpy.run_path(str(program), run_name="__main__")
    assert re.search(SAID[name], capsys.readouterr().out)


def test_the_readmes_python_runs(tmp_path, monkeypatch, capsys):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert len(block.splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    shutil.copy(EMBEDDED_CORPUS, "corpus.txt")
    rows = "".join(f"a {'lovely' if at % 2 else 'dull'} film number {at},{4 + at % 2}\n" for at in range(60))
    Path("reviews.csv").write_text(f"text,stars\n{rows}", encoding="utf-8")
    exec(block.replace("3000", "3"), {})
    assert "pretrain-corpus" in capsys.readouterr().out
