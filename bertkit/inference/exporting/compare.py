"""An exported model beside its original: what both say of the same real texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bertkit.assets import EMBEDDED_CORPUS
from bertkit.errors import BertkitError
from bertkit.runtime.base import Bert, Head
from bertkit.runtime.text import Encoding, Pieces

# Largest differences allowed, as shares of the largest number there is (or of 1, where all are smaller).
_TOLERANCES = {"onnx": 1e-4, "half": 1e-2, "sentence-transformers": 1e-5}
# With 8-bit weights single numbers may be far off. What counts is that words come out in the same place, and for all
# else what share of the whole the differences make up. (BERT-Tiny: 88 % of the first words, shares below 4 %.)
_INT8_SAME_WORDS, _INT8_SHARE = 0.7, 0.15
_EVERY_MASKED = 7


@dataclass(frozen=True)
class Difference:
    """What an exported model says, beside what the original says, over all texts of the check."""

    what: str
    largest: float
    """Largest absolute difference of two numbers."""
    scale: float
    """Largest absolute number of the original, at least 1."""
    share: float
    """Root of the sum of squared differences, over that of the original's numbers."""
    same_choice: float | None
    """Share of the rows with the largest number at the same place; None for hidden states."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        texts: how many the check read.
        tokens: of the shortest and of the longest of them.
    """

    folder: Path
    weights: Path
    texts: int
    tokens: tuple[int, int]
    differences: list[Difference]


def check_texts() -> list[str]:
    """Real texts: lone sentences, and some up to the longest."""
    lines = _lines()
    return lines[:32] + [" ".join(lines[50 : 50 + number]) for number in (4, 12, 50, 100)]


def _lines() -> list[str]:
    return [line for line in EMBEDDED_CORPUS.read_text(encoding="utf-8").splitlines() if line]


class Check:
    """The texts of the check, and what a model says of them: lone sentences, pairs, and texts up to the longest."""

    def __init__(self, pieces: Pieces, heads: Sequence[Head], longest: int, has_segments: bool) -> None:
        self.heads: list[Head] = [*heads, "none"]
        encoded = [pieces.encode(text) for text in check_texts()]
        if has_segments:
            encoded += [pieces.encode(*_lines()[begin : begin + 2]) for begin in range(32, 48, 2)]
        self.texts = [Encoding(one.ids[:longest], one.type_ids[:longest]) for one in encoded]
        self.places = [list(range(1, len(one.ids) - 1, _EVERY_MASKED)) or [0] for one in self.texts]
        self._masked = [
            Encoding([pieces.mask_id if i in places else id_ for i, id_ in enumerate(one.ids)], one.type_ids)
            for one, places in zip(self.texts, self.places, strict=True)
        ]

    def answers(self, bert: Bert, head: Head) -> np.ndarray:
        """What a model says of all texts, a row a place, a text, or a token: float32 ``[rows, columns]``."""
        if head == "words":
            return np.concatenate(bert.word_log_probabilities(self._masked, self.places))
        if head == "pairs":
            return bert.next_sentence_logits(self.texts)
        if head == "task":
            return np.concatenate([np.atleast_2d(one) for one in bert.head_logits(self.texts)])
        layers = range(bert.config["num_hidden_layers"] + 1)
        states = bert.hidden_states(self.texts, layers)
        return np.concatenate([one.transpose(1, 0, 2).reshape(one.shape[1], -1) for one in states])


_NAMES: dict[str, str] = {
    "words": "word log-probabilities",
    "pairs": "next-sentence logits",
    "task": "class logits",
    "none": "hidden states",
    "sentences": "sentence vectors",
}


def difference(head: Head | Literal["sentences"], found: np.ndarray, expected: np.ndarray) -> Difference:
    """Of what two models say, ``[rows, columns]`` each."""
    apart = np.abs(found - expected)
    same = (found.argmax(axis=1) == expected.argmax(axis=1)).mean()
    return Difference(
        _NAMES[head],
        float(apart.max()),
        max(1.0, float(np.abs(expected).max())),
        float(np.linalg.norm(apart) / max(float(np.linalg.norm(expected)), 1e-30)),
        None if head in ("none", "sentences") else float(same),
    )


def refuse_if_far(difference: Difference, form: str, int8: bool = False) -> None:
    """Raises a BertkitError where an exported model says something else than the original. NaN is something else."""
    if not int8:
        fits = difference.largest <= _TOLERANCES[form] * difference.scale
        found = f"differ by up to {difference.largest:.2g} (largest number: {difference.scale:.3g})"
    elif difference.what == _NAMES["words"]:
        fits = difference.same_choice is not None and difference.same_choice >= _INT8_SAME_WORDS
        found = f"put another word first at {1 - (difference.same_choice or 0):.0%} of the masks"
    else:
        fits = difference.share <= _INT8_SHARE
        found = f"differ by {difference.share:.0%} of their size"
    if not fits:
        raise BertkitError(
            f"as {'int8' if int8 else form} the model says something else than the original, so nothing was written: "
            f"its {difference.what} {found}; keep the original, or export it in another form"
        )
