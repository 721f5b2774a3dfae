"""What is computed once and mapped is what is computed in memory, and what was damaged is computed anew."""

from pathlib import Path

import numpy as np
import pytest
from helpers.stores import random_documents, write_store

from bertkit.corpus import by_document
from bertkit.corpus.store import CorpusStore
from bertkit.pretraining.pairs import PairSampler
from bertkit.pretraining.split import DocumentSet, split_documents


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CorpusStore:
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(by_document, "_AT_ONCE", 7)
    return write_store(tmp_path / "s", random_documents(100))


def sides(store: CorpusStore) -> list[tuple[DocumentSet, np.ndarray, list[list[int]]]]:
    """Both sides of a corpus, where the examples of each document begin, and some of them."""
    answers = []
    for side in split_documents(store, 0.2, seed=3):
        sampler = PairSampler(store, side, max_seq_length=24, seed=3)
        answers.append((side, sampler._first_window, [sampler.example(1, n).a.tolist() for n in range(20)]))
    return answers


def test_mapped_arrays_are_those_in_memory(store: CorpusStore, monkeypatch: pytest.MonkeyPatch) -> None:
    in_memory = sides(store)
    monkeypatch.setattr(by_document, "MAPPED_FROM", 1)
    for (side, windows, examples), (expected, expected_windows, expected_examples) in zip(
        sides(store), in_memory, strict=True
    ):
        assert isinstance(side.mine, np.memmap)
        assert isinstance(windows, np.memmap)
        assert np.array_equal(side.mine, expected.mine)
        assert np.array_equal(windows, expected_windows)
        assert (side.count, side.tokens, examples) == (expected.count, expected.tokens, expected_examples)
    # By hand: a document of n tokens owns ceil(n / 21) examples.
    tokens = np.diff(store.sentence_starts[store.document_starts])
    training, windows, _ = in_memory[0]
    assert np.diff(windows).tolist() == [
        -(-int(n) // 21) * int(mine) for n, mine in zip(tokens, training.mine, strict=True)
    ]


def test_they_are_computed_once(store: CorpusStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_document, "MAPPED_FROM", 1)
    first = sides(store)
    monkeypatch.setattr(by_document, "chunks_of", None)  # whoever computed would call it
    monkeypatch.setattr("bertkit.pretraining.split.chunks_of", None)
    monkeypatch.setattr("bertkit.pretraining.pairs.chunks_of", None)
    assert [examples for *_, examples in sides(store)] == [examples for *_, examples in first]
    with pytest.raises(TypeError, match="NoneType"):
        split_documents(store, 0.2, seed=4)  # other sides, not those of seed 3


def test_a_damaged_one_is_computed_anew(
    store: CorpusStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(by_document, "MAPPED_FROM", 1)
    first = sides(store)
    files = sorted((tmp_path / "cache" / "by_document").rglob("first_window.bin"))
    assert len(files) == 2
    for file in files:
        file.write_bytes(b"\1" + file.read_bytes()[1:])
    assert [examples for *_, examples in sides(store)] == [examples for *_, examples in first]
    assert capsys.readouterr().err.count("which is done now, as it is in the cache") == 2


def test_sides_of_equal_size_keep_windows_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(by_document, "MAPPED_FROM", 1)
    store = write_store(tmp_path / "s", [[[5] * 30], [[6] * 30]])
    training, held_out = split_documents(store, 0.5, seed=1)
    assert (training.count, training.tokens) == (held_out.count, held_out.tokens) == (1, 30)
    for side in (training, held_out):
        windows = PairSampler(store, side, max_seq_length=24, seed=3)._first_window
        assert np.diff(windows).tolist() == [2 * int(mine) for mine in side.mine]  # ceil(30 / 21)
