"""Minimal pairs: how often a BERT gives the grammatical one of two sentences the higher score (BLiMP, Warstadt et al. 2020)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.inference.scoring import Score, Scorer
from bertkit.intervals import wilson_interval
from bertkit.io.cells import text_of
from bertkit.io.compression import open_binary, plain_name
from bertkit.io.tables import FILE_SUFFIXES, TABLE_SUFFIXES, form, read_rows
from bertkit.io.text import is_blank, read_lines
from bertkit.runtime.base import Reader

_SUFFIXES = {".txt", *TABLE_SUFFIXES}
_NAMES = (("sentence_good", "sentence_bad"), ("good", "bad"))
_PAIRS_AT_ONCE = 1_000
"""Pairs scored at a time: enough for full batches of sentences of one length, few enough that the progress bar moves."""
_FORMS = (
    "BLiMP's .jsonl (sentence_good, sentence_bad), a .tsv or .csv with the columns good and bad, or a .txt whose odd lines "
    "are wrong and whose even lines are right (Zorro)"
)


@dataclass(frozen=True, slots=True)
class MinimalPair:
    """Two sentences that differ only in what makes one of them wrong.

    Attributes:
        good: the right sentence.
        bad: the wrong one.
        file: the name of its file, without the suffixes if no other file has the same name then.
        phenomenon: the grammatical phenomenon, such as "binding": BLiMP's ``linguistics_term``, or else the file's name
            up to its last "-"; "" where neither exists.
        place: for messages, such as "blimp/a.jsonl:3".
    """

    good: str
    bad: str
    file: str
    phenomenon: str
    place: str = field(default="", compare=False)


def read_pairs(source: Path) -> list[MinimalPair]:
    """Reads the pairs of a file, or of all files in a folder, in the order of their names.

    Raises:
        BertkitError: there are no pairs, or a line of a file is not a pair or has an empty sentence.
    """
    if not source.exists():
        raise BertkitError(f"no file or folder {source}: give {_FORMS}")
    files = _files(source) if source.is_dir() else [source]
    stems = Counter(map(_stem, files))
    pairs: list[MinimalPair] = []
    for path in files:
        name = _stem(path) if stems[_stem(path)] == 1 else path.name
        pairs += (_lines if form(path) == "txt" else _rows)(path, name)
    if not pairs:
        raise BertkitError(f"{source} has no pairs: give {_FORMS}")
    return pairs


def _files(folder: Path) -> list[Path]:
    """The files of a folder that can hold pairs, by name; a note names the others, such as a README, and the folders."""
    there = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    files = [
        path
        for path in there
        if path.is_file() and not _SUFFIXES.isdisjoint(suffix.lower() for suffix in path.suffixes)
    ]
    if others := [f"{path.name}/" if path.is_dir() else path.name for path in there if path not in files]:
        console.note(console.plain(f"left out of {folder}, as no files of pairs: {', '.join(others)}"))
    return files


def _stem(path: Path) -> str:
    """A file's name without the suffixes that say its form and its compression: "a.easy" of "a.easy.jsonl.gz"."""
    plain = plain_name(path)
    return plain.stem if plain.suffix.lower() in FILE_SUFFIXES else plain.name


def _rows(path: Path, name: str) -> Iterator[MinimalPair]:
    for place, row in read_rows(path):
        names = next((names for names in _NAMES if all(one in row for one in names)), None)
        if names is None:
            raise BertkitError(f"{place} has no 'good' and 'bad', only {', '.join(row)}: give {_FORMS}")
        good, bad = (text_of(place, row, one) for one in names)
        empty = next((one for one in names if is_blank(row[one])), None)
        if empty is not None:
            raise BertkitError(f"{place} has an empty sentence '{empty}': fill it in, or leave the row out")
        yield MinimalPair(good, bad, name, str(row.get("linguistics_term") or _phenomenon(path)), place)


def _lines(path: Path, name: str) -> Iterator[MinimalPair]:
    with open_binary(path) as stream:
        lines = [(number, line.strip()) for number, line in read_lines(stream, str(path)) if line.strip()]
    if len(lines) % 2:
        count = console.counted(len(lines), "line", "lines")
        raise BertkitError(f"{path} has {count}, an odd number, and so no pairs: odd lines are wrong, even lines right")
    for (number, bad), (_, good) in zip(lines[::2], lines[1::2], strict=True):
        yield MinimalPair(good, bad, name, _phenomenon(path), f"{path}:{number}")


