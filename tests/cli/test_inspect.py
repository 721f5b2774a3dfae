"""`bertkit inspect --train`: what is printed of labelled rows."""

import json

import pytest
from typer.testing import CliRunner

from bertkit.cli import app


@pytest.fixture
def files(tmp_path):
    rows = [("the cat sat " + "abcdefghij"[n % 10] * (1 + n // 10), ["Good", "bad"][n % 2]) for n in range(30)]
    rows += [(rows[0][0], "good"), ("the cat", ""), ("cat " * 40, "bad")]
    for name, some in (("train.csv", rows), ("held.csv", rows[:4])):
        (tmp_path / name).write_text("Review;Mood\n" + "".join(f"{text};{label}\n" for text, label in some))
    return ["inspect", "--train", str(tmp_path / "train.csv"), "--seq-len", "16"], str(tmp_path / "held.csv")


def invoke(monkeypatch, *arguments):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "80", "TERM": "dumb"}, catch_exceptions=False)


def test_json_has_all_figures(files, tiny_model, monkeypatch):
    arguments, held = files
    held = held.replace("held.csv", "held2.csv")
    with open(held, "w") as file:
        file.write("review,mood\nthe cat sat a,Good\nnew,bad\n")
    result = invoke(
        monkeypatch, *arguments, "--validation", held, "--model", str(tiny_model), "--json", "--label", "mood"
    )
    found = json.loads(result.stdout)
    train, validation = found["splits"]["train"], found["splits"]["validation"]
    assert train["classes"] == {"Good": 15, "bad": 16, "good": 1}
    assert (train["rows"], train["repeated"], train["contradictory"]) == (32, 1, 1)
    assert (train["longest"], train["over_limit"], found["limit"]) == (42, 1, 16)  # 40 cats, [CLS] and [SEP]
    assert (validation["rows"], validation["shared"]) == (2, 1)
    assert found["nearly_one"] == [["Good", "good"]]
    assert len(found["left_out"]) == 1
    assert "train.csv:33 has no label in column 'Mood'" in found["left_out"][0]
    assert any("--seq-len 42" in told for told in found["warnings"])


def test_people_get_tables_that_fit(files, tiny_model, monkeypatch):
    arguments, held = files
    result = invoke(monkeypatch, *arguments, "--validation", held, "--model", str(tiny_model), "--label", "mood")
    assert result.exit_code == 0
    table = [line for line in result.stdout.splitlines() if not line.startswith(("!", "3 classes", "text:"))]
    assert max(map(len, table)) <= 80
    assert any(line.split() == ["rows", "32", "4"] for line in table)
    assert any(line.split() == ["Good", "15", "2"] for line in table)


def test_options_of_the_other_kind_are_refused(files, monkeypatch):
    arguments, held = files
    from bertkit.errors import BertkitError

    with pytest.raises(BertkitError, match="not both"):
        invoke(monkeypatch, *arguments, held)
    with pytest.raises(BertkitError, match="--validation does not go with CORPUS"):
        invoke(monkeypatch, "inspect", "--validation", held)
    with pytest.raises(BertkitError, match="--dump does not go with --train"):
        invoke(monkeypatch, *arguments, "--dump", "3")
    with pytest.raises(BertkitError, match="--examples does not go with --train"):
        invoke(monkeypatch, *arguments, "--examples", "0")
    for other in (["--json"], ["--dump", "3"]):
        with pytest.raises(BertkitError, match=f"--examples does not go with {other[0]}"):
            invoke(monkeypatch, "inspect", held, *other, "--examples", "3")
    with pytest.raises(BertkitError, match="--text-pair needs --text"):
        invoke(monkeypatch, *arguments, "--text-pair", "text")
