"""The shares that the texts of a run have of its examples."""

from collections.abc import Sequence
from typing import Any

from bertkit.console import counted
from bertkit.draws import key
from bertkit.pretraining.texts import RunText

_UNIT_BITS = 32
"""Shares are whole multiples of 2^-32, so that rounding is the same on every machine."""


def examples_of(shares: Sequence[float], examples: int) -> list[int]:
    """How many of the first ``examples`` examples of a run come from each text.

    The share of the first text is rounded, then the share of the next one among the examples that are left, and so on. With each
    further example exactly one of the counts grows, by one.

    Args:
        shares: the shares of the texts, above 0, in any unit.
        examples: the number of examples of all texts together.

    Example:
        >>> [examples_of((0.75, 0.25), n) for n in range(5)]
        [[0, 0], [1, 0], [2, 0], [2, 1], [3, 1]]
    """
    counts, left = [], examples
    for number, share in enumerate(shares[:-1]):
        of_those_left = round(share / sum(shares[number:]) * 2**_UNIT_BITS)
        counts.append((left * of_those_left + 2 ** (_UNIT_BITS - 1)) >> _UNIT_BITS)
        left -= counts[-1]
    return [*counts, left]


def seed_of(seed: int, number: int) -> int:
    """The seed for a text's examples. Texts have different seeds, so that their examples do not share masks."""
    return key(seed, number) if number else seed


def facts_of(texts: Sequence[RunText], passes: Sequence[float]) -> dict[str, list[dict[str, Any]]]:
    """The field ``mix`` of a run's record, with an entry per text; no field if there is a single text.

    Args:
        texts: the texts.
        passes: how many times each text is read in the whole run.
    """
    if len(texts) == 1:
        return {}
    facts = [
        {
            "source": text.name,
            "share": text.share,
            "documents": text.store.info.documents,
            "tokens": text.store.info.tokens,
            "training_tokens": text.documents.tokens,
            "text_bytes": text.store.info.text_bytes,
            "passes": times,
        }
        for text, times in zip(texts, passes, strict=True)
    ]
    return {"mix": facts}


def line_of(text: dict[str, Any]) -> str:
    """An entry of ``facts_of`` as a line for people."""
    size, times = text["text_bytes"], text["passes"]
    all_of_it = ", all of them trained on" if text["training_tokens"] == text["tokens"] else ""
    return (
        f"{text['source']}: {counted(text['documents'], 'document', 'documents')}, {text['tokens']:,} tokens{all_of_it} ("
        + (f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB")
        + f"), {text['share']:.1%} of the examples, {_read_times(times)}"
    )


def _read_times(times: float) -> str:
    if not times:
        return "never read: no example is of its share (more --max-steps, or a larger share, reads some)"
    return (
        f"read {times:,.0f} times"
        if times >= 10
        else f"read {times:,.1f} times"
        if times >= 0.05
        else f"{times:.1%} of it read"
    )
