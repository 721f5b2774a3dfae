"""Reads tagged text: lists of tokens and tags, and texts with entities marked by characters."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bertkit import console
from bertkit.console import counted
from bertkit.errors import BertkitError
from bertkit.finetuning.entities import OUTSIDE, Entity, split_tag, tags_of
from bertkit.finetuning.rows.cells import is_missing
from bertkit.finetuning.rows.unfolded import are_texts, looks_like_list, unfolded

_WORD_NAMES = ("tokens", "words")
_SPAN_NAMES = ("entities", "spans", "label", "labels", "annotations")
_FURTHER = "further marks"
_OF_BILOU = {"L": "E", "U": "S"}


@dataclass(frozen=True)
class TaggedRow:
    """A text with its words and their tags, or with entities marked by characters.

    Attributes:
        place: its place for messages, such as "train.conll:12".
        words: the first character and the end (exclusive) of each word; None if only a tokenizer can tell.
        tags: one per word; None if there are none, or none yet.
        marked: entities by their characters, if the row marks them; they do not overlap.
        overlapping: how many entities were left out because they overlap a longer one.
        widened: how many entities began or ended within a word, and were extended to all of it.
        further: how many marks were left out because they come from a further annotator, or label the same characters again.
        unread: how many entities have no word of their own that is read: they lie beyond the length of the model, consist of
            characters that the tokenizer drops, or share a word with the entity before.
    """

    place: str = field(compare=False)
    text: str
    words: list[tuple[int, int]] | None = None
    tags: list[str] | None = None
    marked: list[Entity] | None = None
    overlapping: int = 0
    further: int = 0
    widened: int = 0
    unread: int = 0

    @property
    def tokens(self) -> list[str]:
        """The words, if they are known."""
        return [self.text[begin:end] for begin, end in self.words or ()]


def of_tokens(place: str, tokens: Sequence[Any], tags: Sequence[Any] | None, names: Sequence[str] = ()) -> TaggedRow:
    """Makes a row from a list of words and a list of as many tags.

    Args:
        place: the place of the row, for messages.
        tokens: the words.
        tags: their tags; None without labels.
        names: the names of the tags by number, if the tags are numbers.

    Raises:
        BertkitError: the lists have different lengths, a word is not a text, or a number has no name.
    """
    if wrong := [token for token in tokens if not isinstance(token, str)]:
        raise BertkitError(f"{place}: the token {wrong[0]!r} is no text")
    if tags is not None and len(tags) != len(tokens):
        counts = f"{counted(len(tokens), 'token', 'tokens')} and {counted(len(tags), 'tag', 'tags')}"
        raise BertkitError(f"{place} has {counts}: there must be one for each")
    text, words = "", list[tuple[int, int]]()
    for token in tokens:
        text += " " if words else ""
        words.append((len(text), len(text) + len(token)))
        text += token
    return TaggedRow(place, text, words, None if tags is None else [_tag_name(place, tag, names) for tag in tags])


def in_bioes(tag: str) -> str:
    """A tag of BILOU, the scheme of spaCy, with the letters of BIOES, which a line says once; any other as it is."""
    prefix, _, label = tag.partition("-")
    if prefix not in _OF_BILOU or not label:
        return tag
    console.note_once("tags in BILOU (L-, U-) are read, and named, as those of BIOES (E-, S-)")
    return f"{_OF_BILOU[prefix]}-{label}"


def _tag_name(place: str, tag: Any, names: Sequence[str]) -> str:
    if isinstance(tag, str) and tag.strip():
        return in_bioes(tag.strip())
    if isinstance(tag, int) and not isinstance(tag, bool):
        if 0 <= tag < len(names):
            return in_bioes(names[tag])
        raise BertkitError(
            f'{place}: the tag {tag} has no name: give the names in order, --set task.labels=\'["O", "B-PER", …]\''
        )
    raise BertkitError(f"{place}: the tag {tag!r} is no name")


def marked_entities(row: dict[str, Any]) -> list[Any] | None:
    """The entities that a row marks by characters, in the formats of doccano, Prodigy, spaCy and Label Studio; None for other
    rows."""
    row = _of_label_studio(row)
    if not isinstance(row.get("text"), str):
        return None
    for name in _SPAN_NAMES:
        value = unfolded(row.get(name))
        if isinstance(value, list) and all(_span(one) is not None for one in value):
            return value
    return None


def is_unmarked(row: dict[str, Any]) -> bool:
    """Whether a row has room for entities, labels or an answer, and none, so that only further rows tell what they are."""
    row = _of_label_studio(row)
    given = [unfolded(row[name]) for name in (*_SPAN_NAMES, "answers", "answer") if name in row]
    return bool(given) and all(is_missing(value) or value == [] for value in given)


def of_entities(place: str, row: dict[str, Any]) -> TaggedRow:
    """Makes a row from a text whose entities are marked by characters.

    Raises:
        BertkitError: an entity lies outside of its text.
    """
    plain = _of_label_studio(row)
    text, marks = plain.get("text"), marked_entities(row) or []
    if not isinstance(text, str):
        raise BertkitError(f"{place}: 'data' has no text")
    spans = [span for one in marks if (span := _span(one)) is not None]
    kept: list[Entity] = []
    for span in sorted(spans, key=lambda one: (one.begin - one.end, one.begin)):
        if not 0 <= span.begin < span.end <= len(text):
            raise BertkitError(
                f"{place}: the entity {span.label} from {span.begin} to {span.end} is not within its text of "
                f"{len(text)} characters"
            )
        if all(span.end <= one.begin or one.end <= span.begin for one in kept):
            kept.append(span)
    second = sum(
        len(one["labels"]) - 1 for one in marks if isinstance(one, dict) and isinstance(one.get("labels"), list)
    )
    further = plain.get(_FURTHER, 0) + second
    return TaggedRow(place, text, marked=sorted(kept), overlapping=len(spans) - len(kept), further=further)


def with_words(row: TaggedRow, words: list[tuple[int, int]]) -> TaggedRow:
    """The row with the words that a tokenizer sees in it, tagged by its marked entities.

    Example:
        >>> row = TaggedRow("", "in New Yorker", marked=[Entity(3, 11, "LOC")])
        >>> tagged = with_words(row, [(0, 2), (3, 6), (7, 13)])
        >>> tagged.tags, tagged.widened, tagged.unread
        (['O', 'B-LOC', 'I-LOC'], 1, 0)
    """
    entities: list[Entity] = []
    widened = 0
    for one in row.marked or []:
        inside = [number for number, (begin, end) in enumerate(words) if begin < one.end and end > one.begin]
        inside = [number for number in inside if not entities or number >= entities[-1].end]
        if inside:
            entities.append(Entity(inside[0], inside[-1] + 1, one.label))
            whole = row.text[words[inside[0]][0] : words[inside[-1]][1]]
            widened += whole != row.text[one.begin : one.end].strip()
    tags = None if row.marked is None else tags_of(entities, len(words))
    unread = len(row.marked or []) - len(entities)
    return replace(row, words=words, tags=tags, widened=widened, unread=unread)


def tagged_row(row: tuple[str, dict[str, Any]], columns: dict[str, tuple[str, ...]], names: Sequence[str]) -> TaggedRow:
    """Makes a row from a row of a table, with tokens and tags, or with a text and entities.

    Args:
        row: the row of the table.
        columns: columns by role: "text" has the tokens or the text, "label" the tags or the entities, if there are any.
        names: the names of the tags by number, if the tags are numbers.

    Raises:
        BertkitError: as for ``of_tokens`` and ``of_entities``; or the text is neither a string nor a list.
    """
    place, values = row
    text = _read_text(place, columns["text"][0], values)
    label = unfolded(values.get(columns["label"][0])) if "label" in columns else None
    if isinstance(text, list):
        if "label" in columns and not isinstance(label, list):
            raise BertkitError(f"{place}: '{columns['label'][0]}' must be a list of as many tags as there are tokens")
        return of_tokens(place, text, label, names)
    if isinstance(text, dict):
        return of_entities(place, values)
    if not isinstance(text, str):
        raise BertkitError(f"{place}: '{columns['text'][0]}' must be a text, or a list of its words")
    if "label" not in columns:
        return TaggedRow(place, text)
    if marked_entities({"text": text, "entities": label}) is None:
        raise BertkitError(
            f"{place}: '{columns['label'][0]}' must be a list of entities, each with its start, end and label"
        )
    return of_entities(place, {"text": text, "entities": label})


def words_in(name: str, cell: Any) -> list[Any] | None:
    """The words in a cell that is a list of them, or is written as one; None for a cell that is a text.

    A text in brackets may be a sentence: it is a list if all in it are texts, or the column's name says that it holds words.
    """
    if isinstance(cell, list):
        return cell
    found = unfolded(cell)
    if _holds_words(name):
        return found if isinstance(found, list) and (not found or any(isinstance(one, str) for one in found)) else None
    return found if are_texts(found) and cell.lstrip().startswith("[") else None


def holds_unread(name: str, cell: Any) -> bool:
    """Whether a cell in a column of words is written like a list of them, and cannot be read as one."""
    return _holds_words(name) and looks_like_list(cell) and words_in(name, cell) is None


def _holds_words(name: str) -> bool:
    return name.strip().casefold() in _WORD_NAMES


def _read_text(place: str, name: str, row: dict[str, Any]) -> Any:
    """The text of a row, its words, or what Label Studio has in the place of a text.

    Raises:
        BertkitError: it is written as a list of words that cannot be read.
    """
    cell = row.get(name)
    words = words_in(name, cell)
    if words is not None:
        return words
    if holds_unread(name, cell):
        raise BertkitError(
            f"{place}: '{name}' looks like a list of words, and is none in JSON or Python, got {str(cell)[:60]}: write "
            '["like", "this"]'
        )
    return unfolded(cell) if name == "data" else cell


def _of_label_studio(row: dict[str, Any]) -> dict[str, Any]:
    """A row of Label Studio's export as {"text", "entities"}, from the first annotator who did not skip it, with the number of
    marks of the others; any other row as it is."""
    data, annotations = unfolded(row.get("data")), unfolded(row.get("annotations", []))
    if not isinstance(data, dict) or not isinstance(annotations, list):
        return row
    texts = [value for value in data.values() if isinstance(value, str)]
    text = data["text"] if isinstance(data.get("text"), str) else max(texts, key=len, default=None)
    done = [one for one in annotations if isinstance(one, dict) and not one.get("was_cancelled")]
    first, *others = [_marks(one.get("result")) for one in done] or [[]]
    return {"text": text, "entities": first, _FURTHER: sum(map(len, others))}


def _marks(result: Any) -> list[dict[str, Any]]:
    """The entities that an annotator marked in a text, without choices and relations."""
    values = [one.get("value") for one in result if isinstance(one, dict)] if isinstance(result, list) else []
    return [value for value in values if isinstance(value, dict) and "labels" in value]


def _span(value: Any) -> Entity | None:
    """An entity from ``[0, 5, "PER"]``, ``{"start", "end", "label"}`` or ``{"start", "end", "labels": ["PER"]}``."""
    if isinstance(value, dict):
        labels = value.get("labels")
        label = value.get("label", labels[0] if isinstance(labels, list) and labels else None)
        value = [value.get("start", value.get("start_offset")), value.get("end", value.get("end_offset")), label]
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        return None
    begin, end, label = value
    whole = all(isinstance(one, int) and not isinstance(one, bool) for one in (begin, end))
    return Entity(begin, end, label) if whole and isinstance(label, str) and label else None


def tag_names(rows: Iterable[TaggedRow], scheme: str) -> list[str]:
    """The tags of rows, "O" first, then type by type. For entities all tags that the scheme has for a type are included, so
    that those are known which happen not to occur in the training rows."""
    tags = {tag for row in rows for tag in row.tags or ()}
    types = {split_tag(tag)[1] for tag in tags} | {one.label for row in rows for one in row.marked or ()}
    if scheme:
        prefixes = "BIES" if scheme == "BIOES" else "BI"
        tags |= {OUTSIDE} | {f"{prefix}-{label}" for label in types - {""} for prefix in prefixes}
    return sorted(tags, key=lambda tag: (tag != OUTSIDE, split_tag(tag)[1], tag))
