"""Reads questions about texts with their answers, from SQuAD's nested JSON and from rows of a table."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bertkit.errors import BertkitError
from bertkit.finetuning.rows.cells import is_missing
from bertkit.finetuning.rows.unfolded import are_texts, looks_like_object, unfolded
from bertkit.io.compression import open_binary, plain_name
from bertkit.io.json_rows import Halves

_BEGINNING_BYTES = 1 << 16
_LARGEST_BYTES = 2 << 30


@dataclass(frozen=True)
class Answers:
    """The right answers to a question.

    Attributes:
        place: the place of the row, for messages.
        texts: the answers; empty if the text does not answer the question.
        starts: the first character of each answer in the text.
        moved: how many answers did not stand at their stated position, and were found elsewhere.
        unplaced: how many were given without a position, and are taken where they stand first.
        ambiguous: how many of the answers that were moved, or had no position, stand in the text more than once.
    """

    place: str = field(compare=False)
    texts: list[str]
    starts: list[int]
    moved: int = 0
    unplaced: int = 0
    ambiguous: int = 0


def answers_of(place: str, context: str, given: Any) -> Answers:
    """The answers of a row: ``{"text": [...], "answer_start": [...]}``, or a list of ``{"text", "answer_start"}``, which
    a cell may also hold as text, in JSON or Python. A text, or a list of texts, is the answers alone.

    An answer that does not stand at its stated position is searched for; the nearest occurrence is taken. One that has no
    position is taken where it stands first.

    Raises:
        BertkitError: the object has another form, or an answer does not occur in the text.
    """
    given = unfolded(given)
    if isinstance(given, dict) and given.get("text") and "answer_start" not in given:
        given = given["text"]
    if are_alone(given):
        return _unplaced(place, context, [given] if isinstance(given, str) else given)
    if isinstance(given, dict):
        texts, starts = given.get("text"), given.get("answer_start")
    elif isinstance(given, list) and all(isinstance(one, dict) for one in given):
        texts, starts = [one.get("text") for one in given], [one.get("answer_start") for one in given]
    else:
        texts = starts = None
    if isinstance(texts, str):
        texts, starts = [texts], [starts]
    if is_missing(given):
        raise BertkitError(f"{place} has no answer: write [] where the text does not answer the question")
    if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
        form = " in JSON or Python" if looks_like_object(given) else ""
        raise BertkitError(
            f"{place}: the answers must have as many 'answer_start' as 'text'{form}, got {str(given)[:60]}"
        )
    placed = [_placed(place, context, text, start) for text, start in zip(texts, starts, strict=True)]
    moved = [text for text, one, start in zip(texts, placed, starts, strict=True) if one != start]
    ambiguous = sum(len(_places(text, context) or _all_places(text, context)) > 1 for text in moved)
    return Answers(place, list(texts), placed, len(moved), ambiguous=ambiguous)


def are_alone(given: Any) -> bool:
    """Whether answers are given as a text, or a list of texts, without their positions."""
    is_text = isinstance(given, str) and bool(given.strip()) and not looks_like_object(given)
    return is_text or are_texts(given)


def stands_in(answer: str, context: str) -> bool:
    """Whether an answer stands in a text, and not only as a part of a word, as "no" does in "know"."""
    return bool(_places(answer.strip(), context))


def _unplaced(place: str, context: str, given: list[str]) -> Answers:
    texts = [text.strip() for text in given]
    lost = next((text for text in texts if not text or text not in context), None)
    if lost is not None:
        raise BertkitError(
            f"{place}: the answer '{lost[:60]}' is not in its text: answers are stretches of the text, letter by letter; for "
            "classes, such as yes and no, use --head sequence"
        )
    places = [_places(text, context) or _all_places(text, context) for text in texts]
    ambiguous = sum(len(some) > 1 for some in places)
    return Answers(place, texts, [some[0] for some in places], unplaced=len(texts), ambiguous=ambiguous)


def _places(answer: str, context: str) -> list[int]:
    """Where an answer stands, and no letter or digit goes on with its first or last one.

    Only letters that may be small or capital count: other scripts put no blanks between words, or endings at them.
    """
    return [
        start
        for start in _all_places(answer, context)
        if not _is_one_word(context[start - 1 : start], answer[0])
        and not _is_one_word(answer[-1], context[start + len(answer) : start + len(answer) + 1])
    ]


def _all_places(answer: str, context: str) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(answer), context)] if answer else []


def _is_one_word(one: str, next_one: str) -> bool:
    both = (one, next_one)
    return all(letter.lower() != letter.upper() for letter in both) or all(letter.isdigit() for letter in both)


def _placed(place: str, context: str, text: Any, start: Any) -> int:
    if not isinstance(text, str) or not text.strip() or not isinstance(start, int) or isinstance(start, bool):
        raise BertkitError(
            f"{place}: an answer must be a text with the number of its first character, got {text!r}, {start!r}"
        )
    if context.startswith(text, max(start, 0)) and start >= 0:
        return start
    before, after = context.rfind(text, 0, max(start, 0) + len(text)), context.find(text, max(start, 0))
    there = [one for one in (before, after) if one >= 0]
    if not there:
        raise BertkitError(f"{place}: the answer '{text[:60]}' is not in its text")
    return min(there, key=lambda one: abs(one - start))


def nested_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]] | None:
    """The questions in a file with SQuAD's nested JSON, as {"id", "question", "context", "answers"}; None for other files."""
    if plain_name(path).suffix.lower() != ".json":
        return None
    with open_binary(path) as stream:
        beginning = stream.read(_BEGINNING_BYTES)
    return (
        _nested(path)
        if b'"paragraphs"' in beginning and beginning.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{")
        else None
    )


def _nested(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with open_binary(path) as stream:
        data = stream.read(_LARGEST_BYTES)
    halves = Halves()
    try:
        articles = json.loads(data)["data"]
        for at, article in enumerate(articles):
            for found in article["paragraphs"]:
                paragraph = halves.replaced(found, f"{path}, article {at + 1}")
                for question in paragraph["qas"]:
                    yield (
                        f"{path}, article {at + 1}, question {question.get('id', '?')}",
                        _flat(question, paragraph["context"]),
                    )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BertkitError(
            f"{path} is no SQuAD file: it must hold data, paragraphs, qas and answers ({type(error).__name__}: {str(error)[:80]})"
        ) from None
    halves.say()


def _flat(question: dict[str, Any], context: Any) -> dict[str, Any]:
    answers = [] if question.get("is_impossible") else question["answers"]
    return {"id": question.get("id"), "question": question["question"], "context": context, "answers": answers}
