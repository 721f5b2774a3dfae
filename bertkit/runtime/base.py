"""What is asked of a BERT's forward pass, whatever computes it: numpy, torch or onnxruntime."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeVar

import numpy as np

from bertkit.errors import BertkitError

if TYPE_CHECKING:
    from bertkit.runtime.text import Encoding, Pieces

Head = Literal["words", "pairs", "task", "none"]
"""What is asked of a BERT: words at masks, next sentences, what it was fine-tuned for, or hidden states alone."""
_Asked = ParamSpec("_Asked")
_Answers = TypeVar("_Answers", np.ndarray, list[np.ndarray])


class Bert(Protocol):
    """A forward pass. Texts come in any number and order, and answers in theirs; dropout is off, numbers are fp32."""

    config: dict[str, Any]
    """What config.json says."""
    rows: int
    """Of the vocabulary, those that pad it included."""

    def word_log_probabilities(self, texts: "Sequence[Encoding]", places: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Of every word piece at some places of each text: ``[places, rows]`` a text. Needs the head "words"."""

    def next_sentence_logits(self, texts: "Sequence[Encoding]") -> np.ndarray:
        """``[texts, 2]``: of the second segment following the first, and of its being random. Head "pairs"."""

    def head_logits(self, texts: "Sequence[Encoding]") -> list[np.ndarray]:
        """Of the linear head of a task: ``[outputs]`` a text where it reads the pooled state, ``[tokens, outputs]`` where
        it reads each token. Head "task"."""

    def hidden_states(self, texts: "Sequence[Encoding]", layers: Sequence[int]) -> list[np.ndarray]:
        """``[layers, tokens, hidden_size]`` a text. Layer 0 are the embeddings, -1 is the last layer."""


@dataclass(frozen=True)
class Reader:
    """A BERT and its word pieces.

    Attributes:
        name: as it was asked for; shown beside what it answers.
    """

    name: str
    pieces: "Pieces"
    bert: Bert

    @property
    def max_tokens(self) -> int:
        """Tokens that it reads at most, special tokens included."""
        return int(self.bert.config.get("max_position_embeddings", 512))


def finite(method: Callable[_Asked, _Answers]) -> Callable[_Asked, _Answers]:
    """Makes a method of a ``Bert`` raise a BertkitError rather than answer with NaN or infinity."""

    @wraps(method)
    def checked(*args: _Asked.args, **kwargs: _Asked.kwargs) -> _Answers:
        answers = method(*args, **kwargs)
        if not all(np.isfinite(answer).all() for answer in answers):
            raise BertkitError(
                "the answers of the model are not finite: its weights are damaged, or too large for fp32; give another"
            )
        return answers

    return checked
