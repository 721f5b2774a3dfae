"""Prepared corpora against the tokenizer itself, one sentence at a time."""

import dataclasses
import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.languages import PARAGRAPHS
from helpers.stores import SPECIAL
from transformers import BertTokenizer

from bertkit.corpus import prepare as module
from bertkit.corpus import vocabulary, writing
from bertkit.corpus.encoders import EncodedChunk
from bertkit.corpus.merge import merged
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.prepare import prepare
from bertkit.corpus.sources import find_sources
from bertkit.corpus.store import StoreWriter, open_store, read_info
from bertkit.corpus.vocabulary import train_vocabulary
from bertkit.errors import BertkitError
from bertkit.models.tokenizer import build_tokenizer

TEXT = """The cat sat. The dog ran away!
It came back.

One more document, with [SEP] written in it.

\u7684\u4e00\u662f\u3002\u4e0d\u4e86\u4eba\u3002
"""


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def letters_tokenizer():
    letters = "abcdefghijklmnopqrstuvwxyz[].,!\u3002\u7684\u4e00\u662f\u4e0d\u4e86\u4eba"
    return build_tokenizer([*SPECIAL, *letters, *("##" + letter for letter in letters)], lowercase=True)


def preparation(path):
    return Preparation(find_sources([str(path)]))


def test_sentences_documents_and_ids_by_hand(corpus):
    tokenizer = letters_tokenizer()
    store = prepare(preparation(corpus), tokenizer)
    sentences = [
        ["The cat sat.", "The dog ran away!", "It came back."],
        ["One more document, with [SEP] written in it."],
        ["\u7684\u4e00\u662f\u3002", "\u4e0d\u4e86\u4eba\u3002"],
    ]
    assert np.diff(store.document_starts).tolist() == [3, 1, 2]
    flat = [sentence for document in sentences for sentence in document]
    for number, sentence in enumerate(flat):
        ids = store.ids[store.sentence_starts[number] : store.sentence_starts[number + 1]].tolist()
        plain = sentence.replace("[SEP]", "[ SEP ]")  # written in a text it is text, and never the token
        assert ids == tokenizer(plain, add_special_tokens=False)["input_ids"], sentence
    assert store.token_counts.sum() == store.info.tokens == store.sentence_starts[-1]
    assert store.token_counts[tokenizer.sep_token_id] == 0


@pytest.mark.parametrize("size", [1, 7, 40])
def test_the_store_does_not_depend_on_the_chunks(corpus, tmp_path, monkeypatch, size):
    whole = prepare(preparation(corpus), letters_tokenizer())
    monkeypatch.setattr(writing, "CHUNK_CHARACTERS", size)
    pieces = prepare(preparation(corpus), letters_tokenizer(), out=tmp_path / "pieces")
    for name in ("ids", "sentence_starts", "document_starts", "token_counts"):
        assert np.array_equal(getattr(whole, name), getattr(pieces, name))


def test_the_same_content_is_prepared_once(corpus, tmp_path, monkeypatch):
    first = prepare(preparation(corpus), letters_tokenizer())
    monkeypatch.setattr(module, "write_store", lambda *_args, **_kwargs: pytest.fail("prepared again"))
    copy = tmp_path / "copy.txt"
    copy.write_bytes(corpus.read_bytes())
    assert prepare(preparation(copy), letters_tokenizer()).folder == first.folder


def test_another_content_or_tokenizer_is_another_store(corpus):
    first = prepare(preparation(corpus), letters_tokenizer()).folder
    other = build_tokenizer([*SPECIAL, *"abcdefghijklmnopqrstuvwxyz", "."], lowercase=True)
    assert prepare(preparation(corpus), other).folder != first
    corpus.write_text(TEXT + "more.", encoding="utf-8")
    assert prepare(preparation(corpus), letters_tokenizer()).folder != first


