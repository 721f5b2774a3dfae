"""The sentences of a paragraph, by the rules of a language."""

import re
from collections.abc import Iterable, Iterator
from functools import cache

from sentencex import segment

from bertkit.errors import is_library_failure

_OTHER_SPACES = re.compile(r"[^\S\n ]")
# Khmer and Tibetan marks, which sentencex does not know. ។ល។ is the Khmer "etc.".
_ENDS = _KHAN, _BARIYOOSAN, _SHAD, _TWO_SHADS = "\u17d4\u17d5\u0f0d\u0f0e"
_AND_SO_ON, _OTHERS = r"\u17d4\s*\u179b\s*\u17d4", f"[^{_ENDS}]*"
_UP_TO_END = re.compile(rf"{_OTHERS}(?:{_AND_SO_ON}{_OTHERS})*(?:[{_ENDS}][{_ENDS}\s\"'\u201d\u2019\u00bb)]*)?")
# Commas (Burmese, Javanese, Balinese) behind which sentencex ends a sentence; and a verse's number between two double dandas.
_COMMAS = ("\u104a", "\ua9c8", "\u1b5e")
_DANDAS = "\u0965"
_NUMBER = re.compile(r"\s*\d+\s*\u0965+\s*")
GENERAL = "en"
"""The language whose rules sentencex takes for every code that it does not know."""
# Abbreviations of many languages: where a language has rules of its own, one of these is split as English does not split it.
_PROBES = (
    "Mr. Smith met Dr. Jones. They left.",
    "z. B. Haus. Bzw. Garten. Abb. Eins.",
    "Sr. López. Pág. Uno.",
    "Prof. Nowak. Np. Dom. Ul. Długa.",
    "Dhr. Jansen. Bijv. Huis.",
    "Г. Иванов. Т. е. так. Им. Пушкина.",
    "Esim. Talo. Mm. Koti.",
    "F.eks. Hus. Bl.a. Hjem.",
    "π.χ. Ένα. Κος. Νίκος.",
    "Բ. Մեկ։ Երկու։",
    "Mme. Martin. Cf. Page.",
    "Es. Casa. Pag. Uno.",
    "Např. Dům. Tzv. Byt.",
    "م. علي. ذهب.",
    "ഡോ. രാജ്. വന്നു.",
    "U. Ba. Dr. X",
)


def split_sentences(paragraph: str, language: str) -> list[str]:
    """The sentences of a paragraph, with no other spaces than plain ones."""
    # The splitter panics on some spaces of other scripts (a no-break space behind a full stop); to BERT's
    # cleaning they are spaces like any other. What is printable has none, which is quicker to see.
    if not paragraph.isprintable():
        paragraph = _OTHER_SPACES.sub(" ", paragraph)
    try:
        found = list(segment(language, paragraph))
    except BaseException as error:
        if not is_library_failure(error):
            raise
        found = [paragraph]
    if paragraph.isascii():
        return found
    if _DANDAS in paragraph or any(comma in paragraph for comma in _COMMAS):
        found = list(_joined(found))
    if _KHAN in paragraph or _BARIYOOSAN in paragraph or _SHAD in paragraph or _TWO_SHADS in paragraph:
        return [part for sentence in found for part in _UP_TO_END.findall(sentence) if part]
    return found


def _joined(sentences: Iterable[str]) -> Iterator[str]:
    """The sentences, without the ends that sentencex sees behind a comma and before the number of a verse."""
    whole = ""
    for part in sentences:
        goes_on = whole.rstrip().endswith(_COMMAS) or (whole.rstrip().endswith(_DANDAS) and _NUMBER.fullmatch(part))
        if whole and not goes_on:
            yield whole
            whole = ""
        whole += part
    if whole:
        yield whole


@cache
def has_rules(language: str) -> bool:
    """Whether sentences of a language are split by other rules than English ones, as far as abbreviations show it.

    Example:
        >>> has_rules("de"), has_rules("deu"), has_rules("zz")
        (True, False, False)
    """
    return any(split_sentences(one, language) != split_sentences(one, GENERAL) for one in _PROBES)
