"""How much of a text a tokenizer reads as ``[UNK]``: in words and characters, of which a token says nothing."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from bertkit.console import counted
from bertkit.corpus.looking import look
from bertkit.corpus.preparation import Preparation

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MORE_PIECES = (
    "a tokenizer that is learned takes in more of them with a larger --vocab-size, and those that occur once with more text, "
    "that of a --model more words, and signs, with --add-words"
)
_AT_ONCE = 65_536
_SHOWN, _SHOWN_CHARACTERS = 5, 24


@dataclass(frozen=True)
class UnknownText:
    """What is unknown of a corpus, or of the part of it that was looked at. A word is what stands between blanks."""

    word_share: float
    """The share of the words that are [UNK], wholly or in part."""
    character_share: float
    """The share of the characters, without blanks, that are."""
    too_long: int
    """The words of more characters than the tokenizer reads in one."""
    without_piece: int
    """The other words: a character of each is in no word piece."""
    most_frequent: list[str]
    """Of the words without a piece, or of those that are too long if there are no others."""
    word_limit: float
    """Characters of the longest word that is read in one."""
    part: str
    """Which part of a larger corpus was looked at, in words; empty for all of it."""

    def told(self) -> str:
        """The figures, and why these words are unknown, after a clause on tokens."""
        some = f" ({self.part} looked at)" if self.part else ""
        if not self.most_frequent:
            return f"none of them in {self.part}: characters without a word piece, or words too long for one"
        shares = f"which are {self.word_share:.1%} of the words and {self.character_share:.1%} of the characters{some}"
        long = f"more than {self.word_limit:,} characters, which no tokenizer of BERT's reads in one"
        if not self.too_long:
            why = f"characters of theirs have no word piece; {MORE_PIECES}"
        elif not self.without_piece:
            why = f"they have {long}; put blanks or line ends between"
        else:
            why = (
                f"{counted(self.without_piece, 'word has', 'words have')} characters without a word piece ({MORE_PIECES}), "
                f"{counted(self.too_long, 'has', 'have')} {long} (put blanks or line ends between)"
            )
        return f"{shares}, as {', '.join(word[:_SHOWN_CHARACTERS] for word in self.most_frequent)}: {why}"


def unknown_text(preparation: Preparation, rules: "Tokenizer", unk_id: int) -> UnknownText:
    """Looks at the words of a corpus (of a large one, of a part) as a tokenizer reads them."""
    seen = look(preparation)
    limit: float = getattr(rules.model, "max_input_chars_per_word", float("inf"))
    characters, without_piece, too_long = 0, dict[str, int](), dict[str, int]()
    for word, lengths in _unknown_words(list(seen.words), rules, unk_id):
        times = seen.words[word]
        characters += times * sum(lengths)
        (too_long if max(lengths) > limit else without_piece)[word] = times
    blanks = sum(n for character, n in seen.characters.items() if character.isspace())
    return UnknownText(
        word_share=(sum(without_piece.values()) + sum(too_long.values())) / max(1, seen.words.total()),
        character_share=characters / max(1, seen.characters.total() - blanks),
        too_long=sum(too_long.values()),
        without_piece=sum(without_piece.values()),
        most_frequent=_most_frequent(without_piece or too_long),
        word_limit=limit,
        part=seen.part,
    )


def _unknown_words(words: list[str], rules: "Tokenizer", unk_id: int) -> Iterator[tuple[str, list[int]]]:
    """The words with an unknown token, each with how many characters such a token stands for."""
    left = iter(words)
    while some := list(islice(left, _AT_ONCE)):
        read = rules.encode_batch_fast(some, add_special_tokens=False)  # without offsets, four times as fast
        found = [word for word, tokens in zip(some, read, strict=True) if unk_id in tokens.ids]
        for word, tokens in zip(found, rules.encode_batch(found, add_special_tokens=False), strict=True):
            ends = zip(tokens.ids, tokens.offsets, strict=True)
            yield word, [end - begin for id_, (begin, end) in ends if id_ == unk_id]


def _most_frequent(words: dict[str, int]) -> list[str]:
    return sorted(words, key=lambda word: (-words[word], word))[:_SHOWN]
