"""Wrong tags and answers, marked in their texts: the true ones on one line, the predicted ones on another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bertkit.finetuning.answers import exact_match
from bertkit.reporting.runs import is_number

_AROUND_CHARS = 200
_MOST_CHARS = 1_500
"""The most characters of a text that are shown, from a little before its first error."""


class Mark(NamedTuple):
    """A range of characters in a text, and its label; "" for an answer."""

    begin: int
    end: int
    label: str


class Stretch(NamedTuple):
    """A stretch of text between two marks or within one; within one with the label, and whether both sides agree on it."""

    text: str
    label: str | None = None
    is_right: bool = True


@dataclass(frozen=True)
class MarkedRow:
    """A row that was predicted wrongly.

    Attributes:
        index: the row's number; "—" where the file has none.
        question: the question; "" where there is none.
        true, said: the part of the text around its errors, in stretches, with the true and with the predicted marks.
        badness: how many marks differ; for an answer, how sure the model was of it.
    """

    index: Any
    question: str
    true: list[Stretch]
    said: list[Stretch]
    badness: float


def marked_mistakes(predictions: Sequence[dict[str, Any]]) -> list[MarkedRow] | None:
    """The rows of ``predictions.jsonl`` that are wrong, the worst first; None if the rows have no tags or answers."""
    read = [marks for row in predictions if (marks := _marks_of(row)) is not None]
    if not read:
        return None
    wrong = [_row(row, text, true, said) for row, text, true, said in read if true != said]
    return sorted(wrong, key=lambda one: -one.badness)


def _marks_of(row: dict[str, Any]) -> tuple[dict[str, Any], str, set[Mark], set[Mark]] | None:
    """A row with its text, its true marks and its predicted ones; None where it lacks them (the file may be anybody's)."""
    text, tokens, label = row.get("text"), row.get("tokens"), row.get("label")
    words = tokens if isinstance(tokens, list) and all(isinstance(token, str) for token in tokens) else None
    if words is not None:
        text = " ".join(words)
    if isinstance(row.get("label_entities"), list):
        text = text if isinstance(text, str) else ""
        return row, text, _entities(row["label_entities"], text), _entities(row.get("entities"), text)
    if words is not None and isinstance(row.get("tags"), list) and isinstance(label, list):
        return row, str(text), set(_words(words, label)), set(_words(words, row["tags"]))
    context, starts = row.get("context"), row.get("label_starts")
    if isinstance(context, str) and isinstance(label, list) and isinstance(starts, list):
        right = [_mark(begin, begin + len(one), "", context) for begin, one in zip(starts, label, strict=False)
                 if isinstance(begin, int) and isinstance(one, str)]  # fmt: skip
        said = {mark for mark in [_mark(row.get("start"), row.get("end"), "", context)] if mark}
        # What counts as right in the figures of the run is right: any of several answers, wherever it stands in the text.
        there = "".join(context[mark.begin : mark.end] for mark in said)
        is_right = exact_match(there, [one for one in label if isinstance(one, str)])
        return row, context, said if is_right else {mark for mark in right[:1] if mark}, said
    return None


def _entities(values: Any, text: str) -> set[Mark]:
    given = [one for one in values if isinstance(one, dict)] if isinstance(values, list) else []
    marks = [_mark(one.get("start"), one.get("end"), one.get("label"), text) for one in given]
    return {mark for mark in marks if mark}


def _words(tokens: Sequence[str], tags: Sequence[Any]) -> Iterator[Mark]:
    begin = 0
    for token, tag in zip(tokens, tags, strict=False):
        yield Mark(begin, begin + len(token), str(tag))
        begin += len(token) + 1


def _mark(begin: Any, end: Any, label: Any, text: str) -> Mark | None:
    fits = isinstance(begin, int) and isinstance(end, int) and 0 <= begin < end <= len(text)
    return Mark(begin, end, label) if fits and isinstance(label, str) else None


def _row(row: dict[str, Any], text: str, true: set[Mark], said: set[Mark]) -> MarkedRow:
    differing = true ^ said
    begin = max(0, min(mark.begin for mark in differing) - _AROUND_CHARS)
    end = min(len(text), max(mark.end for mark in differing) + _AROUND_CHARS, begin + _MOST_CHARS)
    lines = [list(_stretches(text, marks, differing, begin, end)) for marks in (true, said)]
    score, question = row.get("score"), row.get("question")
    return MarkedRow(
        index=row.get("index", "—"),
        question=question if isinstance(question, str) else "",
        true=lines[0],
        said=lines[1],
        badness=float(score) if is_number(score) else float(len(differing)),
    )


def _stretches(text: str, marks: set[Mark], differing: set[Mark], begin: int, end: int) -> Iterator[Stretch]:
    at = begin
    yield from [Stretch("… ")] if begin else []
    for mark in sorted(marks):
        if mark.begin >= at and mark.end <= end:
            yield Stretch(text[at : mark.begin])
            yield Stretch(text[mark.begin : mark.end], mark.label, mark not in differing)
            at = mark.end
    yield Stretch(text[at:end])
    yield from [Stretch(" …")] if end < len(text) else []
