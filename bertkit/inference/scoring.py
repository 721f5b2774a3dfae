"""How likely a BERT finds a sentence, and how likely one text after another."""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.models.folder import bert_folder
from bertkit.runtime.base import Reader
from bertkit.runtime.load import open_reader
from bertkit.runtime.text import Encoding

# e^709.8 is the largest fp64 number.
_LARGEST_EXPONENT = 709.0
# Masked copies read at a time. Each brings a row as wide as the vocabulary: 512 of 30,522 numbers are 60 MB.
_COPIES_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Score:
    """The pseudo-log-likelihood of a text."""

    score: float
    """Sum of the log-probabilities of its word pieces, in nats."""
    tokens: int
    """Word pieces that were scored; special tokens are not."""

    @property
    def per_token(self) -> float | None:
        """Nats a word piece, which texts of different lengths can be compared by; None without any."""
        return self.score / self.tokens if self.tokens else None

    @property
    def perplexity(self) -> float | None:
        """Pseudo-perplexity: ``exp`` of the negative score a word piece; None without any, or where no number is as large."""
        if self.per_token is None or -self.per_token > _LARGEST_EXPONENT:
            return None
        return math.exp(-self.per_token)


class CutReader:
    """A BERT's texts as ids, cut to what it reads, with a count of those that had to be.

    Attributes:
        cut: texts so far that were too long.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader, self.cut = reader, 0

    def encode(self, text: str, pair: str | None = None) -> Encoding:
        """Ids with special tokens; of a text that is too long, its beginning; of a pair, the longer one's end goes."""
        encoding = self.reader.pieces.encode(text, pair)
        if len(encoding.ids) <= self.reader.max_tokens:
            return encoding
        self.cut += 1
        return self.reader.pieces.encode(text, pair, most=self.reader.max_tokens)

    def say_cut(self, hint: str = "") -> None:
        """A warning where texts were longer than the model reads, since it was last said."""
        if self.cut:
            what = "1 text is" if self.cut == 1 else f"{self.cut:,} texts are"
            name = console.plain(self.reader.name)
            console.warn(f"{what} longer than the {self.reader.max_tokens} tokens that {name} reads: cut to that{hint}")
        self.cut = 0


class Scorer:
    """A BERT that scores sentences by their pseudo-log-likelihood (Salazar et al. 2020).

    Each word piece is masked in turn, and the log-probabilities that the model gives them are added up. With a piece
    the later pieces of its word are masked as well (PLL-word-l2r, Kauf & Ivanova 2023): else the end of a rare word
    of many pieces gives its beginning away, and it scores higher than a common word.

    Args:
        model: a folder, a name on the hub, or "embedded".
        device: "cpu", "cuda", "cuda:1", "mps"; None or "auto" takes the best there is.
        texts: about how many it will score, where that is known: a few are read without torch.

    Raises:
        BertkitError: the model cannot be had or was trained without a masked-word head; an unknown device.

    Example:
        >>> scorer = Scorer("runs/pretrain-stories")
        >>> [round(one.score, 1) for one in scorer.score(["the cat sat on the mat .", "the cat sat in the mat ."])]
        [-13.2, -17.9]
    """

    def __init__(self, model: str | Path, device: str | None = None, texts: int | None = None) -> None:
        self.texts = CutReader(open_reader(str(model), "words", device, texts))
        self._pieces = self.texts.reader.pieces

    def score(self, texts: Sequence[str]) -> list[Score]:
        """The scores of some texts, in their order. Special tokens within them are read, and not scored."""
        encoded = [self.texts.encode(text) for text in texts]
        places = [
            [place for place, id_ in enumerate(one.ids) if id_ not in self._pieces.special_ids] for one in encoded
        ]
        sums = [0.0] * len(texts)
        # The longest together: their copies then need no padding.
        order = sorted(range(len(texts)), key=lambda number: -len(encoded[number].ids))
        wanted = ((number, place) for number in order for place in places[number])
        while some := list(islice(wanted, _COPIES_AT_ONCE)):
            copies = [self._masked(encoded[number], place) for number, place in some]
            found = self.texts.reader.bert.word_log_probabilities(copies, [[place] for _, place in some])
            for (number, place), logs in zip(some, found, strict=True):
                sums[number] += float(logs[0, encoded[number].ids[place]])
        return [Score(total, len(scored)) for total, scored in zip(sums, places, strict=True)]

    def _masked(self, text: Encoding, place: int) -> Encoding:
        """The text with the piece at a place masked, and those that its word goes on with."""
        ids = list(text.ids)
        for hidden in (place, *self._pieces.rest_of_word(text, place)):
            ids[hidden] = self._pieces.mask_id
        return Encoding(ids, text.type_ids)


class PairScorer:
    """A BERT that says how likely the second text of a pair follows the first, by its next-sentence head.

    Args:
        model, device, texts: as for ``Scorer``.

    Attributes:
        learned: what its head was trained on: "nsp", or "sop" (whether two sentences that belong together stand in their
            order); None where its folder does not say.

    Raises:
        BertkitError: the model cannot be had or was trained without a next-sentence head; an unknown device.
    """

    def __init__(self, model: str | Path, device: str | None = None, texts: int | None = None) -> None:
        self.learned = _sentence_objective(bert_folder(str(model)))
        if self.learned == "none":
            raise BertkitError(
                f"{model} was pretrained without sentence pairs (sentence_objective is none), so that its next-sentence "
                "head knows nothing: give a model that was trained with them"
            )
        self.texts = CutReader(open_reader(str(model), "pairs", device, texts))

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Of each pair's being consecutive, in their order."""
        encoded = [self.texts.encode(*pair) for pair in pairs]
        logits = self.texts.reader.bert.next_sentence_logits(encoded).astype(np.float64)
        with np.errstate(over="ignore"):  # a certain "no" is 0
            shares: list[float] = (1 / (1 + np.exp(logits[:, 1] - logits[:, 0]))).tolist()
        return shares


def _sentence_objective(folder: Path) -> str | None:
    """What sentence pairs a model of bertkit's was pretrained on, by the recipe in its folder; None where none tells."""
    path = folder / "recipe.toml"
    if not path.is_file():
        return None
    try:
        objective = tomllib.loads(path.read_text(encoding="utf-8"))["data"]["sentence_objective"]
    except (OSError, ValueError, KeyError, TypeError):  # a recipe of a task, or none of ours
        return None
    return str(objective)