def _phenomenon(path: Path) -> str:
    return _stem(path).rpartition("-")[0]


def evaluate_minimal_pairs(model: str, source: Path, device: str | None) -> dict[str, Any]:
    """Measures how often a model gives the right sentence of a pair a higher score than the wrong one.

    The score is the pseudo-log-likelihood of ``Scorer``. Equal scores (as for sentences that differ only in words that
    the model does not know) do not count as right; sentences that are the same word pieces have equal scores.

    Args:
        model: a folder, a hub name, or "embedded".
        source: the pairs, as for ``read_pairs``.
        device: as for ``Scorer``.

    Returns:
        ``accuracy`` (the mean over all pairs) with its 95 % interval; ``pairs``; ``equal`` (pairs with equal scores);
        ``cut`` (sentences that were too long for the model); ``by_file`` and, where some are known, ``by_phenomenon``: an
        object with ``accuracy``, its interval and ``pairs`` for each. ``without_phenomenon`` beside it counts the other pairs.

    Raises:
        BertkitError: the pairs or the model cannot be read, or the model reads nothing of a sentence.
    """
    pairs = read_pairs(source)
    scorer = Scorer(model, device, texts=2 * len(pairs))
    figures = pair_figures(scorer, pairs)
    scorer.say_misread()
    return {"model": model, "minimal_pairs": str(source), **figures}


def pair_figures(scorer: Scorer, pairs: Sequence[MinimalPair]) -> dict[str, Any]:
    """The figures of ``evaluate_minimal_pairs`` on some pairs.

    Raises:
        BertkitError: the model reads nothing of a sentence.
    """
    differences: list[float] = []
    with console.progress("scoring", len(pairs), "pair") as line:
        for begin in range(0, len(pairs), _PAIRS_AT_ONCE):
            some = pairs[begin : begin + _PAIRS_AT_ONCE]
            scores = scorer.score([text for pair in some for text in (pair.good, pair.bad)])
            differences += map(partial(_difference, scorer.texts.reader), some, scores[::2], scores[1::2])
            line.update(len(differences))
    rights = [difference > 0 for difference in differences]
    figures = _figures(rights)
    figures["equal"] = sum(difference == 0 for difference in differences)
    figures["cut"] = scorer.texts.cut
    figures["by_file"] = _grouped([pair.file for pair in pairs], rights)
    named = [(pair.phenomenon, right) for pair, right in zip(pairs, rights, strict=True) if pair.phenomenon]
    if named:
        figures["by_phenomenon"] = _grouped(*zip(*named, strict=True))
        figures["without_phenomenon"] = len(pairs) - len(named)
    return figures


def _difference(reader: Reader, pair: MinimalPair, good: Score, bad: Score) -> float:
    """How much higher the right sentence scores; 0 for equal pieces, to which rounding in a batch may give unequal scores.

    Raises:
        BertkitError: the model reads nothing of a sentence, which has no score for that.
    """
    if good.score is None or bad.score is None:
        text = pair.good if good.score is None else pair.bad
        raise BertkitError(f"{pair.place} has a sentence of which the model reads no word piece: '{text[:60]}'")
    read, other = (reader.text_encoder.encode(text, most=reader.max_tokens).ids for text in (pair.good, pair.bad))
    return 0.0 if read == other else good.score - bad.score


def _figures(rights: Sequence[bool]) -> dict[str, Any]:
    hits = sum(rights)
    return {
        "accuracy": hits / len(rights),
        "accuracy_interval_95": list(wilson_interval(hits, len(rights))),
        "pairs": len(rights),
    }


def _grouped(names: Sequence[str], rights: Sequence[bool]) -> dict[str, dict[str, Any]]:
    ordered = sorted(zip(names, rights, strict=True))
    return {
        name: _figures([right for _, right in of_name])
        for name, of_name in groupby(ordered, key=lambda named: named[0])
    }
