"""GLUE's leaderboard files: what is written, what is refused, and the zip."""

import os
import zipfile
from pathlib import Path

import pytest

from bertkit.errors import BertkitError
from bertkit.finetuning.glue import GLUE_ROWS, check_submission, write_submission, zip_submissions

NLI = ("entailment", "neutral", "contradiction")


def by_hand(path: Path, words: list[str]) -> Path:
    """A file of these words over and over, as many rows as there must be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [f"{index}\t{words[index % len(words)]}\n" for index in range(GLUE_ROWS[path.name])]
    path.write_bytes(("index\tprediction\n" + "".join(rows)).encode())
    return path


def test_words_stand_for_class_ids(tmp_path: Path) -> None:
    path = write_submission(tmp_path / "new", "AX.tsv", [0, 1, 2] * 368, NLI)
    assert path == tmp_path / "new" / "AX.tsv"
    assert path.read_bytes() == by_hand(tmp_path / "hand" / "AX.tsv", list(NLI)).read_bytes()
    check_submission(path)


def test_ids_are_written_where_there_are_no_words(tmp_path: Path) -> None:
    path = write_submission(tmp_path, "WNLI.tsv", [1, 0] * 73, ())
    assert path.read_bytes() == by_hand(tmp_path / "hand" / "WNLI.tsv", ["1", "0"]).read_bytes()


def test_numbers_are_clipped_and_rounded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_submission(tmp_path, "STS-B.tsv", [-0.2, 5.7, 2.34567, -0.0, *[3.0] * 1375], ())
    assert "STS-B.tsv: predictions beyond 0 … 5, clipped to it: 2 of 1,379" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8").split("\n")[:6] == [
        "index\tprediction",
        "0\t0.000",
        "1\t5.000",
        "2\t2.346",
        "3\t0.000",
        "4\t3.000",
    ]
    check_submission(path)


@pytest.mark.parametrize(
    ("name", "predictions", "labels", "message"),
    [
        ("WNLI.tsv", [0] * 145, (), "has 145 rows, but GLUE's test set has 146"),
        ("AX.tsv", [0] * 1104, (), r"AX\.tsv:2: the prediction is '0', but must be one of entailment, neutral, contra"),
        ("WNLI.tsv", [0, 1] * 73, ("no", "yes"), r"WNLI\.tsv:2: the prediction is 'no', but must be one of 0, 1"),
        ("RTE.tsv", [-1] * 3000, ("entailment", "not_entailment"), "class -1 has no word"),
        ("STS-B.tsv", [float("nan")] * 1379, (), "not finite"),
        (
            "../WNLI.tsv",
            [0] * 146,
            (),
            "'../WNLI.tsv' is no leaderboard file: give one of CoLA.tsv, .* without a folder",
        ),
        ("sub/WNLI.tsv", [0] * 146, (), "is no leaderboard file"),
        ("wnli.tsv", [0] * 146, (), "is no leaderboard file"),
    ],
)
def test_what_the_server_would_refuse_is_not_written(
    tmp_path: Path, name: str, predictions: list, labels: tuple[str, ...], message: str
) -> None:
    folder = tmp_path / "out"
    with pytest.raises(BertkitError, match=message):
        write_submission(folder, name, predictions, labels)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("WNLI.tsv", "index\t", "id\t", r"WNLI\.tsv:1: the header is 'id\\tprediction', but must be"),
        ("WNLI.tsv", "\n3\t", "\n33\t", r"WNLI\.tsv:5: the index is '33', but must be 3"),
        ("WNLI.tsv", "\n3\t0", "\n3\t2", r"WNLI\.tsv:5: the prediction is '2', but must be one of 0, 1"),
        ("WNLI.tsv", "\n145\t0", "", "has 145 rows"),
        ("WNLI.tsv", "\n145\t0", "\n145\t0\n146\t0", "has 147 rows"),
        ("QNLI.tsv", "0\t0", "0\tneutral", r"QNLI\.tsv:2: the prediction is 'neutral', but must be one of entailment"),
        ("STS-B.tsv", "\n3\t0", "\n3\t5.1", r"STS-B\.tsv:5: the prediction is '5.1', but must be a number within 0"),
        ("STS-B.tsv", "\n3\t0", "\n3\tnan", r"STS-B\.tsv:5: the prediction is 'nan'"),
        ("STS-B.tsv", "\n3\t0", "\n3\thigh", r"STS-B\.tsv:5: the prediction is 'high'"),
    ],
)
def test_faults_of_a_file_are_named(tmp_path: Path, name: str, old: str, new: str, message: str) -> None:
    path = by_hand(tmp_path / name, ["0"])
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1 or name == "QNLI.tsv"
    path.write_text(text.replace(old, new, 1), encoding="utf-8", newline="\n")
    with pytest.raises(BertkitError, match=message):
        check_submission(path)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "AX.tsv").write_bytes(b"\xff\xfe")
    with pytest.raises(BertkitError, match=r"cannot read .*AX\.tsv as UTF-8"):
        check_submission(tmp_path / "AX.tsv")
    with pytest.raises(BertkitError, match=r"'dev\.tsv' is no leaderboard file"):
        check_submission(tmp_path / "dev.tsv")


def test_zip_holds_the_newest_of_each_name_flat(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = tmp_path / "runs"
    # The older file comes last in the order of names, so that it is the time that counts.
    new = by_hand(runs / "a" / "WNLI.tsv", ["1"])
    old = by_hand(runs / "b" / "WNLI.tsv", ["0"])
    os.utime(old, (1_000_000_000, 1_000_000_000))
    os.utime(new, (1_500_000_000, 1_500_000_000))
    rte = by_hand(runs / "c" / "deep" / "RTE.tsv", ["entailment"])
    by_hand(tmp_path / "elsewhere" / "AX.tsv", ["neutral"])
    (runs / "c" / "predictions.tsv").write_text("not ours", encoding="utf-8")
    path, missing = zip_submissions(runs, tmp_path / "made" / "glue.zip")
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == ["RTE.tsv", "WNLI.tsv"]
        assert archive.read("WNLI.tsv") == new.read_bytes()
        assert archive.read("RTE.tsv") == rte.read_bytes()
    assert f"the newest is taken, and left out: {old}" in capsys.readouterr().err.replace("\n", "")
    there = ["WNLI.tsv", "RTE.tsv"]
    assert missing == [name for name in GLUE_ROWS if name not in there]
    assert len(missing) == 9
    assert [file.name for file in path.parent.iterdir()] == ["glue.zip"]


def test_zip_refuses_a_faulty_file_and_an_empty_folder(tmp_path: Path) -> None:
    for runs in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BertkitError, match="no leaderboard files under"):
            zip_submissions(runs, tmp_path / "glue.zip")
    by_hand(tmp_path / "WNLI.tsv", ["entailment"])
    with pytest.raises(BertkitError, match=r"WNLI\.tsv:2: the prediction is 'entailment'"):
        zip_submissions(tmp_path, tmp_path / "glue.zip")
    assert not (tmp_path / "glue.zip").exists()


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "WNLI.tsv").symlink_to("far/real.tsv")
    write_submission(tmp_path, "WNLI.tsv", [1, 0] * 73, ())
    assert (tmp_path / "WNLI.tsv").readlink() == Path("far/real.tsv")
    assert (tmp_path / "far" / "real.tsv").read_bytes() == by_hand(
        tmp_path / "hand" / "WNLI.tsv", ["1", "0"]
    ).read_bytes()


@pytest.mark.parametrize("time_s", [0, 5_000_000_000])
def test_a_file_of_a_time_that_zip_does_not_know_is_zipped(tmp_path: Path, time_s: int) -> None:
    written = by_hand(tmp_path / "WNLI.tsv", ["1"])
    os.utime(written, (time_s, time_s))
    path, _ = zip_submissions(tmp_path, tmp_path / "glue.zip")
    with zipfile.ZipFile(path) as archive:
        assert archive.read("WNLI.tsv") == written.read_bytes()
