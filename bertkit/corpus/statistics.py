"""What a tokenizer's rules do to a text before any word piece is looked up: letters changed, words too long."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bertkit.corpus.changed import MANY_CHANGED, changed_characters, is_lost_to_all
from bertkit.corpus.looking import look
from bertkit.corpus.normal_forms import COMPOSING, written_twice
from bertkit.corpus.preparation import Preparation
from bertkit.errors import BertkitError, rules_applied
from bertkit.io.text import INVISIBLE

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MOST_UNREAD = 0.5
"""A corpus of which more lies in words that are too long cannot be learned from."""
_FEW_CUT, _MANY_CUT = 20, 0.3
"""More line ends inside a sentence, and a larger share of all, are a warning: children's books have 0.87 of them if they are
wrapped, and 0.001 if a line is a paragraph."""
_JOINING = (
    r"""python3 -X utf8 -c 'import re; print("\n\n".join(" ".join(one.split()) """
    r"""for one in re.split(r"\n\s*\n", open(0, encoding="utf-8").read())))' < TEXT > JOINED"""
)
_EXAMPLES = 5
_SHOWN_CHARACTERS = 24
_WITHOUT_SPACES = {
    "Thai": "pythainlp",
    "Lao": "laonlp",
    "Khmer": "khmer-nltk",
    "Myanmar": "a segmenter",
    "Hiragana": "fugashi",
}
"""Scripts that are written without blanks between words, and a Python package that puts them there."""
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_FEW_TWICE, _MANY_TWICE = 20, 0.001
"""More words with a letter in the rarer of two forms, and a larger share of all, are a warning."""


@dataclass(frozen=True)
class ScriptShare:
    """Letters and marks of a script."""

    characters: int
    changed: int
    """Those that are changed beyond upper and lower case."""


