"""Rules of a tokenizer.json from outside that no text could be read by in bounded time and memory."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bertkit.errors import BertkitError

# The largest growth that a normaliser's replacements may add up to: NFKC alone makes 18 characters of one.
_MOST_GROWTH = 100
# What a character class or an escaped character holds counts for nothing here.
_ATOMS = re.compile(r"\\[pP]\{\^?\w+\}|\\.|\[(?:\\.|[^\]\\])*\]")
# A repeated group within which something is repeated: (a+)+ takes a time that doubles with each letter.
_NESTED = re.compile(r"\([^()]*[+*}][^()]*\)(?:[+*]|\{\d+,\d*\})")
# A repeated choice: (a|a)* does so too, where two of its ways begin alike.
_CHOICE = re.compile(r"\((?:\?[^:=!<>()]*:)?((?:\\.|\[(?:\\.|[^\]\\])*\]|[^()\\\[])*)\)(?:[+*]|\{\d+,\d*\})")
_WAY = re.compile(r"(?:\\.|\[(?:\\.|[^\]\\])*\]|[^|\\\[])+")
# What Python calls otherwise.
_CLASSES = ((r"\p{L}", r"[^\W\d_]"), (r"\p{N}", r"\d"), (r"\p{P}", r"[^\w\s]"), (r"\p{S}", r"[^\w\s]"))
_SAMPLES = ("a", "Z", "é", "中", "1", " ", "\n", "_", "-", ".", ",", "'", "$")


def check_rules(content: Mapping[str, Any], path: Path) -> None:
    """Looks at the patterns and replacements of a tokenizer.json.

    Args:
        content: the file's JSON object.

    Raises:
        BertkitError: repeated repetitions in a pattern, or replacements that let a text grow without measure.
    """
    growth = 1.0
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        for rule in _rules(content.get(part)):
            pattern = rule.get("pattern")
            if isinstance(pattern, Mapping) and "Regex" in pattern:
                _check_pattern(str(pattern["Regex"]), path)
            if part == "normalizer" and rule.get("type") == "Replace":
                taken = pattern.get("String") if isinstance(pattern, Mapping) else None
                growth *= max(1.0, len(str(rule.get("content", ""))) / max(1, len(taken or "")))
    if growth > _MOST_GROWTH:
        raise BertkitError(
            f"{path}: the replacements of its normalizer let a text grow {growth:,.0f} times; more than {_MOST_GROWTH} "
            "times is refused"
        )


def _check_pattern(pattern: str, path: Path) -> None:
    if _NESTED.search(_ATOMS.sub("x", pattern)):
        raise BertkitError(
            f"{path}: the pattern '{pattern[:60]}' repeats what is repeated, for which there may be no end: refused"
        )
    for choice in _CHOICE.findall(pattern):
        ways = _WAY.findall(choice)
        if any(sum(_begins(way, text) for way in ways) > 1 for text in (*_SAMPLES, *ways)):
            raise BertkitError(
                f"{path}: the pattern '{pattern[:60]}' repeats a choice of which two ways begin alike, for which there may "
                "be no end: refused"
            )


def _begins(way: str, text: str) -> bool:
    """Whether a way of a choice takes the beginning of a text; of what Python cannot read that is not known."""
    for name, ours in _CLASSES:
        way = way.replace(name, ours)
    try:
        found = re.match(way, text)
    except re.error:
        return False
    return found is not None and found.end() > 0


def _rules(rule: Any) -> Iterator[Mapping[str, Any]]:
    """A rule and all within it."""
    waiting = [rule]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
