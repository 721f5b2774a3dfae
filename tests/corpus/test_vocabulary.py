"""How much text a part of a mix has, for its share of what the word pieces are learned on."""

import datasets
import pytest

from bertkit.corpus import vocabulary
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.sources import find_sources
from bertkit.corpus.vocabulary import measured, reading, readings
from bertkit.errors import BertkitError


@pytest.fixture
def of(tmp_path):
    """Texts in a folder by name: ``text.txt`` of 3,000 bytes and ``saved``, a dataset of 1,000 bytes of text."""
    (tmp_path / "text.txt").write_text("ninebytes\n" * 300, encoding="utf-8")
    (tmp_path / "empty.txt").write_text("", encoding="utf-8")
    (tmp_path / "blank.txt").write_text("\n \n", encoding="utf-8")
    datasets.Dataset.from_dict({"text": ["tenbytes\u00e9"] * 100}).save_to_disk(tmp_path / "saved")
    datasets.Dataset.from_dict({"text": [None, " "]}).save_to_disk(tmp_path / "nothing")
    return lambda *names: Preparation(find_sources([str(tmp_path / name) for name in names]))


def test_a_dataset_is_counted_and_a_file_is_as_large_as_it_is(of, monkeypatch):
    assert measured(of("text.txt")) == 3_000
    assert measured(of("saved")) == 1_000
    assert measured(of("text.txt", "saved")) == 300 * 9 + 1_000
    monkeypatch.setattr(vocabulary, "SAMPLE_BYTES", 1_000)
    assert (measured(of("saved")), measured(of("text.txt"))) == (1_000, 3_000)
    monkeypatch.setattr(vocabulary, "SAMPLE_BYTES", 999)
    assert measured(of("saved")) == 0  # unknown still: at least what is learned on in all


def test_counting_ends_at_what_is_learned_on(of, monkeypatch):
    monkeypatch.setattr(vocabulary, "SAMPLE_BYTES", 50)
    taken = []
    many = of("saved")
    monkeypatch.setattr(Preparation, "paragraphs", lambda *_: (taken.append(n) or "tenbytes\u00e9" for n in range(100)))
    assert measured(many) == 0
    assert len(taken) == 6


@pytest.mark.parametrize("name", ["empty.txt", "blank.txt", "nothing"])
def test_an_empty_part_is_refused(of, name):
    with pytest.raises(BertkitError, match=rf"no text in \S+{name}: the corpus is empty"):
        measured(of(name))


def test_a_small_dataset_has_its_share(of):
    """Three quarters of 4,000 bytes are read of 1,000, and a quarter of 3,000."""
    parts = [of("saved"), of("text.txt")]
    sizes = [measured(one) for one in parts]
    read = readings(sizes, [0.75, 0.25])
    assert read == [3_000, 1_000]
    texts = list(reading(lambda: iter(["tenbytes\u00e9", None] * 100), sizes[0], read[0]))
    assert sum(len(text.encode()) for text in texts) == 3_000
