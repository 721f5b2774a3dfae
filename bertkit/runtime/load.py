"""A trained BERT ready to be asked: its word pieces, and a forward pass in numpy, torch or onnxruntime."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from bertkit.errors import BertkitError
from bertkit.models.bert import bert_folder

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

    from bertkit.runtime.text import Encoding, Pieces

Head = Literal["words", "pairs", "task", "none"]
"""What is asked of a BERT: words at masks, next sentences, what it was fine-tuned for, or hidden states alone."""
FEW_TEXTS = 32
"""Up to so many texts, starting torch would take longer than reading them in numpy."""


class Bert(Protocol):
    """A forward pass. Texts come in any number and order, and answers in theirs; dropout is off, numbers are fp32."""

    config: dict[str, Any]
    """What config.json says."""
    rows: int
    """Of the vocabulary, those that pad it included."""

    def word_log_probabilities(
        self, texts: "Sequence[Encoding]", places: Sequence[Sequence[int]]
    ) -> "list[np.ndarray]":
        """Of every word piece at some places of each text: ``[places, rows]`` a text. Needs the head "words"."""

    def next_sentence_logits(self, texts: "Sequence[Encoding]") -> "np.ndarray":
        """``[texts, 2]``: of the second segment following the first, and of its being random. Head "pairs"."""

    def head_logits(self, texts: "Sequence[Encoding]") -> "list[np.ndarray]":
        """Of the linear head of a task: ``[outputs]`` a text where it reads the pooled state, ``[tokens, outputs]`` where
        it reads each token. Head "task"."""

    def hidden_states(self, texts: "Sequence[Encoding]", layers: Sequence[int]) -> "list[np.ndarray]":
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


def open_reader(name: str, head: Head, device: str | None = None, texts: int | None = None) -> Reader:
    """What reads so many texts soonest: numpy for a few where no device is named, else torch; an export, onnxruntime.

    Args:
        name: a folder, also one of `bertkit export`, a name on the hub, or "embedded".
        device: "cpu", "cuda", "cuda:1", "mps"; None or "auto" takes the best there is.
        texts: about how many will be read, where that is known.

    Raises:
        BertkitError: the model cannot be had, or was trained without the head; an unknown device.
    """
    folder = bert_folder(name)
    light = light_reader(name, folder, head, device, texts)
    if light is not None:
        return light
    from bertkit.runtime.text import any_pieces
    from bertkit.runtime.torch_bert import TorchBert

    return _checked(Reader(name, any_pieces(folder), TorchBert(name, head, device)))


def light_reader(name: str, folder: "Path", head: Head, device: str | None, texts: int | None) -> Reader | None:
    """What needs no torch: onnxruntime for an export, numpy for a few texts; None where torch is needed, or says better
    why it cannot be.

    Args:
        folder: of the model.
        name, head, device, texts: as for ``open_reader``.

    Raises:
        BertkitError: an export that cannot be run, or not on the device.
    """
    from bertkit.runtime.onnx_bert import is_exported

    if is_exported(folder):
        return _checked(_open_exported(name, folder, head, device))
    if texts is None or texts > FEW_TEXTS or device not in (None, "auto"):
        return None
    from bertkit.runtime.numpy_bert import NumpyBert, UnsupportedError
    from bertkit.runtime.text import light_pieces

    try:
        return _checked(Reader(name, light_pieces(folder), NumpyBert(folder, head)))
    except UnsupportedError:
        return None


def _open_exported(name: str, folder: "Path", head: Head, device: str | None) -> Reader:
    from bertkit.runtime.onnx_bert import OnnxBert
    from bertkit.runtime.text import UnsupportedError, any_pieces, light_pieces

    if device not in (None, "auto", "cpu"):
        raise BertkitError(
            f"{name} is an export, and runs on the CPU: leave --device {device} out, or give its original"
        )
    bert = OnnxBert(folder, head)
    try:
        return Reader(name, light_pieces(folder), bert)
    except UnsupportedError:
        return Reader(name, any_pieces(folder), bert)


def _checked(reader: Reader) -> Reader:
    if len(reader.pieces.vocab) > reader.bert.rows:
        raise BertkitError(
            f"{reader.name} has {len(reader.pieces.vocab):,} word pieces in its tokenizer, and "
            f"{reader.bert.rows:,} in its model"
        )
    return reader
