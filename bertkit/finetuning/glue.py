"""Files for GLUE's leaderboard (gluebenchmark.com, FAQ): one TSV per test set, zipped without folders."""

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.outputs import check_output, new_output

GLUE_ROWS: dict[str, int] = {
    "CoLA.tsv": 1_063,
    "SST-2.tsv": 1_821,
    "MRPC.tsv": 1_725,
    "STS-B.tsv": 1_379,
    "QQP.tsv": 390_965,
    "MNLI-m.tsv": 9_796,
    "MNLI-mm.tsv": 9_847,
    "QNLI.tsv": 5_463,
    "RTE.tsv": 3_000,
    "WNLI.tsv": 146,
    "AX.tsv": 1_104,
}
"""The number of rows of each official test set."""

_HEADER = "index\tprediction"
_BINARY = ("0", "1")
_NLI = ("entailment", "neutral", "contradiction")
_WORDS: dict[str, tuple[str, ...]] = {
    "CoLA.tsv": _BINARY,
    "SST-2.tsv": _BINARY,
    "MRPC.tsv": _BINARY,
    "QQP.tsv": _BINARY,
    "MNLI-m.tsv": _NLI,
    "MNLI-mm.tsv": _NLI,
    "QNLI.tsv": ("entailment", "not_entailment"),
    "RTE.tsv": ("entailment", "not_entailment"),
    "WNLI.tsv": _BINARY,
    "AX.tsv": _NLI,
}
_NUMBERS = "STS-B.tsv"
_LARGEST_NUMBER = 5.0


def write_submission(
    folder: Path, file_name: str, predictions: Sequence[int] | Sequence[float], labels: Sequence[str]
) -> Path:
    """Writes a leaderboard file, ``index<TAB>prediction`` with the index from 0, and returns its path.

    Args:
        file_name: a key of ``GLUE_ROWS``.
        predictions: class ids, or for STS-B numbers, which are clipped to 0 … 5 and written with 3 decimals.
        labels: the word for each class id; if empty, the ids are written.

    Raises:
        BertkitError: the name is unknown, or the number of rows or the words do not fit the test set.
    """
    where = folder / file_name
    _check_name(file_name)
    if file_name == _NUMBERS:
        numbers = [float(prediction) for prediction in predictions]
        words = [_number(number, where) for number in numbers]
        clipped = sum(not 0 <= number <= _LARGEST_NUMBER for number in numbers)
        if clipped:
            console.note(
                f"{file_name}: predictions beyond 0 … {_LARGEST_NUMBER:g}, clipped to it: {clipped:,} of {len(words):,}"
            )
    else:
        words = [_word(int(prediction), labels, where) for prediction in predictions]
    lines = [_HEADER, *(f"{index}\t{word}" for index, word in enumerate(words))]
    _check_lines(file_name, lines, where)
    with new_output(where) as file:
        file.write(("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
    return where


def check_places(folder: Path, file_names: Sequence[str], overwrite: bool) -> None:
    """Checks, before the work, that leaderboard files may be written into a folder.

    Raises:
        BertkitError: another file is in the way; see ``check_output``.
    """
    for name in file_names:
        check_output(
            folder / name,
            lambda sample: sample.startswith(_HEADER.encode()),
            what="leaderboard file",
            overwrite=overwrite,
            needs_file=True,
        )


def check_submission(path: Path) -> None:
    """Checks a leaderboard file as its server would.

    Raises:
        BertkitError: its name, header, number of rows, indices or predictions are wrong.
    """
    _check_name(path.name)
    if not path.is_file():
        raise BertkitError(f"{path} is no plain file: write it anew with bertkit predict")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BertkitError(f"cannot read {path} as UTF-8 text ({error}): write it anew with bertkit predict") from error
    _check_lines(path.name, text.removesuffix("\n").split("\n"), path)


def zip_submissions(runs: Path, out: Path, overwrite: bool = False) -> tuple[Path, list[str]]:
    """Zips, without folders, the newest leaderboard file of each name anywhere under ``runs``.

    Returns:
        The path of the zip file, and the names of the files that are missing.

    Raises:
        BertkitError: there are no such files, one fails ``check_submission``, or ``out`` exists and is another file.
    """
    check_output(
        out, _is_submission_zip, what="zip of leaderboard files", overwrite=overwrite, needs_file=True, flag="--zip"
    )
    newest: dict[str, Path] = {}
    older: list[str] = []
    for path in sorted(runs.rglob("*.tsv"), key=lambda path: path.stat().st_mtime_ns):
        if path.name in GLUE_ROWS:
            older += [str(newest[path.name])] if path.name in newest else []
            newest[path.name] = path
    if older:
        console.note(
            console.plain(f"of several files of one name the newest is taken, and left out: {', '.join(older)}")
        )
    if not newest:
        raise BertkitError(f"no leaderboard files under {runs}: write some with bertkit predict MODEL --task NAME")
    for path in newest.values():
        check_submission(path)
    with new_output(out) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for name in GLUE_ROWS:
            if name in newest:
                archive.write(newest[name], name)
    return out, [name for name in GLUE_ROWS if name not in newest]


def _is_submission_zip(sample: bytes) -> bool:
    """Whether the first file in a zip is one for the leaderboard. At byte 26 stands the length of its name, then the name."""
    length = int.from_bytes(sample[26:28], "little")
    return sample.startswith(b"PK\x03\x04") and sample[30 : 30 + length].decode("utf-8", "replace") in GLUE_ROWS


def _check_name(file_name: str) -> None:
    if file_name not in GLUE_ROWS:
        raise BertkitError(
            f"'{file_name}' is no leaderboard file: give one of {', '.join(GLUE_ROWS)}, without a folder"
        )


def _check_lines(file_name: str, lines: Sequence[str], where: Path) -> None:
    header, *rows = lines
    if header != _HEADER:
        raise BertkitError(f"{where}:1: the header is {header!r}, but must be {_HEADER!r}")
    if len(rows) != GLUE_ROWS[file_name]:
        raise BertkitError(
            f"{where} has {len(rows):,} rows, but GLUE's test set has {GLUE_ROWS[file_name]:,}: predict all of it"
        )
    words = _WORDS.get(file_name, ())
    for index, row in enumerate(rows):
        shown_index, _, word = row.partition("\t")
        if shown_index != str(index):
            raise BertkitError(f"{where}:{index + 2}: the index is {shown_index!r}, but must be {index}")
        if words and word not in words:
            raise BertkitError(
                f"{where}:{index + 2}: the prediction is {word!r}, but must be one of {', '.join(words)}"
            )
        if not words and not _is_in_range(word):
            raise BertkitError(f"{where}:{index + 2}: the prediction is {word!r}, but must be a number within 0 … 5")


def _word(class_id: int, labels: Sequence[str], where: Path) -> str:
    if not labels:
        return str(class_id)
    if not 0 <= class_id < len(labels):
        raise BertkitError(
            f"cannot write {where}: class {class_id} has no word among {', '.join(labels)}; "
            f"give one for each class in task.submission_labels"
        )
    return labels[class_id]


def _number(value: float, where: Path) -> str:
    if not math.isfinite(value):
        raise BertkitError(
            f"cannot write {where}: a prediction is not finite; the model's training has diverged, lower --lr"
        )
    return f"{min(max(0.0, value), _LARGEST_NUMBER):.3f}"


def _is_in_range(word: str) -> bool:
    try:
        return 0 <= float(word) <= _LARGEST_NUMBER
    except ValueError:
        return False
