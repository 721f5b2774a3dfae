"""Letters that are written in two ways which look the same: Unicode's normal forms, whole (NFC) or taken apart (NFD)."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

COMPOSING = (
    "python3 -X utf8 -c 'import sys, unicodedata; "
    """sys.stdout.writelines(unicodedata.normalize("NFC", line) for line in sys.stdin)' < TEXT > COMPOSED"""
)
"""Writes a text in NFC."""
_JAMO = frozenset(map(chr, range(0x1160, 0x1200)))  # vowels and ends of Korean syllables that are taken apart


def written_twice(words: Mapping[str, int], rules: "Tokenizer") -> list[str]:
    """Words with a letter that is written in two normal forms among them, in the rarer one; frequent words first.

    Args:
        words: how often each word occurs.
        rules: a tokenizer. Letters that its normaliser makes one are not looked for.
    """
    marks = {one for word in words for one in word if unicodedata.category(one)[0] == "M" or one in _JAMO}
    letter = re.compile(f".[{''.join(map(re.escape, marks))}]*" if marks else ".")
    spellings: dict[str, Counter[str]] = {}
    for word, n in words.items():
        for one in () if word.isascii() else letter.findall(word):
            spellings.setdefault(unicodedata.normalize("NFC", one), Counter())[one] += n
    rarer = set()
    for forms in spellings.values():
        (usual, _), *others = forms.most_common()
        rarer |= {one for one, _ in others if _normalized(one, rules) != _normalized(usual, rules)}
    found = [word for word in words if rarer and not rarer.isdisjoint(letter.findall(word))]
    return sorted(found, key=lambda word: (-words[word], word))


def _normalized(text: str, rules: "Tokenizer") -> str:
    return text if rules.normalizer is None else str(rules.normalizer.normalize_str(text))
