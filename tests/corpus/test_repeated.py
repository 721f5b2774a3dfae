"""Lines and documents that occur again: left out as a plain set of texts would leave them out, counted and said."""

import json
import random

import numpy as np
import pytest
from typer.testing import CliRunner

import bertkit
from bertkit.cli import app
from bertkit.corpus import repeated
from bertkit.corpus.prepare import Preparation, prepare
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


def test_runs_of_hashes_hold_all_and_stay_few() -> None:
    draws, hashes, met = np.random.default_rng(1), Hashes(), set()
    for _ in range(300):
        some = draws.integers(0, 20_000, 100, dtype=np.uint64)
        expected = [one not in met and one not in some[:n].tolist() for n, one in enumerate(some.tolist())]
        assert hashes.first_met(some).tolist() == expected
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
    assert "text.txt: 78 lines that had occurred before are left out, 0.0 million characters" in result.stderr
    assert "2 documents, 3 sentences" in result.stderr
    given = ["--set", "data.deduplicate=documents", "--shard", "1/2", "--tokenizer", "embedded"]
    result = runner.invoke(app, ["prepare", "text.txt", *given])
    assert str(result.exception).startswith(
        "data.deduplicate=documents compares a text with all of itself, and --engine"
    )
    settings = {"data.max_seq_length": 16, "train.batch_size": 4}
    warnings = bertkit.inspect("text.txt", recipe="tiny", settings=settings, examples=4)["warnings"]
    assert any("--set data.deduplicate=lines" in told for told in warnings)
    assert any("--set data.deduplicate=documents" in told for told in warnings)
