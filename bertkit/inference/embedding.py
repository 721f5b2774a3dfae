"""A BERT's hidden states as features of texts, words or tokens (Devlin et al. 2018, section 5.3 and Table 7)."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bertkit.errors import BertkitError
from bertkit.inference.misread import Misread
from bertkit.inference.scoring import CutReader
from bertkit.runtime.load import open_reader
from bertkit.runtime.text import Encoding

POOLINGS = ("mean", "cls", "word", "none")
OVERFLOWS = ("truncate", "windows")
_TEXTS_AT_ONCE = 4_096
# Numbers in the hidden states that are held at a time: 256 MB in fp32.
_NUMBERS_AT_ONCE = 2**26


@dataclass(frozen=True)
class Layers:
    """Which hidden states make a feature. Layer 0 is the embeddings, 1 the first layer, -1 the last.

    Attributes:
        numbers: the layers; None is the embeddings and all layers.
        summed: whether the layers are added up; else they stand side by side.
    """

    numbers: tuple[int, ...] | None
    summed: bool = False

    def of(self, num_layers: int) -> list[int]:
        """The numbers of the layers, as ``numbers``, after a check that a model of ``num_layers`` layers has them.

        Raises:
            BertkitError: the model has fewer layers.
        """
        numbers = range(num_layers + 1) if self.numbers is None else self.numbers
        # "The last four" are always layers: the embeddings count only where they are named by their number.
        fewest = -num_layers - (len(numbers) == 1)
        if self.numbers is not None and not fewest <= min(numbers) <= max(numbers) <= num_layers:
            raise BertkitError(
                f"the model has {num_layers} layers: --layers can be 0 (the embeddings) to {num_layers}, -1 (the last) "
                f"to -{num_layers}, or up to concat-last-{num_layers} and sum-last-{num_layers}"
            )
        return list(numbers)


def parse_layers(text: str) -> Layers:
    """Parses ``last``, a number, ``concat-last-4``, ``sum-last-4`` or ``all``.

    Raises:
        BertkitError: the text is none of these.
    """
    if text == "all":
        return Layers(None)
    if text == "last":
        return Layers((-1,))
    if re.fullmatch(r"-?\d{1,3}", text, re.ASCII):
        return Layers((int(text),))
    named = re.fullmatch(r"(concat|sum)-last-([1-9]\d{0,2})", text, re.ASCII)
    if named is None:
        raise BertkitError(
            f"--layers must be last, a number such as -2, concat-last-4, sum-last-4 or all, got '{text}'"
        )
    return Layers(tuple(range(-int(named[2]), 0)), summed=named[1] == "sum")


@dataclass(frozen=True, slots=True)
class TextVectors:
    """The features of one text.

    Attributes:
        text: the text.
        rows: fp32 ``[1, width]``; with pooling "word" or "none" ``[words or tokens, width]``.
        tokens: the word or token of each row; None where there is one row for the text.
    """

    text: str
    rows: np.ndarray
    tokens: list[str] | None


class Embedder:
    """A BERT that turns texts into features.

    Args:
        model: a folder, a name on the hub, or "embedded".
        layers: which hidden states to use; see ``parse_layers``.
        pooling: "mean" of all tokens, including ``[CLS]`` and ``[SEP]`` (as sentence-transformers does); "cls", the first
            token; "word", one row per word, the mean of its pieces; "none", one row per token, including special tokens.
        device: "cpu", "cuda", "cuda:1" or "mps"; None or "auto" takes the best one available.
        texts: about how many texts will be read; None where that is unknown. A few are read without torch.
        overflow: what to read of texts that are too long for the model: "truncate" the beginning, "windows" all of it in
            consecutive windows. With windows, "mean" is the mean over the tokens of all windows and "cls" the mean over
            their ``[CLS]``; "word" is not possible.

    Raises:
        BertkitError: the model cannot be loaded or does not have these layers; or the device, the layers, the pooling or
            the overflow are unknown.

    Example:
        >>> embedder = Embedder("runs/pretrain-stories", layers="concat-last-4")
        >>> [(one.text, one.rows.shape) for one in next(embedder.chunks(["a cat", "the dog"]))]
        [('a cat', (1, 1024)), ('the dog', (1, 1024))]
    """

    def __init__(
        self,
        model: str | Path,
        layers: str = "last",
        pooling: str = "mean",
        device: str | None = None,
        texts: int | None = None,
        overflow: str = "truncate",
    ) -> None:
        chosen = parse_layers(layers)
        if pooling not in POOLINGS:
            raise BertkitError(f"--pooling must be one of {', '.join(POOLINGS)}, got '{pooling}'")
        if overflow not in OVERFLOWS:
            raise BertkitError(f"--overflow must be {' or '.join(OVERFLOWS)}, got '{overflow}'")
        if overflow == "windows" and pooling == "word":
            raise BertkitError(
                "--overflow windows goes with --pooling mean, cls or none: a word may begin in one window and end in the next"
            )
        self._whole = overflow == "windows"
        self.texts = CutReader(open_reader(str(model), "none", device, texts))
        self._misread = Misread(self.texts.reader.name, self.texts.reader.text_encoder)
        config = self.texts.reader.bert.config
        self.pooling, self._summed = pooling, chosen.summed
        self._layers = chosen.of(int(config["num_hidden_layers"]))
        self._held = len(self._layers) * int(config["hidden_size"])
        self.width: int = int(config["hidden_size"]) if chosen.summed else self._held

    def chunks(self, texts: Iterable[str]) -> Iterator[list[TextVectors]]:
        """The features of texts, in their order; in lists of some texts at a time, so that memory stays bounded."""
        parts: list[tuple[int, TextVectors]] = []  # for each window of the current text: its tokens, and its features
        for chunk in self._windows_at_once(texts):
            whole_texts = (text for text, is_last, _ in chunk if is_last)
            self._misread.add(whole_texts, (encoded for _, _, encoded in chunk))
            states = self.texts.reader.bert.hidden_states([encoded for _, _, encoded in chunk], self._layers)
            whole = []
            for (text, is_last, encoded), layers in zip(chunk, states, strict=True):
                parts.append((len(encoded.ids), self._pooled(text, encoded, self._joined(layers))))
                if is_last:
                    whole.append(self._merged(parts))
                    parts = []
            if whole:
                yield whole

    def say_misread(self) -> None:
        """Says what was read otherwise than it is written since the last call, if there is any."""
        self._misread.say("read alike, whatever is written there")

    def _windows_at_once(self, texts: Iterable[str]) -> Iterator[list[tuple[str, bool, Encoding]]]:
        """Windows, as many at a time as fit into memory: (text, whether this is its last window, ids)."""
        chunk: list[tuple[str, bool, Encoding]] = []
        tokens = 0
        for text in texts:
            encodings = self._windows_of(text)
            for number, encoded in enumerate(encodings, 1):
                tokens += len(encoded.ids)
                if chunk and (tokens * self._held > _NUMBERS_AT_ONCE or len(chunk) == _TEXTS_AT_ONCE):
                    yield chunk
                    chunk, tokens = [], len(encoded.ids)
                chunk.append((text, number == len(encodings), encoded))
        if chunk:
            yield chunk

    def _windows_of(self, text: str) -> list[Encoding]:
        reader = self.texts.reader
        return reader.text_encoder.windows(text, reader.max_tokens) if self._whole else [self.texts.encode(text)]

    def _merged(self, parts: list[tuple[int, TextVectors]]) -> TextVectors:
        """Merges the features of a text's windows into those of the text."""
        first = parts[0][1]
        if len(parts) == 1:
            return first
        rows = np.concatenate([one.rows for _, one in parts])
        if self.pooling == "none":
            return TextVectors(first.text, rows, [token for _, one in parts for token in one.tokens or ()])
        weights = [tokens for tokens, _ in parts] if self.pooling == "mean" else None
        mean = np.average(rows, axis=0, weights=weights).astype(np.float32)
        return TextVectors(first.text, mean[None], None)

    def _joined(self, states: np.ndarray) -> np.ndarray:
        """``[layers, tokens, H]`` → ``[tokens, width]``."""
        if self._summed:
            total: np.ndarray = states.sum(axis=0)
            return total
        return states.transpose(1, 0, 2).reshape(states.shape[1], -1)

    def _pooled(self, text: str, encoded: Encoding, rows: np.ndarray) -> TextVectors:
        # Copies where it is a view, which would keep the states of all tokens in memory.
        if self.pooling == "cls":
            return TextVectors(text, rows[:1].copy(), None)
        if self.pooling == "mean":
            return TextVectors(text, rows.mean(axis=0, keepdims=True), None)
        text_encoder = self.texts.reader.text_encoder
        if self.pooling == "none":
            return TextVectors(text, rows, [str(text_encoder.tokenizer.id_to_token(id_)) for id_ in encoded.ids])
        words = text_encoder.words(encoded)
        means = np.array([rows[begin:end].mean(axis=0) for begin, end in words], dtype=np.float32)
        spelt = [text_encoder.decode(encoded.ids[begin:end]).strip() for begin, end in words]
        return TextVectors(text, means.reshape(-1, rows.shape[1]), spelt)
