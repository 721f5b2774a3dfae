"""What is said of documents that have no sentence pairs, or few."""

from collections.abc import Sequence

from bertkit import console
from bertkit.pretraining.extent import documents_with_pairs, extent_of
from bertkit.pretraining.texts import RunText
from bertkit.settings.schema import DataSettings

_ENDS = "a blank line ends a document, and so does a row"
_WITHOUT = "--set data.sentence_objective=none"


def say_pairs(texts: Sequence[RunText], data: DataSettings) -> None:
    """Warns where the next-sentence head has nothing to learn from, or little."""
    if data.sentence_objective == "none":
        return
    documents, pairs = sum(text.documents.count for text in texts), documents_with_pairs(texts, data)
    if not pairs:
        console.warn(
            f"{why_no_pairs(texts, ' to train on')}: the next-sentence head and the pooler learn nothing "
            f"({_ENDS}; {_WITHOUT} trains without them)"
        )
    elif 2 * pairs < documents:
        console.warn(
            f"{documents - pairs:,} of {documents:,} documents to train on have no second sentence: the next-sentence head and "
            f"the pooler learn from the others alone ({_ENDS}; {_WITHOUT} trains without them)"
        )


def say_no_held_out_pairs(texts: Sequence[RunText], data: DataSettings, max_seq_length: int) -> None:
    """Warns where there are no next-sentence figures of the text that is held out, read at this length."""
    is_without = data.sentence_objective == "none" or not any(text.documents.count for text in texts)
    if is_without or documents_with_pairs(texts, data.model_copy(update={"max_seq_length": max_seq_length})):
        return
    why = why_no_pairs(texts, " held out")
    console.warn(
        f"{why}: no next-sentence figures of examples of {max_seq_length} tokens (--validation FILE, or a larger --set "
        f"data.validation_split=N, holds out other documents; {_ENDS})"
    )


def why_no_pairs(texts: Sequence[RunText], which: str = "") -> str:
    """Why documents have no examples with two segments; ``which`` says which documents of a text they are."""
    if any(extent_of(text).several for text in texts):
        return f"the text{which} is a single document, too short for a random next sentence from a far part of it"
    return f"no document{which} has two sentences, so there are no pairs"