@dataclass(frozen=True)
class TextReport:
    """What was seen of a corpus as a tokenizer's rules read it. Counts are of characters, blanks left out."""

    characters: int
    changed: int
    """Characters that are dropped, stripped or taken apart: all that is not upper case made lower case."""
    scripts: dict[str, ScriptShare]
    changed_words: list[tuple[str, str]]
    """The most frequent words that are changed, as written and as read."""
    dropped: int
    """What BERT's cleaning drops: invisible characters (zero-width joiners and spaces, soft hyphens, marks of direction), letters
    for private use, and U+FFFD."""
    twice: int
    """Words with a letter that is written in two normal forms of Unicode here, in the rarer one: to the tokenizer's rules
    they are two letters."""
    most_twice: list[str]
    """The most frequent of these words."""
    words: int
    """What stands between blanks."""
    turkish_i: int
    """Letters İ and ı where the text is made lower case, which is done as in English."""
    unread: int
    """Characters in words longer than a tokenizer reads: such a word is one [UNK]."""
    word_limit: int | None
    """Characters of the longest word that is read."""
    line_ends: int
    """Those with text of the same document before and behind."""
    cut_sentences: int
    """Those of them inside a sentence: no full stop or other mark that ends one before, a small letter behind."""
    is_plain_text: bool
    """Whether all of it is files of plain text, rather than tables or datasets."""
    given: bool
    """Whether the tokenizer was given, rather than being learned by settings."""
    part: str = ""
    """Which part of a larger corpus was looked at, in words; empty for all of it."""

    @property
    def is_harmful(self) -> bool:
        """Whether more than half a percent changes: of the whole text, or of a script that is a hundredth of it."""
        whole = ScriptShare(self.characters, self.changed)
        large = [one for one in self.scripts.values() if one.characters >= self.characters / 100]
        return any(one.changed > MANY_CHANGED * one.characters for one in (whole, *large))

    def changes(self) -> str | None:
        """One line on what the normaliser changes beyond case, with the way out; None where it changes nothing."""
        if not self.changed:
            return None
        scripts = sorted(self.scripts.items(), key=lambda item: -item[1].changed)
        shares = ", ".join(
            f"{one.changed:,} of {one.characters:,} in {name} ({one.changed / one.characters:.2%})"
            for name, one in scripts[:_EXAMPLES]
            if one.changed
        )
        words = ", ".join(f"{written} → {read or 'nothing'}" for written, read in self.changed_words)
        what = f"the tokenizer changes characters beyond upper and lower case{self._of_part}"
        return f"{what}: {shares}; {words}; {self._way_out()}"

    @property
    def _of_part(self) -> str:
        return f" ({self.part} looked at)" if self.part else ""

    def _way_out(self) -> str:
        if self.dropped >= self.changed / 2:
            return (
                f"{self.dropped:,} are dropped by every BERT tokenizer (zero-width joiners and spaces, soft hyphens, marks of "
                "direction, letters for private use, replaced bytes): where they matter, write blanks or other characters, or "
                "bring a tokenizer.json that keeps them with --tokenizer"
            )
        if self.given:
            return "it is the given tokenizer's rule: one that is learned on this text (no --tokenizer, no --model) keeps them"
        return "--set tokenizer.strip_accents=false keeps them"

    def advice(self) -> list[str]:
        """Lines on wrapped lines, on normal forms, on words that are too long and on Turkish; empty where all is well."""
        told = []
        if self.cut_sentences > max(_FEW_CUT, _MANY_CUT * self.line_ends):
            where = f"first ({_JOINING})" if self.is_plain_text else "in the cells first"
            told.append(
                f"{self.cut_sentences:,} of {self.line_ends:,} line ends{self._of_part} are inside a sentence, as in "
                f"hard-wrapped text, and each ends a sentence here: join the lines of a paragraph {where}"
            )
        if self.twice > max(_FEW_TWICE, _MANY_TWICE * self.words):
            where = f" ({COMPOSING})" if self.is_plain_text else ""
            told.append(
                f"{self.twice:,} of {self.words:,} words{self._of_part} have letters that are written otherwise elsewhere and "
                f"look the same, as {', '.join(self.most_twice)}: different letters to a model; write all text in Unicode's "
                f"normal form NFC{where}"
            )
        if self.unread:
            told.append(
                f"{self.unread / self.characters:.2%} of the characters{self._of_part} are in words of more than "
                f"{self.word_limit} characters, each of which is read as one [UNK]: put blanks or line ends between them"
            )
        if self.turkish_i > self.characters / 1_000:
            told.append(
                "I is made lower case as in English (İncir → i̇ncir, Isırgan → isırgan), so that a Turkish word has another "
                "form where it is written with a capital; --set tokenizer.lowercase=false keeps words as they are written"
            )
        return told

    def on_spaces(self) -> list[str]:
        """Advice on scripts that are written without spaces, where they are a fifth of the text."""
        return [
            f"{name} is written without spaces: word pieces are learned and read across words, which works; words can be masked "
            f"and filled whole only where blanks stand between them, in the corpus and in every later text ({segmenter} puts "
            "them there)"
            for name, segmenter in _WITHOUT_SPACES.items()
            if name in self.scripts and self.scripts[name].characters >= self.characters / 5
        ]


