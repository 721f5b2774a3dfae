"""Entities as tags on words, and their precision, recall and F1, counted as in seqeval.

Three schemes are read: BIO (``B-PER I-PER O``), IOB1 (``B-`` only if an entity follows another one of its type), and BIOES
(``S-`` for a single word, ``E-`` for the last of several).
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

OUTSIDE = "O"
_ALIKE = re.compile(r"[BIESLU]([-_:/.].+)?|.+[-_:/.][BIESLU]", re.IGNORECASE)
_BEGINS, _GOES_ON, _MAY_GO_ON = {"B", "S"}, {"I", "E"}, {"B", "I"}


@dataclass(frozen=True, slots=True, order=True)
class Entity:
    """The words ``begin`` to ``end`` (exclusive) of a row, and the type of the entity."""

    begin: int
    end: int
    label: str


def split_tag(tag: str) -> tuple[str, str]:
    """The prefix and the type of a tag; a type without a prefix counts as inside an entity.

    Example:
        >>> split_tag("B-PER"), split_tag("O"), split_tag("NOUN")
        (('B', 'PER'), ('O', ''), ('I', 'NOUN'))
    """
    if tag == OUTSIDE:
        return OUTSIDE, ""
    prefix, dash, label = tag.partition("-")
    return (prefix, label) if dash and prefix in _BEGINS | _GOES_ON else ("I", tag)


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities in a row of tags of any scheme, found leniently, as by conlleval and by seqeval's default.

    A word continues the entity before it if its tag is ``I-`` or ``E-``, the word before has ``B-`` or ``I-``, and both have
    the same type. Any other word with a type begins an entity.

    Example:
        >>> [(one.begin, one.end, one.label) for one in entities(["B-PER", "I-PER", "O", "I-LOC", "B-LOC"])]
        [(0, 2, 'PER'), (3, 4, 'LOC'), (4, 5, 'LOC')]
    """
    gathered: list[Entity] = []
    begin, before, label = 0, OUTSIDE, ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, own = split_tag(tag)
        if prefix in _GOES_ON and before in _MAY_GO_ON and own == label:
            before = prefix
            continue
        if before != OUTSIDE:
            gathered.append(Entity(begin, place, label))
        begin, before, label = place, prefix, own
    return gathered


def repaired(tags: Sequence[str], scheme: str) -> list[str]:
    """The tags of a row, with ``B-`` where an entity is continued that did not begin; unchanged in IOB1, which allows that.

    Example:
        >>> repaired(["I-PER", "I-PER", "O"], "BIO")
        ['B-PER', 'I-PER', 'O']
    """
    if scheme not in ("BIO", "BIOES"):
        return list(tags)
    kept: list[str] = []
    before, label = OUTSIDE, ""
    for tag in tags:
        prefix, own = split_tag(tag)
        if prefix in _GOES_ON and not (before in _MAY_GO_ON and own == label):
            prefix = "S" if prefix == "E" else "B"
            tag = f"{prefix}-{own}"
        kept.append(tag)
        before, label = prefix, own
    return kept


def scheme_of(rows: Iterable[Sequence[str]]) -> str:
    """Recognises the scheme of all rows: "BIOES", "IOB1", "BIO", or "" if tags have no prefixes (as parts of speech).

    In IOB1 entities begin with ``I-``, and ``B-`` occurs only between two entities of the same type.
    """
    begins, begins_inside, ends, plain = 0, 0, 0, True
    for tags in rows:
        before, label = OUTSIDE, ""
        for tag in tags:
            prefix, own = split_tag(tag)
            plain &= prefix == OUTSIDE or tag == own
            ends += prefix in ("E", "S")
            begins += prefix == "B" and not (before != OUTSIDE and own == label)
            begins_inside += prefix == "I" and (before == OUTSIDE or own != label)
            before, label = prefix, own
    if plain:
        return ""
    return "BIOES" if ends else "IOB1" if begins_inside > begins else "BIO"


def are_like_entities(tags: Iterable[str]) -> bool:
    """Whether tags that have no scheme (see ``scheme_of``) seem to mark entities in another way: ``B``, ``B_PER``, ``PER-B``.

    Example:
        >>> are_like_entities(["O", "B", "I"]), are_like_entities(["b-per", "i-per"]), are_like_entities(["NOUN", "I"])
        (True, True, False)
    """
    named = [tag for tag in tags if tag.upper() != OUTSIDE]
    return bool(named) and all(map(_ALIKE.fullmatch, named))


def tags_of(spans: Iterable[Entity], num_words: int, scheme: str = "BIO") -> list[str]:
    """Tags for the entities of a row, in any of the schemes.

    Example:
        >>> tags_of([Entity(1, 3, "LOC")], 4)
        ['O', 'B-LOC', 'I-LOC', 'O']
        >>> tags_of([Entity(1, 3, "LOC"), Entity(3, 4, "LOC")], 4, "BIOES")
        ['O', 'B-LOC', 'E-LOC', 'S-LOC']
        >>> tags_of([Entity(1, 3, "LOC"), Entity(3, 4, "LOC")], 4, "IOB1")
        ['O', 'I-LOC', 'I-LOC', 'B-LOC']
    """
    tags = [OUTSIDE] * num_words
    for span in spans:
        prefixes = ["B", *"I" * (span.end - span.begin - 1)]
        if scheme == "BIOES":
            prefixes[-1] = "E" if len(prefixes) > 1 else "S"
        elif scheme == "IOB1" and not (span.begin and split_tag(tags[span.begin - 1])[1] == span.label):
            prefixes[0] = "I"
        tags[span.begin : span.end] = [f"{prefix}-{span.label}" for prefix in prefixes]
    return tags


def entity_scores(
    predicted: Sequence[Sequence[Entity]], right: Sequence[Sequence[Entity]]
) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support (the number of true entities) for each type.

    A predicted entity is right if both its words and its type are. Precision is 0 if there are no predictions, and recall
    if there are no true entities.
    """
    said, there, both = Counter[str](), Counter[str](), Counter[str]()
    for one, other in zip(predicted, right, strict=True):
        said.update(entity.label for entity in one)
        there.update(entity.label for entity in other)
        both.update(entity.label for entity in set(one) & set(other))
    return {label: _figures(both[label], said[label], there[label]) for label in sorted(said | there)}


def _figures(both: int, said: int, there: int) -> dict[str, float]:
    precision, recall = both / said if said else 0.0, both / there if there else 0.0
    f1 = 2 * precision * recall / (precision + recall) if both else 0.0
    return {"precision": precision, "recall": recall, "f1": f1, "support": there}
