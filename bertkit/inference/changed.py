"""Counts the characters of texts that a model's tokenizer changes, so that texts which differ in them alone are read alike."""

import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bertkit import console
from bertkit.console import counted
from bertkit.corpus.changed import MANY_CHANGED, changed_characters, is_lost_to_all

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_EXAMPLES = 5
_REPLACED = {"\ufffd", *map(chr, range(0xD800, 0xE000))}


class ChangedCharacters:
    """The count for one model, of characters that are changed beyond upper and lower case.

    Args:
        tokenizer: the model's.
    """

    def __init__(self, tokenizer: "Tokenizer") -> None:
        self._tokenizer = tokenizer
        self._characters: Counter[str] = Counter()

    def add(self, characters: str | Mapping[str, int]) -> None:
        """Takes up the characters of a text, or counted ones."""
        self._characters.update(characters)

    def say(self, name: str = "") -> None:
        """Says how many were changed since the last call, and the most frequent; a large share of them is a warning.

        Args:
            name: of the split that the texts are of, if it has one.
        """
        told, is_large = self._line(name)
        if told:
            (console.warn if is_large else console.note)(console.plain(told))
        self._characters.clear()

    def told(self, name: str) -> str:
        """The line that ``say`` prints; empty if nothing is changed."""
        return self._line(name)[0]

    def _line(self, name: str) -> tuple[str, bool]:
        """The line, and whether a large share is changed."""
        becomes = self._changed()
        if not becomes:
            return "", False
        changed = Counter({one: self._characters[one] for one in becomes})
        total = sum(many for one, many in self._characters.items() if not one.isspace())
        share = changed.total() / total
        shown = ", ".join(f"{_shown(one)} → {becomes[one] or 'nothing'}" for one, _ in changed.most_common(_EXAMPLES))
        lost = sum(many for one, many in changed.items() if is_lost_to_all(one, becomes[one]))
        way_out = "a model that learned its own (bertkit pretrain) keeps them"
        if lost > changed.total() / 2:
            way_out = "as by every BERT tokenizer"
        told = (
            f"of {total:,} characters{name and f' in {name}'} {counted(changed.total(), 'is', 'are')} changed by the model's "
            f"tokenizer beyond upper and lower case ({share:.2%}): {shown}; texts that differ in them alone are read alike "
            f"({way_out})"
        )
        return told, share > MANY_CHANGED

    def _changed(self) -> dict[str, str]:
        # Of replaced bytes (U+FFFD) and lone surrogates, which the readers replace, a line of theirs tells.
        whole = (one for one in self._characters if not one.isspace() and one not in _REPLACED)
        changed = changed_characters(whole, self._tokenizer)
        # Syllables of Hangul that are taken apart still differ.
        return {one: becomes for one, becomes in changed.items() if unicodedata.normalize("NFC", becomes) != one}


def _shown(character: str) -> str:
    """A mark on the circle that stands for a letter; what cannot be seen by its number."""
    kind = unicodedata.category(character)
    return f"\u25cc{character}" if kind[0] == "M" else f"U+{ord(character):04X}" if kind[0] == "C" else character
