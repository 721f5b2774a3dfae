"""Compares an exported model with its original, by their outputs for the same real texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bertkit import console
from bertkit.assets import EMBEDDED_CORPUS
from bertkit.errors import BertkitError
from bertkit.inference.misread import counted_pieces
from bertkit.runtime.base import Bert, Head
from bertkit.runtime.text import Encoding, TextEncoder

# The largest differences allowed, as shares of the largest number in the original's outputs (or of 1, if that is larger).
_TOLERANCES = {"onnx": 1e-4, "half": 1e-2, "sentence-transformers": 1e-5}
# With 8-bit weights single numbers may be far off. What counts is how often the same word comes first, and for all other
# outputs the size of the differences as a share of the outputs. (BERT-Tiny: 88 % of the first words, shares below 4 %.)
_INT8_SAME_WORDS, _INT8_SHARE = 0.7, 0.15
_EVERY_MASKED = 7
_SOME_UNKNOWN = 0.05


@dataclass(frozen=True)
class Difference:
    """How far one kind of output of an exported model differs from the original's, over all texts of the check."""

    what: str
    """The kind of output, in words."""
    largest: float
    """The largest absolute difference of two numbers."""
    scale: float
    """The largest absolute number of the original; of all but predicted numbers at least 1."""
    share: float
    """The norm of the differences, divided by that of the original's outputs."""
    same_choice: float | None
    """The share of the rows whose largest number stands at the same place; None where that is no choice of the model."""


@dataclass(frozen=True)
class Exported:
    """The result of an export.

    Attributes:
        folder: the new folder.
        weights: the file with the weights.
        texts: how many texts both models were compared on.
        tokens: tokens of the shortest and of the longest of them.
        differences: how far the outputs differ, by kind.
    """

    folder: Path
    weights: Path
    texts: int
    tokens: tuple[int, int]
    differences: list[Difference]


def check_texts() -> list[str]:
    """Real texts for the check: single sentences, and texts of up to 100 sentences."""
    lines = _lines()
    return lines[:32] + [" ".join(lines[50 : 50 + number]) for number in (4, 12, 50, 100)]


def _lines() -> list[str]:
    return [line for line in EMBEDDED_CORPUS.read_text(encoding="utf-8").splitlines() if line]


class Check:
    """The encoded texts of a check, and the outputs of a model for them: single sentences, pairs, and long texts.

    Args:
        text_encoder: the model's text encoder.
        heads: the model's heads; hidden states are always compared as well.
        longest: the most tokens of a text.
        has_segments: whether the model reads pairs.
    """

    def __init__(self, text_encoder: TextEncoder, heads: Sequence[Head], longest: int, has_segments: bool) -> None:
        self.heads: list[Head] = [*heads, "none"]
        encoded = [text_encoder.encode(text) for text in check_texts()]
        if has_segments:
            encoded += [text_encoder.encode(*_lines()[begin : begin + 2]) for begin in range(32, 48, 2)]
        self.texts = [Encoding(one.ids[:longest], one.type_ids[:longest]) for one in encoded]
        self._say_unknown(text_encoder)
        self.places = [list(range(1, len(one.ids) - 1, _EVERY_MASKED)) or [0] for one in self.texts]
        self._masked = [
            Encoding([text_encoder.mask_id if i in places else id_ for i, id_ in enumerate(one.ids)], one.type_ids)
            for one, places in zip(self.texts, self.places, strict=True)
        ]

    def _say_unknown(self, text_encoder: TextEncoder) -> None:
        ids = [text.ids for text in self.texts]
        unknown, pieces = counted_pieces(ids, text_encoder.unk_id, text_encoder.special_ids)
        share = unknown / max(1, pieces)
        if share > _SOME_UNKNOWN:
            console.warn(
                f"the check's texts are English, and {share:.0%} of their word pieces are unknown to the model: compare the "
                "export with the original on texts of your own, too"
            )

    def answers(self, bert: Bert, head: Head) -> np.ndarray:
        """A model's outputs for all texts, float32 ``[rows, columns]``: a row per masked place, text or token."""
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


def difference(
    head: Head | Literal["sentences"], exported: np.ndarray, expected: np.ndarray, kind: str = ""
) -> Difference:
    """The difference between the outputs of an exported model and the expected ones, ``[rows, columns]`` each.

    Args:
        head: whose outputs they are.
        exported, expected: the outputs.
        kind: of a head for a task: "numbers" of a regression, which may be as small as its labels; "parts" of an answer, whose
            choice is made among several rows; else a row is a choice.
    """
    apart = np.abs(exported - expected)
    same = (exported.argmax(axis=1) == expected.argmax(axis=1)).mean()
    return Difference(
        _NAMES[head],
        float(apart.max()),
        max(1e-30 if kind == "numbers" else 1.0, float(np.abs(expected).max())),
        float(np.linalg.norm(apart) / max(float(np.linalg.norm(expected)), 1e-30)),
        None if head in ("none", "sentences") or kind else float(same),
    )


def refuse_if_far(difference: Difference, form: str, int8: bool = False) -> None:
    """Raises a BertkitError where the outputs of an exported model are too far from the original's, or NaN."""
    if not int8:
        fits = difference.largest <= _TOLERANCES[form] * difference.scale
        how = f"differ by up to {difference.largest:.2g} (largest number: {difference.scale:.3g})"
    elif difference.what == _NAMES["words"]:
        fits = difference.same_choice is not None and difference.same_choice >= _INT8_SAME_WORDS
        how = f"put another word first at {1 - (difference.same_choice or 0):.0%} of the masks"
    else:
        fits = difference.share <= _INT8_SHARE
        how = f"differ by {difference.share:.0%} of their size"
    if not fits:
        raise BertkitError(
            f"as {'int8' if int8 else form} the model says something else than the original, so nothing was written: "
            f"its {difference.what} {how}; keep the original, or export it in another form"
        )
