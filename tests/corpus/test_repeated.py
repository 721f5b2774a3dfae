"""Lines and documents that occur again: left out as a plain set of texts would leave them out, counted and said."""

import json
import random

import numpy as np
import pytest
from scipy.stats import binom
from typer.testing import CliRunner

import bertkit
from bertkit.cli import app
from bertkit.corpus import repeated
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.prepare import prepare
from bertkit.corpus.repeated import Hashes, without_repeated
from bertkit.corpus.sources import find_sources
from bertkit.errors import BertkitError
from bertkit.io.text import ReadReport
from bertkit.models.tokenizer import build_tokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "dog", "sat", "ran", "."]


def test_lines_by_hand() -> None:
    report = ReadReport()
    text = ["a", "b", "a", None, "c", None, "b", "a", None, "a ", None]
    assert list(without_repeated(text, "lines", report)) == ["a", "b", None, "c", None, None, "a ", None]
    assert (report.repeated, report.repeated_characters) == (3, 3)


def test_documents_by_hand() -> None:
    """Other lines are another document, also where they are the same characters."""
    report = ReadReport()
    text = ["a", "b", None, "ab", None, "a", "b", None, "b", "a", None, "a", None, "ab", None]
    kept = ["a", "b", None, "ab", None, "b", "a", None, "a", None]
    assert list(without_repeated(text, "documents", report)) == kept
    assert (report.repeated, report.repeated_characters) == (2, 4)


@pytest.mark.parametrize("at_once", [1, 50, 10**9])
@pytest.mark.parametrize("what", ["lines", "documents"])
def test_as_a_set_of_the_texts_does(monkeypatch, what, at_once) -> None:
    monkeypatch.setattr(repeated, "_CHARACTERS_AT_ONCE", at_once)
    draws = random.Random(at_once)
    documents = [[f"line {draws.randrange(400)}" for _ in range(draws.randint(1, 2))] for _ in range(3_000)]
    text = [one for document in documents for one in (*document, None)]
    met, expected = set(), []
    for document in documents:
        units = [[line] for line in document] if what == "lines" else [document]
        for unit in units:
            if tuple(unit) not in met:
                expected += unit
                met.add(tuple(unit))
    report = ReadReport()
    kept = list(without_repeated(text, what, report))
    assert [one for one in kept if one is not None] == expected
    lines = sum(map(len, documents))
    assert report.repeated == (lines if what == "lines" else len(documents)) - len(met)


def test_near_duplicates_by_hand() -> None:
    """Letters "a" to "j" have six runs of five; with another first letter five of seven different runs are in both: 0.71."""
    report = ReadReport()
    letters = "a b c d e f g h i j"
    text = [
        letters,
        None,
        "A b c d e",
        "F  g h i j",
        None,
        "k b c d e f g h i j",
        None,
        None,
        "one",
        None,
        "!",
        None,
        "ONE",
        None,
    ]
    kept = [letters, None, "k b c d e f g h i j", None, None, "one", None, "!", None]
    assert list(without_repeated(text, "near-duplicates", report)) == kept
    assert (report.repeated, report.repeated_characters) == (2, len(letters) + 3)


def _of_five(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[begin : begin + 5]) for begin in range(len(words) - 4)}


def test_near_duplicates_as_the_exact_share_of_runs_says() -> None:
    """Beside the Jaccard index itself: four standard deviations of the estimate (0.035 each) off 0.8 all pairs are told right."""
    draws, told = random.Random(3), []
    for _ in range(400):
        words = [f"w{draws.randrange(5_000)}" for _ in range(100)]
        other = list(words)
        for place in draws.sample(range(100), k=draws.randint(0, 6)):
            other[place] = "other"
        runs, others = _of_five(words), _of_five(other)
        kept = list(without_repeated([" ".join(words), None, " ".join(other), None], "near-duplicates", ReadReport()))
        told.append((len(runs & others) / len(runs | others), len(kept) == 2))
    below, above = [near for exact, near in told if exact < 0.66], [near for exact, near in told if exact > 0.94]
    assert len(below) > 100
    assert not any(below)
    assert len(above) > 50
    assert all(above)
    between = [near for exact, near in told if 0.8 < exact < 0.94]
    assert sum(between) > 0.8 * len(between) > 40


def test_near_duplicates_just_below_the_share_are_told_as_seldom_as_128_hashes_allow() -> None:
    """Three of 100 words differ: 81 of 111 runs are in both. 103 hashes or more of 128 agree in a pair with the probability of
    the binomial, and these pairs are within 4 standard deviations of as many as it says, or fewer (a band must agree as well)."""
    draws, told = random.Random(3), 0
    for _ in range(200):
        words = [f"w{draws.randrange(10**6)}" for _ in range(100)]
        other = ["other" if place in (20, 50, 80) else word for place, word in enumerate(words)]
        runs, others = _of_five(words), _of_five(other)
        assert (len(runs & others), len(runs | others)) == (81, 111)
        kept = list(without_repeated([" ".join(words), None, " ".join(other), None], "near-duplicates", ReadReport()))
        told += len(kept) == 2
    likely = binom.sf(102, 128, 81 / 111)
    assert told <= 200 * likely + 4 * np.sqrt(200 * likely * (1 - likely))


