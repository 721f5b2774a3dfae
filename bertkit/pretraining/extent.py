"""What the documents of a text allow: whether it has sentence pairs, and how many tokens its longest example has."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bertkit import console
from bertkit.corpus.by_document import chunks_of, computed_once, tokens_of
from bertkit.pretraining.mix import Part
from bertkit.settings.schema import DataSettings

_ENDS = "a blank line ends a document, and so does a row"
_WITHOUT = "--set data.sentence_objective=none"


class Extent(NamedTuple):
    """Figures of the documents of one side of a text."""

    several: int
    """How many have two sentences or more."""
    longest_of_several: int
    """The tokens of the longest of those; 0 where there is none."""
    longest_of_one: int
    """The tokens of the longest one of a single sentence."""


def extent_of(part: Part) -> Extent:
    """The figures of the documents from which a part's examples are drawn."""
    store, documents = part.store, part.documents

    def measured() -> Iterator[dict[str, np.ndarray]]:
        for chunk in chunks_of(len(documents.mine)):
            tokens = tokens_of(store, documents.starts, chunk)
            mine = documents.mine[chunk.start : chunk.stop]
            has_several = np.diff(np.asarray(documents.starts[chunk.start : chunk.stop + 1])) > 1
            several, one = mine & has_several, mine & ~has_several
            yield {"extent": np.array([several.sum(), tokens[several].max(initial=0), tokens[one].max(initial=0)])}

    found = computed_once(store, ("extent", *documents.origin), {"extent": "<i8"}, measured)["extent"].reshape(-1, 3)
    return Extent(int(found[:, 0].sum()), *map(int, found[:, 1:].max(0)))


def longest_example(part: Part, data: DataSettings, max_seq_length: int) -> int:
    """The most tokens that an example of a part can have, special tokens included.

    A pair is never longer than the document of its first segment: a random second segment has no more tokens than the true
    one could have had.
    """
    extent = extent_of(part)
    if data.sentence_objective == "none":
        return min(max(extent.longest_of_several, extent.longest_of_one) + 2, max_seq_length)
    room = max_seq_length - 3
    alone = min(max(extent.longest_of_several, extent.longest_of_one), room) + 2
    paired = min(extent.longest_of_several, room) + 3
    return max(alone, paired) if documents_with_pairs([part], data) else alone


def documents_with_pairs(parts: Sequence[Part], data: DataSettings) -> int:
    """How many documents have examples with two segments: those of two sentences; none without a sentence objective."""
    if data.sentence_objective == "none":
        return 0
    return sum(extent_of(part).several for part in parts if not _is_too_short(part, data))


def say_pairs(parts: Sequence[Part], data: DataSettings) -> None:
    """Warns where the next-sentence head has nothing to learn from, or little."""
    if data.sentence_objective == "none":
        return
    documents, pairs = sum(part.documents.count for part in parts), documents_with_pairs(parts, data)
    if not pairs:
        console.warn(
            f"{why_no_pairs(parts, ' to train on')}: the next-sentence head and the pooler learn nothing "
            f"({_ENDS}; {_WITHOUT} trains without them)"
        )
    elif 2 * pairs < documents:
        console.warn(
            f"{documents - pairs:,} of {documents:,} documents to train on have no second sentence: the next-sentence head and "
            f"the pooler learn from the others alone ({_ENDS}; {_WITHOUT} trains without them)"
        )


def say_no_held_out_pairs(parts: Sequence[Part], data: DataSettings, max_seq_length: int) -> None:
    """Warns where there are no next-sentence figures of the text that is held out, read at this length."""
    is_without = data.sentence_objective == "none" or not any(part.documents.count for part in parts)
    if is_without or documents_with_pairs(parts, data.model_copy(update={"max_seq_length": max_seq_length})):
        return
    why = why_no_pairs(parts, " held out")
    console.warn(
        f"{why}: no next-sentence figures of examples of {max_seq_length} tokens (--validation FILE, or a larger --set "
        f"data.validation_split=N, holds out other documents; {_ENDS})"
    )


def why_no_pairs(parts: Sequence[Part], which: str = "") -> str:
    """Why documents have no examples with two segments; ``which`` says which documents of a text they are."""
    if any(extent_of(part).several for part in parts):
        return f"the text{which} is a single document, too short for a random next sentence from a far part of it"
    return f"no document{which} has two sentences, so there are no pairs"


def as_read(data: DataSettings, max_seq_length: int, has_pairs: bool) -> tuple[DataSettings, int]:
    """With which settings and length a model is evaluated: one that met no pairs reads the single segments of its training."""
    if has_pairs or data.sentence_objective == "none":
        return data, max_seq_length
    # A token less, as its training left room for the [SEP] of a second segment.
    return data.model_copy(update={"sentence_objective": "none"}), max_seq_length - 1


def _is_too_short(part: Part, data: DataSettings) -> bool:
    """Whether a part is a single document without a far part that a random next sentence could come from."""
    room = min(tokens for _, tokens in data.phases) - 3
    return data.sentence_objective == "nsp" and part.documents.count == 1 and part.documents.tokens <= 2 * room
