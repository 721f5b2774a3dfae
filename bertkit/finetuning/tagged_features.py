"""Turns rows of tagged words into features; each word is read at its first word piece, in one window."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.console import counted
from bertkit.errors import BertkitError
from bertkit.finetuning.entities import entities
from bertkit.finetuning.features import Features, Split, joined
from bertkit.finetuning.rows.tagged_rows import TaggedRow, of_tokens, with_words

if TYPE_CHECKING:
    from bertkit.finetuning.windows import RowEncoder


@dataclass(frozen=True)
class TagTargets:
    """The tokens of each feature that are read, and their tags.

    Attributes:
        rows: each row with its words, as the tokenizer sees them.
        places: for each feature the tokens that are read, int64 ``[words]``: the first word pieces of words, in order.
        words: for each of these tokens the number of its word in the row.
        ids: for each of these tokens its tag, int64; None without labels.
    """

    rows: list[TaggedRow]
    places: list[np.ndarray]
    words: list[np.ndarray]
    ids: list[np.ndarray] | None = None


def tagged_features(split: Split, encoder: "RowEncoder", overflow: str) -> Features:
    """The features of a split whose texts are lists of words, or strings, with ``TagTargets`` without ``ids``.

    A word that occurs in several windows is read in the one where it is furthest from an edge.

    Raises:
        BertkitError: some of the rows with labels are lists of words, and others strings.
    """
    kinds = sorted({isinstance(text, str) for text in split.texts})
    if len(kinds) > 1 and split.labels is not None:
        _refuse_mixture(split)
    made = joined([_of_kind(split.texts, is_string, encoder, overflow) for is_string in kinds or [True]])
    assert made.words is not None
    firsts = [_first_pieces(words) for words in made.words]
    kept = _best_windows(firsts, [len(ids) for ids in made.ids], made.rows.tolist())
    read = [
        [(place, word) for word, place in first.items() if word in own] for first, own in zip(firsts, kept, strict=True)
    ]
    places, words = ([np.array([pair[at] for pair in some], dtype=np.int64) for some in read] for at in (0, 1))
    return replace(made, targets=TagTargets(_with_all_words(split, made), places, words))


def what_is_lost(targets: TagTargets, features: Features, name: str) -> list[str]:
    """Lines that count the entities that are extended or not read, and the tagged words of which the tokenizer reads nothing."""
    told = []
    if widened := sum(row.widened for row in targets.rows):
        begin = counted(widened, "entity begins or ends", "entities begin or end")
        told.append(f"{begin} within a word in {name}: the whole of it is taken")
    if unread := sum(row.unread for row in targets.rows):
        told.append(
            f"entities left out in {name}: {unread:,}, of which no word is read, as it lies beyond the length (--seq-len, or "
            "--set data.overflow=windows), is none to the tokenizer, or belongs to another entity"
        )
    read = np.zeros(len(targets.rows), dtype=np.int64)
    np.add.at(read, features.rows, [len(words) for words in targets.words])
    lacking = [len(row.words or ()) - own for row, own in zip(targets.rows, read.tolist(), strict=True)]
    if dropped := sum(number for row, number in enumerate(lacking) if row not in features.cut):
        told.append(
            f"words in {name} of which the tokenizer reads nothing, so that no tags are learned or found for them: {dropped:,}"
        )
    return told


def _refuse_mixture(split: Split) -> None:
    """Their tags may follow another scheme than the entities of strings, which become tags in BIO."""
    first = isinstance(split.texts[0], str)
    row = next(row for row, text in enumerate(split.texts) if isinstance(text, str) is not first)
    names = ("a list of words", "a text")
    raise BertkitError(
        f"{split.labels[row].place} is {names[not first]}, and the first row of {split.name} {names[first]}: give all rows "
        "as tokens with tags, or all as texts with entities"
    )


def _of_kind(texts: Sequence[Any], is_string: bool, encoder: "RowEncoder", overflow: str) -> Features:
    """The features of those rows that are strings, or of those that are lists of words."""
    own = [row for row, text in enumerate(texts) if isinstance(text, str) is is_string]
    made = encoder([(texts[row],) for row in own], overflow, are_words=not is_string, with_characters=True)
    return made.of_rows(own)


def _with_all_words(split: Split, made: Features) -> list[TaggedRow]:
    """The rows; those of strings with the words that the tokenizer finds in them."""
    assert made.words is not None
    assert made.offsets is not None
    spans: list[dict[int, tuple[int, int]]] = [{} for _ in split.texts]
    for row, words, offsets in zip(made.rows.tolist(), made.words, made.offsets, strict=True):
        for word, (begin, end) in zip(words, offsets, strict=True) if isinstance(split.texts[row], str) else ():
            if word is not None:
                first, last = spans[row].get(word, (begin, end))
                spans[row][word] = min(first, begin), max(last, end)
    rows = split.labels if split.labels is not None else [_unlabelled(text) for text in split.texts]
    return [
        with_words(row, [own.get(word, (0, 0)) for word in range(max(own, default=-1) + 1)])
        if isinstance(text, str)
        else row
        for text, row, own in zip(split.texts, rows, spans, strict=True)
    ]


def _unlabelled(text: Any) -> TaggedRow:
    return TaggedRow("", text) if isinstance(text, str) else of_tokens("", text, None)


def _first_pieces(words: Sequence[int | None]) -> dict[int, int]:
    """The words of a feature, each with the token at which it begins."""
    firsts: dict[int, int] = {}
    for place, word in enumerate(words):
        if word is not None:
            firsts.setdefault(word, place)
    return firsts


def _best_windows(firsts: Sequence[dict[int, int]], lengths: Sequence[int], rows: Sequence[int]) -> list[set[int]]:
    """The words that are read in each feature.

    Example:
        >>> _best_windows([{0: 1, 1: 2, 2: 3}, {1: 1, 2: 2, 3: 3}], [5, 5], [0, 0])
        [{0, 1}, {2, 3}]
    """
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for number, (first, length, row) in enumerate(zip(firsts, lengths, rows, strict=True)):
        for word, place in first.items():
            room = min(place, length - 1 - place)
            if room > best.get((row, word), (-1, 0))[0]:
                best[row, word] = room, number
    kept: list[set[int]] = [set() for _ in firsts]
    for (_, word), (_, number) in best.items():
        kept[number].add(word)
    return kept


def named_entities(row: TaggedRow, tags: Sequence[str], scores: np.ndarray | None = None) -> list[dict[str, Any]]:
    """The entities of a row's tags, by characters of its text; predicted ones with the mean probability of their tags."""
    words = row.words or []
    spans = [(one, words[one.begin][0], words[one.end - 1][1]) for one in entities(tags)]
    return [
        {
            "text": row.text[begin:end],
            "label": one.label,
            "start": begin,
            "end": end,
            **({} if scores is None else {"score": float(scores[one.begin : one.end].mean())}),
        }
        for one, begin, end in spans
    ]
