"""The sentences that the embedded model learned beside running text: by the rule, and the same each time."""

import re
from pathlib import Path

from benchmarks.everyday import sentences, two_words


def test_sentences_of_5_to_20_words_of_what_is_trained_on(tmp_path):
    long, digit = f"{'word ' * 20}and more.", "7 is no letter to begin with."
    documents = [f'Too short. "This one has number {n} in it!" {long} {digit}' for n in range(1, 41)]
    (tmp_path / "a.txt").write_text("\n\n".join(documents), encoding="utf-8")
    found = list(sentences([tmp_path / "a.txt"]))
    assert found == [f"This one has number {n} in it!" for n in range(1, 41) if n not in (20, 40)]


def test_two_words_that_fit_a_thing_and_differ_are_joined():
    made = two_words()
    assert made == two_words()
    lines = Path(__file__).with_name("two_words.txt").read_text(encoding="utf-8").splitlines()
    fitting = {thing: words.split() for thing, words in (line.split(": ") for line in lines)}
    joined = [found.groups() for one in made if (found := re.fullmatch(r"The (\w+) (?:is|was) (\w+) and (\w+)\.", one))]
    assert len(joined) > 500
    for thing, one, other in joined:
        assert one != other
        assert {one, other} <= {*fitting[thing]}
    assert not any(f" a {vowel}" in one for one in made for vowel in "aeiou")
