"""What the documents of a text allow: whether it has sentence pairs, and how many tokens its longest example has."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bertkit.corpus.by_document import chunks_of, computed_once, tokens_of
from bertkit.pretraining.texts import RunText
from bertkit.settings.schema import DataSettings


class Extent(NamedTuple):
    """Figures of the documents of one side of a text."""

    several: int
    """How many have two sentences or more."""
    longest_of_several: int
    """The tokens of the longest of those; 0 where there is none."""
    longest_of_one: int
    """The tokens of the longest one of a single sentence."""


def extent_of(text: RunText) -> Extent:
    """The figures of the documents from which a text's examples are drawn."""
    store, documents = text.store, text.documents

    def measured() -> Iterator[dict[str, np.ndarray]]:
        for chunk in chunks_of(len(documents.mine)):
            tokens = tokens_of(store, documents.starts, chunk)
            mine = documents.mine[chunk.start : chunk.stop]
            has_several = np.diff(np.asarray(documents.starts[chunk.start : chunk.stop + 1])) > 1
            several, one = mine & has_several, mine & ~has_several
            yield {"extent": np.array([several.sum(), tokens[several].max(initial=0), tokens[one].max(initial=0)])}

    found = computed_once(store, ("extent", *documents.origin), {"extent": "<i8"}, measured)["extent"].reshape(-1, 3)
    return Extent(int(found[:, 0].sum()), *map(int, found[:, 1:].max(0)))


def longest_example(text: RunText, data: DataSettings, max_seq_length: int) -> int:
    """The most tokens that an example of a text can have, special tokens included.

    A pair is never longer than the document of its first segment: a random second segment has no more tokens than the true
    one could have had.
    """
    extent = extent_of(text)
    if data.sentence_objective == "none":
        return min(max(extent.longest_of_several, extent.longest_of_one) + 2, max_seq_length)
    room = max_seq_length - 3
    alone = min(max(extent.longest_of_several, extent.longest_of_one), room) + 2
    paired = min(extent.longest_of_several, room) + 3
    return max(alone, paired) if documents_with_pairs([text], data) else alone


def documents_with_pairs(texts: Sequence[RunText], data: DataSettings) -> int:
    """How many documents have examples with two segments: those of two sentences; none without a sentence objective."""
    if data.sentence_objective == "none":
        return 0
    return sum(extent_of(text).several for text in texts if not _is_too_short(text, data))


def _is_too_short(text: RunText, data: DataSettings) -> bool:
    """Whether a text is a single document without a far part that a random next sentence could come from."""
    room = min(tokens for _, tokens in data.phases) - 3
    return data.sentence_objective == "nsp" and text.documents.count == 1 and text.documents.tokens <= 2 * room