def text_report(preparation: Preparation, rules: "Tokenizer", given: bool) -> TextReport:
    """Looks at a corpus as a tokenizer's rules read it: all of a small one, a part of a large one.

    Args:
        rules: a tokenizer of which the normaliser, the pre-tokeniser and the length limit are asked, not the pieces.
        given: whether it was given, rather than being learned by settings; decides what is advised.

    Raises:
        BertkitError: most of the text lies in words that are too long to be read.
    """
    seen = look(preparation)
    words = seen.words
    characters = Counter({one: n for one, n in seen.characters.items() if not one.isspace()})
    changed = changed_characters(characters, rules)
    scripts: dict[str, Counter[bool]] = {}
    for character, n in characters.items():
        scripts.setdefault(_script(character), Counter())[character in changed] += n
    twice = written_twice(words, rules)
    limit: int | None = getattr(rules.model, "max_input_chars_per_word", None)
    report = TextReport(
        characters=characters.total(),
        changed=sum(characters[one] for one in changed),
        scripts={name: ScriptShare(counts.total(), counts[True]) for name, counts in scripts.items()},
        changed_words=_changed_words(words, changed),
        dropped=sum(characters[one] for one, becomes in changed.items() if is_lost_to_all(one, becomes)),
        twice=sum(words[one] for one in twice),
        most_twice=twice[:_EXAMPLES],
        words=words.total(),
        turkish_i=characters["İ"] + characters["ı"] if _lowers(rules) else 0,
        unread=_unread(words, rules, limit) if limit else 0,
        word_limit=limit,
        line_ends=seen.line_ends,
        cut_sentences=seen.cut_sentences,
        is_plain_text=all(one.is_plain_text for one in preparation.sources),
        given=given,
        part=seen.part,
    )
    if report.unread > _MOST_UNREAD * report.characters:
        raise BertkitError(
            f"{report.unread / report.characters:.0%} of {preparation.names[0]}{report._of_part} is in words of more than "
            f"{limit} characters, each of which a BERT tokenizer reads as one [UNK]: put blanks or line ends between shorter "
            "ones (of sequences such as DNA, `fold -w 60`)"
        )
    return report


def _lowers(rules: "Tokenizer") -> bool:
    return rules.normalizer is not None and rules.normalizer.normalize_str("I") == "i"


def _script(character: str) -> str:
    """The script of a letter or mark, as the first word of its name in Unicode says it: Latin, Devanagari, Han."""
    kind = unicodedata.category(character)
    if re.match(f"[{INVISIBLE}]", character):
        return "invisible characters"
    if kind[0] not in "LM":
        return "other characters"
    name = unicodedata.name(character, "other").split()[0].split("-")[0].title()
    return {"Cjk": "Han", "Combining": "combining marks"}.get(name, name)


def _changed_words(words: Mapping[str, int], changed: Mapping[str, str]) -> list[tuple[str, str]]:
    if not changed:
        return []
    pattern = re.compile("[" + "".join(map(re.escape, changed)) + "]")
    found = [word for word in words if pattern.search(word)]
    frequent = sorted(found, key=lambda word: (len(word) > _SHOWN_CHARACTERS, -words[word], word))
    shown = dict.fromkeys(_part(_bare(word), pattern) for word in frequent[: 2 * _EXAMPLES])
    return [(word, _as_read(word, changed)) for word in list(shown)[:_EXAMPLES]]


def _part(word: str, pattern: re.Pattern[str]) -> str:
    """A long one from shortly before what is changed."""
    match = pattern.search(word)
    begin = max(0, match.start() - _SHOWN_CHARACTERS // 2) if match and len(word) > _SHOWN_CHARACTERS else 0
    return word[begin : begin + _SHOWN_CHARACTERS]


def _bare(word: str) -> str:
    """Without the punctuation round it."""
    marks = "".join(one for one in set(word) if unicodedata.category(one)[0] == "P")
    return word.strip(marks) or word


def _as_read(word: str, changed: Mapping[str, str]) -> str:
    read = "".join(changed.get(one, one.lower()) for one in word)
    # Syllables that were taken apart would be shown as if they were whole.
    return " ".join(read) if unicodedata.normalize("NFC", read) == word else read


def _unread(words: Mapping[str, int], rules: "Tokenizer", limit: int) -> int:
    """Characters in words that are longer than the limit, after punctuation and Chinese characters were split off."""
    splits_han = rules.normalizer is not None and " " in rules.normalizer.normalize_str("a人").strip()
    total = 0
    for word, n in words.items():
        if len(word) <= limit:
            continue
        for stretch in (_HAN.sub(" ", word) if splits_han else word).split():
            if len(stretch) > limit:
                with rules_applied(stretch):
                    read = rules.normalizer.normalize_str(stretch) if rules.normalizer else stretch
                    parts = rules.pre_tokenizer.pre_tokenize_str(read) if rules.pre_tokenizer else [(read, (0, 0))]
                total += n * sum(len(part) for part, _ in parts if len(part) > limit)
    return total
