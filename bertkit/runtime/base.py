"""The interface of a BERT's forward pass, whatever computes it: numpy, torch or onnxruntime."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar

import numpy as np

from bertkit.errors import BertkitError

if TYPE_CHECKING:
    from bertkit.runtime.text import Encoding, TextEncoder

Head = Literal["words", "pairs", "task", "none"]
"""Which head of a BERT is used: the one for masked words ("words"), for next sentences ("pairs"), for the task that it was
fine-tuned for ("task"), or none, for hidden states only."""
_Asked = ParamSpec("_Asked")
_Answers = TypeVar("_Answers", np.ndarray, list[np.ndarray])


class Bert(Protocol):
    """A forward pass without dropout. It takes any number of texts of any length, and returns fp32 in their order."""

    config: dict[str, Any]
    """The contents of config.json."""
    rows: int
    """Rows of the vocabulary, including those that pad it to a round number."""

    def word_log_probabilities(self, texts: "Sequence[Encoding]", places: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """The log-probabilities of all word pieces at some places: ``[places, rows]`` per text. Needs the head "words"."""

    def next_sentence_logits(self, texts: "Sequence[Encoding]") -> np.ndarray:
        """``[texts, 2]``: logits for "the second segment follows the first" and for "it is random". Needs the head "pairs"."""

    def head_logits(self, texts: "Sequence[Encoding]") -> list[np.ndarray]:
        """The logits of the head for a task: ``[outputs]`` per text if it reads the pooled state, ``[tokens, outputs]`` per
        text if it reads each token. Needs the head "task"."""

    def hidden_states(self, texts: "Sequence[Encoding]", layers: Sequence[int]) -> list[np.ndarray]:
        """The states of some layers: ``[layers, tokens, hidden_size]`` per text. 0 is the embeddings, -1 the last layer."""


@dataclass(frozen=True)
class Reader:
    """A BERT and its tokenizer.

    Attributes:
        name: the model as the person named it, for messages.
        max_tokens: the most tokens that the model reads, including special tokens: by its positions and by its tokenizer, whose
            length is that of the longest texts it was pretrained on.
    """

    name: str
    text_encoder: "TextEncoder"
    bert: Bert
    max_tokens: int


def finite(method: Callable[_Asked, _Answers]) -> Callable[_Asked, _Answers]:
    """Makes a method of a ``Bert`` raise a BertkitError where it would return NaN or infinity."""

    @wraps(method)
    def checked(*args: _Asked.args, **kwargs: _Asked.kwargs) -> _Answers:
        answers = method(*args, **kwargs)
        if not all(np.isfinite(answer).all() for answer in answers):
            raise BertkitError(
                "the answers of the model are not finite: its weights are damaged, or too large for fp32; give another"
            )
        return answers

    return checked
