"""Refuses rules of a tokenizer.json with which reading a text could take unbounded time or memory."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bertkit.errors import BertkitError

# How many times longer the replacements of a normalizer, or of a decoder, may make a text.
# (NFKC alone may turn one character into 18.)
_MOST_GROWTH = 100
# Character classes and escaped characters, whose contents do not matter here.
_ATOMS = re.compile(r"\\[pP]\{\^?\w+\}|\\.|\[(?:\\.|[^\]\\])*\]")
# A repeated group with a repetition inside: (a+)+ takes a time that doubles with each letter.
_NESTED = re.compile(r"\([^()]*[+*}][^()]*\)(?:[+*]|\{\d+,\d*\})")
# A repeated choice: (a|a)* takes as long, if two of its alternatives begin alike.
_CHOICE = re.compile(r"\((?:\?[^:=!<>()]*:)?((?:\\.|\[(?:\\.|[^\]\\])*\]|[^()\\\[])*)\)(?:[+*]|\{\d+,\d*\})")
_WAY = re.compile(r"(?:\\.|\[(?:\\.|[^\]\\])*\]|[^|\\\[])+")
# Character classes that Python writes differently.
_CLASSES = ((r"\p{L}", r"[^\W\d_]"), (r"\p{N}", r"\d"), (r"\p{P}", r"[^\w\s]"), (r"\p{S}", r"[^\w\s]"))
_SAMPLES = ("a", "Z", "é", "中", "1", " ", "\n", "_", "-", ".", ",", "'", "$")


def check_rules(content: Mapping[str, Any], path: Path) -> None:
    """Checks the patterns and replacements of a tokenizer.json.

    Args:
        content: the file's JSON object.
        path: the file, for messages.

    Raises:
        BertkitError: a pattern repeats a repetition, or the replacements can make a text grow too much.
    """
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        growth = 1.0
        for rule in _rules(content.get(part)):
            pattern = rule.get("pattern")
            if isinstance(pattern, Mapping) and "Regex" in pattern:
                _check_pattern(str(pattern["Regex"]), path)
            if rule.get("type") == "Replace":
                taken = pattern.get("String") if isinstance(pattern, Mapping) else None
                growth *= max(1.0, len(str(rule.get("content", ""))) / max(1, len(taken or "")))
        if growth > _MOST_GROWTH:
            raise BertkitError(
                f"{path}: the replacements of its {part} let a text grow {growth:,.0f} times; more than {_MOST_GROWTH} "
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
    """Whether an alternative of a choice matches the beginning of a text; False for patterns that Python cannot read."""
    for name, ours in _CLASSES:
        way = way.replace(name, ours)
    try:
        match = re.match(way, text)
    except re.error:
        return False
    return match is not None and match.end() > 0


def _rules(rule: Any) -> Iterator[Mapping[str, Any]]:
    """A rule and all rules inside it."""
    waiting = [rule]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            yield one
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
