"""Everyday sentences for the embedded model, each a document of its own, as a text often is that a model is asked.

``python -m benchmarks.everyday sentences books.txt stories.txt`` (in ``tests/``) prints those of 5 to 20 words in books, and
``python -m benchmarks.everyday two-words`` sentences that join two words which fit a thing and differ, as in "The lemon is yellow
and sour.": running text has few of these, and a small model repeats the first word instead.
"""

import random
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import permutations
from pathlib import Path

_SENTENCE = re.compile(r"[^.!?\n]+[.!?]['\"”’]?")
_WORDS = range(5, 21)
_HELD_OUT = 20
"""Of the documents of a text, each one after so many is held out."""
_FITTING = Path(__file__).with_name("two_words.txt")
_FRAMES = (
    "The {thing} is {one} and {other}.",
    "The {thing} was {one} and {other}.",
    "It was a {one} and {other} {thing}.",
    "The {thing} looked {one} and {other}.",
    "Her {thing} is {one} but {other}.",
    "His {thing} was very {one} and {other}.",
    "This {thing} is {one}, {other} and {third}.",
    "What a {one} and {other} {thing}!",
    "The {thing} here is {one} and {other}, and that one is not.",
    "We found the {thing} {one} and {other}.",
    "Is the {thing} {one} or {other}?",
    "That {thing} was so {one} and {other}.",
)
_FRAMES_A_PAIR = 3


def sentences(texts: Sequence[Path]) -> Iterator[str]:
    """The sentences of 5 to 20 words in the documents of some texts that are trained on."""
    for text in texts:
        documents = filter(str.strip, text.read_text(encoding="utf-8").split("\n\n"))
        for number, document in enumerate(documents, 1):
            for found in _SENTENCE.findall(document) if number % _HELD_OUT else ():
                sentence = found.strip(" \"'“‘")
                if len(sentence.split()) in _WORDS and sentence[0].isalpha():
                    yield sentence


def two_words() -> list[str]:
    """For each thing and each two words that fit it, in either order, three sentences; shuffled, always in the same way."""
    draws, made = random.Random(5), list[str]()
    for line in _FITTING.read_text(encoding="utf-8").splitlines():
        thing, _, fitting = line.partition(": ")
        for one, other in permutations(fitting.split(), 2):
            others = [word for word in fitting.split() if word not in (one, other)]
            for frame in draws.sample(_FRAMES, _FRAMES_A_PAIR):
                if others or "{third}" not in frame:
                    third = draws.choice(others or [other])
                    filled = frame.format(thing=thing, one=one, other=other, third=third)
                    made.append(re.sub(r" a (?=[aeiou])", " an ", filled))
    draws.shuffle(made)
    return made


if __name__ == "__main__":
    kind, *paths = sys.argv[1:]
    lines = {"sentences": lambda: sentences([*map(Path, paths)]), "two-words": two_words}[kind]()
    print("\n\n".join(dict.fromkeys(lines)))