def test_an_empty_corpus_is_refused_and_leaves_nothing(tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text(" \n\n")
    with pytest.raises(BertkitError, match=r"no text in .*empty\.txt: the corpus is empty"):
        prepare(preparation(empty), letters_tokenizer(), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_killed_preparation_leaves_nothing_that_is_taken_for_whole(corpus, tmp_path):
    out = tmp_path / "out"
    code = f"""
import os, pathlib, sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parent.parent)]!r}
from bertkit.corpus import store
store.StoreWriter.finish = lambda *_a, **_k: os._exit(9)
from test_prepare import letters_tokenizer, preparation, prepare
prepare(preparation({str(corpus)!r}), letters_tokenizer(), out=pathlib.Path({str(out)!r}))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert not out.exists()
    assert prepare(preparation(corpus), letters_tokenizer(), out=out).info.documents == 3


def test_pieces_prepared_apart_are_one_corpus(corpus, tmp_path):
    tokenizer = letters_tokenizer()
    whole = prepare(preparation(corpus), tokenizer)
    pieces = []
    for part in range(2):
        one = dataclasses.replace(preparation(corpus), shard=(part, 2))
        pieces.append(prepare(one, tokenizer, out=tmp_path / f"piece-{part}").folder)
    both = merged(pieces)
    assert (both.info.documents, both.info.tokens) == (whole.info.documents, whole.info.tokens)
    assert np.array_equal(both.token_counts, whole.token_counts)
    # Documents 0, 2 and then 1 of the whole.
    cuts = np.asarray(whole.sentence_starts)[np.asarray(whole.document_starts)]
    documents = [whole.ids[cuts[n] : cuts[n + 1]] for n in (0, 2, 1)]
    assert np.array_equal(both.ids, np.concatenate(documents))
    assert np.diff(both.document_starts).tolist() == [3, 2, 1]
    other = prepare(preparation(corpus), build_tokenizer([*SPECIAL, *"abc."], lowercase=True), out=tmp_path / "other")
    with pytest.raises(BertkitError, match="prepared with another tokenizer than"):
        merged([pieces[0], other.folder])


def test_a_prepared_folder_that_is_named_twice_is_read_once(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one, two = (
        prepare(dataclasses.replace(preparation(corpus), shard=(part, 2)), letters_tokenizer(), out=tmp_path / name)
        for part, name in enumerate(("one", "two"))
    )
    capsys.readouterr()
    assert merged([tmp_path / "one", Path("one")]).info == one.info
    assert capsys.readouterr().err.startswith("named more than once and read once: 1 of the inputs\n")
    both = merged([Path("one"), Path("two")])
    assert capsys.readouterr().err == ""
    assert both.info.documents == one.info.documents + two.info.documents
    assert merged([Path("one"), Path("two"), tmp_path / "two", tmp_path / "one"]).folder == both.folder
    assert capsys.readouterr().err == "named more than once and read once: 2 of the inputs\n"


def test_parts_that_are_missing_are_named_and_those_that_do_not_go_together_refused(
    corpus, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    other = tmp_path / "other.txt"
    other.write_text("A dog.\n\nA cat.\n\nA bird.\n")
    for name, text, shard in (
        ("1", corpus, (0, 3)),
        ("2", corpus, (1, 3)),
        ("3", corpus, (2, 3)),
        ("half", corpus, (1, 2)),
        ("whole", corpus, (0, 1)),
        ("other-1", other, (0, 2)),
        ("other-2", other, (1, 2)),
    ):
        prepare(dataclasses.replace(preparation(text), shard=shard), letters_tokenizer(), out=Path(name))
    capsys.readouterr()
    for whole in (["1", "2", "3"], ["whole", "other-2", "other-1"], ["1", "2", "3", "other-1", "other-2"]):
        merged([*map(Path, whole)])
        assert capsys.readouterr().err == ""
    merged([Path("2"), Path("other-1"), Path("other-2")])
    assert capsys.readouterr().err == (
        "warning: 2 of 3 parts of the prepared text are missing beside 2: 1, 3; what is given is about 33% of it\n"
    )
    merged([Path("other-2")])
    assert (
        "1 of 2 parts of the prepared text is missing beside other-2: 1; what is given is about 50%"
        in capsys.readouterr().err
    )
    shutil.copytree("1", "copy")
    shutil.copytree("whole", "again")
    for twice in (["1", "half"], ["1", "2", "3", "copy"], ["whole", "2"], ["whole", "again"]):
        with pytest.raises(
            BertkitError, match="hold the same documents of a text: .*; give it once, or all parts of one"
        ):
            merged([*map(Path, twice)])
    with pytest.raises(
        BertkitError, match=r"2 \(2 of 3\) and other-1 \(1 of 2\) are parts of different texts, and other parts of"
    ):
        merged([Path("2"), Path("other-1")])


def test_what_rows_lacked_is_counted_once_for_all_parts(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(r'{"text": "a\u0000 cat"}' '\n{"text": ""}\n' r'{"text": "\u0000\u0000the dog"}' "\n")
    parts = [dataclasses.replace(preparation(path), shard=(part, 2)) for part in range(2)]
    made = [prepare(one, letters_tokenizer(), out=tmp_path / f"{n}") for n, one in enumerate(parts)]
    assert [one.info.dropped_nuls for one in made] == [3, 3]  # each part reads all rows
    info = merged([one.folder for one in made]).info
    assert (info.dropped_nuls, info.empty_rows, info.sources) == (3, 1, [str(path)])
    assert "3 NUL characters in cells are dropped, as BERT's cleaning does" in info.notes
    other = tmp_path / "other.jsonl"
    other.write_text('{"text": ""}\n{"text": "the dog"}\n')
    third = prepare(preparation(other), letters_tokenizer(), out=tmp_path / "third")
    assert merged([one.folder for one in (*made, third)]).info.empty_rows == 2


def test_a_vocabulary_that_is_learned_on_a_part_of_the_text_says_of_how_much(monkeypatch, capsys):
    monkeypatch.setattr(vocabulary, "SAMPLE_BYTES", 2 * 2**20)
    assert vocabulary.sampled(2 * 2**20) is None
    assert "a random 25.0% of the documents, about 2 of 8 MiB" in vocabulary.sampled(8 * 2**20)
    paragraphs = ["a" * 2**20, None] * 4
    assert len(list(vocabulary.sample(paragraphs, 0, seed=0))) == 3  # the first that are more than 2 MiB
    assert "on the first 2 MiB of a text of unknown size" in " ".join(capsys.readouterr().err.split())
    assert list(vocabulary.sample(paragraphs[:4], 0, seed=0)) == ["a" * 2**20] * 2
    assert capsys.readouterr().err == ""


def test_a_damaged_store_is_named(corpus, tmp_path):
    store = prepare(preparation(corpus), letters_tokenizer(), out=tmp_path / "s")
    ids = store.folder / "ids.bin"
    ids.write_bytes(ids.read_bytes()[:-2])
    with pytest.raises(BertkitError, match=r"ids\.bin is damaged"):
        open_store(store.folder)
    info = store.folder / "corpus.json"
    info.write_text(json.dumps({**json.loads(info.read_text()), "format": 99}))
    with pytest.raises(BertkitError, match="has format 99"):
        read_info(store.folder)


WORDS = "the cat sat on the mat and the cat saw the hat of the rat that sat there . " * 30


def test_the_vocabulary_is_the_same_in_every_process():
    code = f"from bertkit.corpus.vocabulary import train_vocabulary as t; print(t(lambda: [{WORDS!r}], 45, True))"
    runs = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    }
    assert len(runs) == 1


def test_the_vocabulary_holds_bert_s_special_tokens_and_every_frequent_word():
    pieces = train_vocabulary(lambda: [WORDS] * 4, None, True)
    assert pieces[:5] == SPECIAL
    assert {"the", "cat", "sat"} <= set(pieces)


def test_chinese_characters_are_words_and_accents_stay_unless_they_are_stripped():
    chinese = train_vocabulary(lambda: ["\u7684\u4e00\u662f\u7684\u4e00\u662f"], None, True)
    assert set(chinese[5:]) == {"\u7684", "\u4e00", "\u662f"}  # none of them can continue a word
    for lowercase in (True, False):
        assert "\u00e9" in "".join(train_vocabulary(lambda: ["Caf\u00e9 Caf\u00e9"], None, lowercase))
        stripped = train_vocabulary(lambda: ["Caf\u00e9 Caf\u00e9"], None, lowercase, strip_accents=True)
        assert "\u00e9" not in "".join(stripped)


def test_a_text_of_long_phrases_gets_no_more_word_pieces_than_occur_40_times_on_average(capsys):
    # As in Thai, what stands between blanks are phrases, most of which come twice: all of them could be word pieces.
    draws = random.Random(3)
    syllables = ["".join(draws.choices("abcdefghij", k=3)) for _ in range(60)]
    texts = ["".join(draws.choices(syllables, k=6)) for _ in range(2000)] * 2
    pieces = train_vocabulary(lambda: texts, None, True)
    assert (
        f"{len(pieces):,} word pieces are learned: 4,096 would occur fewer than 40 times each"
        in capsys.readouterr().err
    )
    assert pieces == train_vocabulary(lambda: texts, len(pieces), True)  # it is the vocabulary of that size

    def tokens(pieces):  # counted by transformers' own tokenizer
        reader = BertTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, strip_accents=False)
        return sum(map(len, reader(texts, add_special_tokens=False)["input_ids"]))

    assert tokens(pieces) >= 40 * len(pieces)
    one_more = train_vocabulary(lambda: texts, len(pieces) + 1, True)
    assert tokens(one_more) < 40 * len(one_more)


def test_a_word_that_occurs_twice_is_a_piece_and_one_that_occurs_once_is_none():
    pieces = train_vocabulary(lambda: ["zq zq xv " + "a " * 4000], None, True)
    assert "zq" in pieces
    assert "xv" not in pieces


def test_a_character_that_occurs_twice_is_a_piece_in_whatever_amount_of_text():
    """One that occurs once is unknown, where it is so small a share of the text."""
    pieces = train_vocabulary(lambda: ["a " * 20_000 + "\u00e9 \u00e9 \u00fc"], None, True)
    assert "\u00e9" in pieces
    assert "\u00fc" not in pieces


@pytest.mark.parametrize(("size", "message"), [(16, "too small for the"), (5000, "more than this corpus supports")])
def test_sizes_that_do_not_suit_the_corpus_are_refused(size, message):
    with pytest.raises(BertkitError, match=message):
        train_vocabulary(lambda: [WORDS], size, True)


@pytest.mark.parametrize("size", [16, 40, 5000])
@pytest.mark.parametrize("language", ["English", "Hindi", "Korean", "Chinese"])
def test_a_size_that_a_message_names_is_accepted(language, size):
    def texts():
        return [PARAGRAPHS[language]] * 2

    with pytest.raises(BertkitError) as refused:
        train_vocabulary(texts, size, True)
    advised = int(re.search(r"--vocab-size (\d+)", str(refused.value))[1])
    assert len(train_vocabulary(texts, advised, True)) == advised


@pytest.mark.parametrize("size", [1, 3, 50])
def test_many_documents_at_once_are_written_as_one_by_one(tmp_path, size):
    rng = np.random.default_rng(3)
    documents = [[rng.integers(0, 90, rng.integers(1, 4)) for _ in range(rng.integers(0, 4))] for _ in range(50)]
    folders = [tmp_path / "one", tmp_path / "many"]
    for folder in folders:
        folder.mkdir()
    with StoreWriter(folders[0], 90) as one:
        for document in documents:
            for sentence in document:
                one.add_sentences(sentence, np.array([len(sentence)]))
            one.end_document()
        one.finish(fingerprint="", tokenizer_fingerprint="", sources=[], text_bytes=0)
    # Sentences and ends of documents as one stream, cut anywhere.
    stream = [event for document in documents for event in (*document, None)]
    with StoreWriter(folders[1], 90) as many:
        for start in range(0, len(stream), size):
            many.add_chunk(*as_chunk(stream[start : start + size])[:3])
        many.finish(fingerprint="", tokenizer_fingerprint="", sources=[], text_bytes=0)
    for name in ("ids.bin", "sentences.bin", "documents.bin", "counts.bin", "corpus.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name


def as_chunk(events):
    sentences = [event for event in events if event is not None]
    ends = [sum(one is not None for one in events[:place]) for place, event in enumerate(events) if event is None]
    ids = np.concatenate([np.zeros(0, dtype=np.uint32), *sentences]).astype(np.uint32)
    return EncodedChunk(ids, np.array(list(map(len, sentences)), dtype=np.int64), np.array(ends, dtype=np.int64), 0)


@pytest.mark.parametrize("documents", [1, 2, 500])
def test_of_a_large_text_the_share_is_drawn_however_few_documents_it_has(documents):
    line = "a" * 1_000
    text = ([line] * (20_000 // documents) + [None]) * documents
    drawn = list(vocabulary.sample(text, 20_000_000, 0, 5_000_000))
    # About 308 stretches of 66 lines, or 500 documents of 40, of which a quarter is drawn: 4 standard deviations.
    n = max(documents, 20_000 / 66)
    assert abs(len(drawn) / 20_000 - 0.25) < 4 * (0.25 * 0.75 / n) ** 0.5
