"""Both sides of `python -m benchmarks prepare` make the same ids of the same text."""

from contextlib import nullcontext

import numpy as np
import pytest

from benchmarks import prepare as bench
from benchmarks.rounds import OURS, Turn
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.prepare import prepare
from bertkit.corpus.sources import find_sources
from bertkit.models.tokenizer_loading import load_tokenizer


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "corpus.txt"
    path.write_text("".join(f"The cat sat. The cats {'abcdefgh'[n % 8]}.\nA cat.\n\n" for n in range(200)))
    return path


@pytest.mark.filterwarnings("ignore:.*fork.*")
def test_both_sides_make_the_same_ids(corpus, tiny_model, tmp_path):
    tokenizer = load_tokenizer(str(tiny_model))
    store = prepare(Preparation(find_sources([str(corpus)])), tokenizer, tmp_path / "store")
    blocks = bench.mapped(bench.lines_on_disk(corpus, str(tmp_path / "lines")), tokenizer, processes=None)
    ids = np.array(blocks["input_ids"])
    assert ids.shape[1] == 512
    ids = ids[~np.isin(ids, [tokenizer.cls_token_id, tokenizer.sep_token_id])]
    assert ids.tolist() == store.ids[: len(ids)].tolist()
    assert store.info.tokens - len(ids) < 512


def test_the_beginning_of_a_corpus_is_read_as_the_corpus_is(corpus, tmp_path):
    whole = list(Preparation(find_sources([str(corpus)])).paragraphs(bench.ReadReport()))
    size = bench.write_beginning(Preparation(find_sources([str(corpus)])), 0.001, tmp_path / "first.txt")
    first = list(Preparation(find_sources([str(tmp_path / "first.txt")])).paragraphs(bench.ReadReport()))
    assert size == (tmp_path / "first.txt").stat().st_size
    assert 1_000 <= size < 1_100
    assert first[:-1] == whole[: len(first) - 1]


def test_the_result_has_the_form_of_the_other_benches(corpus, tiny_model, monkeypatch):
    asked = []
    monkeypatch.setattr(bench, "apart", lambda builders: nullcontext({one: _turn(one, asked) for one in builders}))
    found = bench.bench_prepare([str(corpus)], 0.002, 2, str(tiny_model))
    names = [one["name"] for one in found["figures"]]
    assert names[:2] == [OURS, "datasets.map, 2 processes"]
    assert names[2:] in ([], ["bertkit with nanotoken"])
    assert asked == names * 2
    assert found["work"] == "prepare 0.0 MB of text, vocabulary 21"


def _turn(name, asked):
    def turn():
        asked.append(name)
        return Turn(1, 1)

    return turn
