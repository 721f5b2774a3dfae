"""What a tokenizer's rules change in characters beyond upper and lower case: they strip accents, and drop joiners."""

import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MANY_CHANGED = 0.005
"""A larger share of changed characters is a warning."""


def changed_characters(characters: Iterable[str], rules: "Tokenizer") -> dict[str, str]:
    """Those that are changed beyond case, with what they become; of normalisers other than BERT's nothing is known.

    Args:
        characters: different ones, without lone surrogates.
        rules: a tokenizer of which the normaliser is asked, not the pieces.
    """
    if type(rules.normalizer).__name__ != "BertNormalizer":
        return {}
    # BERT's normaliser looks at one character at a time, and puts blanks round Chinese ones.
    read = {one: rules.normalizer.normalize_str(one).strip() for one in characters}
    return {one: becomes for one, becomes in read.items() if becomes not in (one, one.lower())}


def is_lost_to_all(character: str, becomes: str) -> bool:
    """Whether every BERT tokenizer drops a character: what is neither a letter nor a mark, which a setting may keep."""
    return not becomes and unicodedata.category(character)[0] not in "LM"
