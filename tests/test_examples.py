"""The programs of docs/examples, and the first lines of Python in the README and in docs/python.md, run as they stand."""

import json
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
    assert sorted(path.stem for path in (ROOT / "docs" / "examples").glob("*.py")) == sorted([*SAID, "bought"])


def test_what_pretraining_bought_is_read_from_the_runs(tmp_path, monkeypatch, capsys):
    texts = ["she went home.", "home went she.", "the cat sat on the mat.", "a long sentence " * 5]
    labels = ["sentence", "scrambled", "sentence", "sentence"]
    for run, given, accuracy in (
        ("demo-classifier", labels, 1.0),
        ("demo-control", ["sentence"] * 2 + ["scrambled"] * 2, 0.25),
    ):
        folder = tmp_path / "runs" / run
        folder.mkdir(parents=True)
        shares = [0.9, 0.8, 0.95, 0.99]
        rows = [
            {"text": [text], "label": label, "prediction": one, "probabilities": {one: share}}
            for text, label, one, share in zip(texts, labels, given, shares, strict=True)
        ]
        (folder / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        figures = {"eval_accuracy": accuracy, "eval_accuracy_interval_95": [accuracy / 2, accuracy], "eval_rows": 4}
        (folder / "eval_results.json").write_text(json.dumps(figures), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["bought.py"])
    runpy.run_path(str(ROOT / "docs" / "examples" / "bought.py"), run_name="__main__")
    said = capsys.readouterr().out.splitlines()
    assert "from pretrained weights  100.0% right, 95 % interval 50.0% to 100.0% on 4 rows" in said
    assert "right from pretrained weights alone: 3 rows; from random weights alone: 0" in said
    shown = [
        "  scrambled  home went she.",
        "  sentence   a long sentence a long sentence a long sentence a long sentence a",
    ]
    assert said[-4:-1] == [*shown, "             long sentence"]  # the surest first
    assert said[-1] == "  sentence   the cat sat on the mat."
    assert max(map(len, said)) <= 80


@pytest.mark.parametrize("name", SAID)
def test_a_program_runs(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program = ROOT / "docs" / "examples" / f"{name}.py"
    assert len(program.read_text(encoding="utf-8").splitlines()) <= 25
    runpy.run_path(str(program), run_name="__main__")
    assert re.search(SAID[name], capsys.readouterr().out)


@pytest.mark.parametrize(("page", "said"), [("README.md", "she opened the door"), ("docs/python.md", "runs/mine")])
def test_the_first_python_of_a_page_runs(page, said, tmp_path, monkeypatch, capsys):
    block = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)[0]
    assert len(block.splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    shutil.copy(EMBEDDED_CORPUS, "corpus.txt")
    rows = "".join(f"a {'lovely' if at % 2 else 'dull'} film number {at},{4 + at % 2}\n" for at in range(60))
    Path("reviews.csv").write_text(f"text,stars\n{rows}", encoding="utf-8")
    exec(block.replace("3000", "3"), {})
    assert said in capsys.readouterr().out
