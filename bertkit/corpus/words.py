"""How a tokenizer cuts the words of a corpus, and which of them would be worth a row of their own."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, islice
from typing import TYPE_CHECKING

from bertkit.corpus.preparation import Preparation
from bertkit.corpus.vocabulary import sample
from bertkit.io.text import ReadReport

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_FEWEST_PIECES = 3
"""A word cut into fewer word pieces is read well as it is."""
_FEWEST_TIMES = 5
"""A word that occurs less often leaves its row about where it began."""
_AT_ONCE = 65_536


@dataclass(frozen=True)
class CutWord:
    """A word, or an unknown sign, as the tokenizer's rules write it (lower case, if they say so), and how it is cut."""

    word: str
    times: int
    word_pieces: list[str]
    cost: int
    """How many these are; of an unknown word, which is not read at all, as many as its characters."""
    is_unknown: bool

    @property
    def saved(self) -> int:
        """Word pieces fewer in the corpus if the word were one."""
        return self.times * (self.cost - 1)

    @property
    def gained(self) -> int:
        """What it is worth as a word of its own: the pieces saved, or the characters read that were not."""
        return self.times * self.cost if self.is_unknown else self.saved


@dataclass(frozen=True)
class WordCuts:
    """How the words of a corpus are cut: of a large one, those of a random sample of its documents.

    A word is what stands between blanks and punctuation, of letters, marks and digits, with one letter at least.
    """

    words: int
    """Counted as often as they occur, as the word pieces are."""
    unknown: int
    """Those of them that are one [UNK]: each counts as cut into its characters."""
    word_pieces: int
    worst: list[CutWord]
    """Unknown, or cut into three word pieces or more, and met five times or more; first what would gain most. Unknown
    signs are among them, which are no words and count nowhere else."""

    def pieces_a_word(self, added: int = 0) -> float:
        """Word pieces a word, if so many of the worst words had rows of their own."""
        saved = sum(one.saved for one in self.worst[:added])
        return (self.word_pieces - saved) / max(1, self.words)


def is_word_by_word(rules: "Tokenizer") -> bool:
    """Whether a tokenizer cuts a text into words by BERT's rules, and each by itself into word pieces."""
    kinds = [type(part).__name__ for part in (rules.normalizer, rules.pre_tokenizer, rules.model)]
    return kinds == ["BertNormalizer", "BertPreTokenizer", "WordPiece"]


def word_cuts(preparation: Preparation, rules: "Tokenizer") -> WordCuts:
    """Counts the words of a corpus, and how a tokenizer cuts them (see ``is_word_by_word``)."""
    texts = sample(preparation.paragraphs(ReadReport()), preparation.estimated_bytes(), seed=0)
    words, unknown_id = _words(texts, rules), rules.token_to_id(rules.model.unk_token)
    in_all, unknown, pieces_in_all, worst = 0, 0, 0, []
    left = iter(words.items())
    while some := list(islice(left, _AT_ONCE)):
        cuts = rules.encode_batch_fast([word for word, _ in some], add_special_tokens=False)
        for (word, times), cut in zip(some, cuts, strict=True):
            is_unknown = unknown_id in cut.ids
            cost = len(word) if is_unknown else len(cut)
            if not _is_sign(word):
                in_all += times
                unknown += times * is_unknown
                pieces_in_all += times * cost
            if (is_unknown or cost >= _FEWEST_PIECES) and times >= _FEWEST_TIMES:
                pieces = [str(rules.id_to_token(id_)) for id_ in cut.ids]
                worst.append(CutWord(word, times, pieces, cost, is_unknown))
    return WordCuts(in_all, unknown, pieces_in_all, sorted(worst, key=lambda one: (-one.gained, one.word)))


def _words(texts: Iterable[str], rules: "Tokenizer") -> Counter[str]:
    # BERT's rules look at a character at a time and cut at every blank: what stands between blanks is read once.
    stretches: Counter[str] = Counter()
    for text in texts:
        stretches.update(text.split())
    words: Counter[str] = Counter()
    for stretch, times in stretches.items():
        for word in _words_in(rules.normalizer.normalize_str(stretch), rules):
            words[word] += times
    return words


def _words_in(text: str, rules: "Tokenizer") -> Iterator[str]:
    """The words and signs of a text, cut at all signs: the rules do not know those of younger editions of Unicode (Adlam's)."""
    for stretch, (begin, end) in rules.pre_tokenizer.pre_tokenize_str(text):
        beside = text[begin - 1 : begin] + text[end : end + 1] if begin else text[end : end + 1]
        # Where BERT cuts at an underscore, what looks for a whole word sees none.
        stands_alone = not any(unicodedata.category(one) == "Pc" for one in beside)
        for is_sign, characters in groupby(stretch, _is_sign):
            if is_sign:
                yield from characters
            elif stands_alone and _is_word(word := "".join(characters)):
                yield word


def _is_sign(text: str) -> bool:
    """Whether a text is one punctuation mark."""
    return len(text) == 1 and unicodedata.category(text)[0] == "P"


@lru_cache(2**18)
def _is_word(text: str) -> bool:
    if text.isascii():
        return text.isalnum() and not text.isdigit()
    kinds = ["d" if one.isdecimal() else unicodedata.category(one)[0] for one in text]
    return set(kinds) <= {*"LMd"} and "L" in kinds