@pytest.mark.parametrize(
    "letters",
    ["कखगघचजटडतदनपबमरलसह", "កខគឃចឆជឈញដឋឌណតថទធន", "abcdefghijklmnopqr"],
    ids=["Hindi", "Khmer", "Latin, decomposed accents"],
)
def test_near_duplicates_in_scripts_whose_words_have_marks(letters: str) -> None:
    """One letter differs in every tenth of 100 words: 50 of the 142 different runs are in both, so that they are no near
    duplicates. Were marks no part of words, each word would be 16, and 94 % of the runs would be."""
    draws = random.Random(4)
    mark = {"क": "\u093f", "ក": "\u17b6", "a": "\u0301"}[letters[0]]
    words = ["".join(draws.choice(letters[1:]) + mark for _ in range(8)) for _ in range(100)]
    other = [letters[0] + word[1:] if place % 10 == 9 else word for place, word in enumerate(words)]
    runs, others = _of_five(words), _of_five(other)
    assert (len(runs & others), len(runs | others)) == (50, 142)
    text = [" ".join(words), None, " ".join(other), None]
    assert list(without_repeated(text, "near-duplicates", ReadReport())) == text
    other = [*words[:-1], "."]  # 95 of 97
    assert len(list(without_repeated([*text[:2], " ".join(other), None], "near-duplicates", ReadReport()))) == 2


def test_what_a_rule_made_before_is_not_taken_for_what_another_makes(own_cache, tmp_path) -> None:
    (tmp_path / "a.txt").write_text("the cat\n", encoding="utf-8")
    sources = find_sources([str(tmp_path / "a.txt")])
    names = [Preparation(sources, deduplicate=what).text_fingerprint for what in (None, "lines", "near-duplicates")]
    assert [name.removeprefix(names[0]) for name in names] == ["", "-lines", "-near-duplicates-2"]


def test_runs_of_hashes_hold_all_and_stay_few() -> None:
    draws, hashes, met = np.random.default_rng(1), Hashes(), set()
    for _ in range(300):
        some = draws.integers(0, 20_000, 100, dtype=np.uint64)
        expected = [one not in met and one not in some[:n].tolist() for n, one in enumerate(some.tolist())]
        assert hashes.first_met_hashes(some).tolist() == expected
        met.update(some.tolist())
    assert sum(map(len, hashes._runs)) == len(met)
    assert all(len(one) >= 2 * len(other) for one, other in zip(hashes._runs, hashes._runs[1:], strict=False))


def test_a_document_too_long_to_be_held_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(repeated, "_LONGEST_CHARACTERS", 5)
    with pytest.raises(BertkitError, match="over 5 characters, too many to be compared whole: put blank lines"):
        list(without_repeated(["abc", "def", None], "documents", ReadReport()))


def test_the_prepared_text_is_that_of_a_file_without_them(own_cache, tmp_path) -> None:
    once = "the cat sat .\nthe dog ran .\n\nthe cat ran .\n"
    (tmp_path / "once.txt").write_text(once, encoding="utf-8")
    (tmp_path / "twice.txt").write_text(f"{once}\n{once}the dog ran .\n\n", encoding="utf-8")
    tokenizer = build_tokenizer(WORDS, lowercase=True)
    stores = {
        (name, what): prepare(Preparation(find_sources([str(tmp_path / name)]), deduplicate=what), tokenizer)
        for name in ("once.txt", "twice.txt")
        for what in (None, "lines")
    }
    alone, kept = stores["once.txt", None], stores["twice.txt", "lines"]
    for name in ("ids.bin", "sentences.bin", "documents.bin", "counts.bin"):
        assert (kept.folder / name).read_bytes() == (alone.folder / name).read_bytes()
    assert len({store.folder for store in stores.values()}) == 4
    assert kept.info.repeated == {"lines": 4, "characters": 2 * 13 + 2 * 13}
    assert "repeated" not in json.loads((alone.folder / "corpus.json").read_text())


def test_what_was_left_out_is_said_and_parts_are_refused(own_cache, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("The cat sat.\nA dog ran.\n\n" * 40 + "It rained.\n", encoding="utf-8")
    runner = CliRunner()
    result = runner.invoke(app, ["prepare", "text.txt", "--set", "data.deduplicate=lines"], env={"COLUMNS": "300"})
    assert "text.txt: 78 lines that had occurred before are left out, 858 characters (data.deduplicate" in result.stderr
    assert "2 documents, 3 sentences" in result.stderr
    (tmp_path / "two.txt").write_text(
        "The cat sat on the mat.\n\nthe cat sat on the mat .\n\nIt rained.\n", encoding="utf-8"
    )
    result = runner.invoke(
        app, ["prepare", "two.txt", "--set", "data.deduplicate=near-duplicates"], env={"COLUMNS": "300"}
    )
    assert "two.txt: 1 near duplicates of earlier documents are left out" in result.stderr
    assert "2 documents" in result.stderr
    given = ["--set", "data.deduplicate=documents", "--shard", "1/2", "--tokenizer", "embedded"]
    result = runner.invoke(app, ["prepare", "text.txt", *given])
    assert str(result.exception).startswith(
        "data.deduplicate=documents compares a text with all of itself, and --engine"
    )
    settings = {"data.max_seq_length": 16, "train.batch_size": 4}
    warnings = bertkit.inspect("text.txt", recipe="tiny", settings=settings, examples=4)["warnings"]
    assert any("--set data.deduplicate=lines" in told for told in warnings)
    assert any("--set data.deduplicate=documents" in told for told in warnings)
