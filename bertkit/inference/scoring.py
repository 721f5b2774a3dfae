"""Scores of sentences by a BERT's masked-word head, and of pairs of texts by its next-sentence head."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.inference.misread import Misread
from bertkit.models.folder import bert_folder
from bertkit.runtime.base import Reader
from bertkit.runtime.load import open_reader
from bertkit.runtime.text import Encoding

# e^709.8 is about the largest number in fp64.
_LARGEST_EXPONENT = 709.0
# Masked copies that are read at a time. Each gives a row as wide as the vocabulary: 512 rows of 30,522 are 60 MB.
_COPIES_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Score:
    """The pseudo-log-likelihood of a text."""

    score: float | None
    """Sum of the log-probabilities of its word pieces, in nats; None for a text without any, as 0 would be the best."""
    tokens: int
    """The number of word pieces that were scored; special tokens do not count."""

    @property
    def per_token(self) -> float | None:
        """The score per word piece in nats, by which texts of different lengths can be compared; None for no pieces."""
        return None if self.score is None else self.score / self.tokens

    @property
    def perplexity(self) -> float | None:
        """The pseudo-perplexity, ``exp(-per_token)``; None without word pieces, or where it exceeds the range of numbers."""
        if self.per_token is None or -self.per_token > _LARGEST_EXPONENT:
            return None
        return math.exp(-self.per_token)


class CutReader:
    """Encodes texts for a BERT, cut to the tokens that it can read, and counts those that were cut.

    Attributes:
        reader: the BERT.
        cut: how many texts so far were too long.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader, self.cut = reader, 0

    def encode(self, text: str, pair: str | None = None) -> Encoding:
        """Encodes a text or a pair. Of a text that is too long the end is cut, of a pair the end of the longer text."""
        encoding = self.reader.text_encoder.encode(text, pair)
        if len(encoding.ids) <= self.reader.max_tokens:
            return encoding
        self.cut += 1
        return self.reader.text_encoder.encode(text, pair, most=self.reader.max_tokens)

    def say_cut(self, hint: str = "") -> None:
        """Warns of the texts that were cut since the last call, if there are any; ``hint`` is added to the message."""
        if self.cut:
            what = console.counted(self.cut, "text is", "texts are")
            name = console.plain(self.reader.name)
            console.warn(f"{what} longer than the {self.reader.max_tokens} tokens that {name} reads: cut to that{hint}")
        self.cut = 0


class Scorer:
    """A BERT that scores sentences by their pseudo-log-likelihood (Salazar et al. 2020).

    Each word piece is masked in turn, and the log-probabilities that the model gives to the right pieces are added up.
    Together with a piece the later pieces of its word are masked (PLL-word-l2r, Kauf & Ivanova 2023). Otherwise the end
    of a rare word of many pieces would give away its beginning, and the word would score higher than a common one.

    Args:
        model: a folder, a name on the hub, or "embedded".
        device: "cpu", "cuda", "cuda:1" or "mps"; None or "auto" takes the best one available.
        texts: about how many texts will be scored; None where that is unknown. A few are read without torch.

    Attributes:
        texts: encodes the texts, and counts those that were cut.
        misread: counts the pieces that are unknown to the model (``[UNK]``), which are scored like any other, and the
            characters that its tokenizer changes.

    Raises:
        BertkitError: the model cannot be loaded, or was trained without a masked-word head; or the device is unknown.

    Example:
        >>> scorer = Scorer("runs/pretrain-stories")
        >>> [round(one.score, 1) for one in scorer.score(["the cat sat on the mat .", "the cat sat in the mat ."])]
        [-13.2, -17.9]
    """

    def __init__(self, model: str | Path, device: str | None = None, texts: int | None = None) -> None:
        self.texts = CutReader(open_reader(str(model), "words", device, texts))
        self._text_encoder = self.texts.reader.text_encoder
        self.misread = Misread(self.texts.reader.name, self.texts.reader.text_encoder)

    def score(self, texts: Sequence[str]) -> list[Score]:
        """The scores of texts, in their order. Special tokens in them are read but not scored; an empty text has no score."""
        encoded = [self.texts.encode(text) for text in texts]
        places = [
            [place for place, id_ in enumerate(one.ids) if id_ not in self._text_encoder.special_ids] for one in encoded
        ]
        self.misread.add(texts, encoded)
        sums = [0.0] * len(texts)
        # Longest first: texts of the same length are then read together, without padding.
        order = sorted(range(len(texts)), key=lambda number: -len(encoded[number].ids))
        wanted = ((number, place) for number in order for place in places[number])
        while some := list(islice(wanted, _COPIES_AT_ONCE)):
            copies = [self._hidden(encoded[number], place) for number, place in some]
            rows = self.texts.reader.bert.word_log_probabilities(copies, [[place] for _, place in some])
            for (number, place), logs in zip(some, rows, strict=True):
                sums[number] += float(logs[0, encoded[number].ids[place]])
        return [Score(total if scored else None, len(scored)) for total, scored in zip(sums, places, strict=True)]

    def say_misread(self) -> None:
        """Says what was read otherwise than it is written since the last call, if there is any."""
        self.misread.say("scored like any other")

    def _hidden(self, text: Encoding, place: int) -> Encoding:
        """The text with the piece at a place masked, and with it the later pieces of its word."""
        return self._text_encoder.masked(text, [place, *self._text_encoder.rest_of_word(text, place)])


class PairScorer:
    """A BERT whose next-sentence head says how likely the second text of a pair follows the first.

    Args:
        model, device, texts: as for ``Scorer``.

    Attributes:
        texts: encodes the pairs.
        learned: what the head was trained on: "nsp", or "sop" (whether two consecutive sentences stand in their order);
            None where the model's folder does not say.
        misread: as for ``Scorer``.

    Raises:
        BertkitError: the model cannot be loaded, or was trained without a next-sentence head; or the device is unknown.
    """

    def __init__(self, model: str | Path, device: str | None = None, texts: int | None = None) -> None:
        from bertkit.runtime.learned_objective import learned_objective

        self.learned = learned_objective(bert_folder(str(model)))
        if self.learned == "none":
            raise BertkitError(
                f"{model} was pretrained without sentence pairs, so that its next-sentence head knows nothing: give a model "
                "that was trained with them"
            )
        self.texts = CutReader(open_reader(str(model), "pairs", device, texts))
        self.misread = Misread(self.texts.reader.name, self.texts.reader.text_encoder)

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """For each pair, in order, the probability that the second text follows the first."""
        encoded = [self.texts.encode(*pair) for pair in pairs]
        self.misread.add(chain.from_iterable(pairs), encoded)
        logits = self.texts.reader.bert.next_sentence_logits(encoded).astype(np.float64)
        with np.errstate(over="ignore"):  # the overflow of a certain "no" gives 0
            shares: list[float] = (1 / (1 + np.exp(logits[:, 1] - logits[:, 0]))).tolist()
        return shares

    def say_misread(self) -> None:
        """Says what was read otherwise than it is written since the last call, if there is any."""
        self.misread.say("read alike, whatever is written there")
