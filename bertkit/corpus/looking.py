"""A first look at a corpus: its words and characters before any tokenizer reads them, and its line ends."""

from collections import Counter
from dataclasses import dataclass, field

from bertkit.corpus.paragraphs import read_paragraphs
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.sources import Source
from bertkit.io.text import ReadReport

_LOOKED_AT_CHARACTERS = 2_000_000
_LOOKED_AT_SOURCES = 128
"""A larger corpus is judged by the beginnings of so many of its files, spread evenly."""
_GOES_ON = ",;-\u2010\u2013\u2014"
"""Marks that end no sentence; in Greek ``;`` does, as a question mark."""


@dataclass
class SeenText:
    """What was counted in a corpus, or in a part of it."""

    words: Counter[str] = field(default_factory=Counter)
    """What stands between blanks."""
    characters: Counter[str] = field(default_factory=Counter)
    line_ends: int = 0
    """Those with text of the same document before and behind."""
    cut_sentences: int = 0
    """Those of them inside a sentence: no full stop or other mark that ends one before, a small letter behind."""
    part: str = ""
    """Which part of a larger corpus was looked at, in words; empty for all of it."""
    goes_on: str = _GOES_ON
    """Marks that end no sentence in the corpus's language."""

    def add(self, paragraph: str, before: str | None) -> None:
        """Counts a paragraph, and the line end between it and the one before in its document."""
        self.words.update(paragraph.split())
        self.characters.update(paragraph)
        if before is not None:
            self.line_ends += 1
            self.cut_sentences += (before[-1].isalpha() or before[-1] in self.goes_on) and paragraph[0].islower()


def look(preparation: Preparation) -> SeenText:
    """Counts the words and characters of a corpus: of all of a small one, of the beginnings of the files of a large one."""
    written = [source for source in preparation.sources if not _is_empty_file(source)]
    step = -(-len(written) // _LOOKED_AT_SOURCES)
    chosen = written[::step] if step else ()
    seen = SeenText(goes_on=_GOES_ON.replace(";", "") if preparation.language == "el" else _GOES_ON)
    is_part = len(chosen) < len(written)
    for source in chosen:
        left = _LOOKED_AT_CHARACTERS // len(chosen)
        before = None
        for paragraph in read_paragraphs(source, preparation.column, ReadReport()):
            if paragraph and left <= 0:
                is_part = True
                break
            if paragraph:
                seen.add(paragraph, before)
                left -= len(paragraph)
            before = paragraph
    files = f" of {len(chosen):,} of {len(preparation.sources):,} files" if len(preparation.sources) > 1 else ""
    seen.part = f"the first {seen.characters.total():,} characters{files}" if is_part else ""
    return seen


def _is_empty_file(source: Source) -> bool:
    return source.path is not None and source.path.is_file() and not source.path.stat().st_size
