"""Corpora prepared part by part against the same corpora prepared whole: every file of the store, byte by byte."""

import gzip
import json
import random

import pytest
from helpers.languages import PARAGRAPHS
from helpers.stores import SPECIAL

from bertkit import console
from bertkit.corpus import parts as module
from bertkit.corpus import preparation as preparing
from bertkit.corpus.contents import contents, joined
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.prepare import prepare
from bertkit.corpus.sources import find_sources
from bertkit.errors import BertkitError
from bertkit.models.tokenizer import build_tokenizer

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def corpus(tmp_path):
    """Files of all forms, of which three are empty and two hold a byte that is not UTF-8."""
    folder = tmp_path / "text"
    folder.mkdir()
    texts = list(PARAGRAPHS.values())
    for number in range(4):
        (folder / f"a{number}.txt").write_text("\n\n".join(texts[number::4] * 3), encoding="utf-8")
    broken = ("A line of text.\n" * 300).encode() + b"caf\xe9.\n\nOne more.\n"
    (folder / "a1-broken.txt").write_bytes(broken)
    (folder / "a2-empty.txt").write_text("\n\n")
    (folder / "b.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
    (folder / "c-empty.jsonl").write_text('{"text": " "}\n')
    (folder / "c.txt.gz").write_bytes(gzip.compress(broken))
    (folder / "d-empty.txt").write_text("")
    return folder


def tokenizer():
    letters = sorted({letter for text in PARAGRAPHS.values() for letter in text.lower() if not letter.isspace()})
    return build_tokenizer([*SPECIAL, *letters, *("##" + letter for letter in letters)], lowercase=True)


def in_any_order(work, parts):
    order = list(range(len(parts)))
    random.Random(4).shuffle(order)
    return ((number, work(parts[number])) for number in order)


def bytes_of(store):
    return {path.name: path.read_bytes() for path in store.folder.iterdir()}


@pytest.mark.parametrize("part_bytes", [1, 5_000, 2**28])
def test_a_corpus_in_parts_is_the_very_store_of_the_whole(corpus, tmp_path, monkeypatch, capsys, part_bytes):
    sources = find_sources([str(corpus)])
    whole = prepare(Preparation(sources), tokenizer(), out=tmp_path / "whole")
    said = capsys.readouterr().err
    assert "2 bytes were not UTF-8 and were replaced, first at" in said
    assert "3 empty files, first" in said
    monkeypatch.setattr(preparing, "PART_BYTES", part_bytes)
    preparation = Preparation(sources, engine=in_any_order)
    assert len(preparation.parts) == {1: 10, 5_000: 4, 2**28: 1}[part_bytes]
    parted = prepare(preparation, tokenizer(), out=tmp_path / "parted")
    assert bytes_of(parted) == bytes_of(whole)
    assert capsys.readouterr().err == said
    assert [path.name for path in (tmp_path / "cache" / "parts").iterdir() if path.is_dir()] == []


def test_a_part_that_is_done_is_not_done_again_and_a_damaged_one_is(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(preparing, "PART_BYTES", 1)
    sources = find_sources([str(corpus)])
    whole = prepare(Preparation(sources), tokenizer(), out=tmp_path / "whole")
    done = []

    def dies_at_the_third(work, parts):
        for number, part in enumerate(parts):
            if work is preparing._hashed or number < 3:
                yield number, work(part)
            else:
                raise KeyboardInterrupt

    def counts(work, parts):
        for number, part in enumerate(parts):
            if work is not preparing._hashed:
                done.append(part.names[0])
            yield number, work(part)

    with pytest.raises(KeyboardInterrupt):
        prepare(Preparation(sources, engine=dies_at_the_third), tokenizer(), out=tmp_path / "parted")
    assert not (tmp_path / "parted").exists()
    (kept,) = (path for path in (tmp_path / "cache" / "parts").iterdir() if path.is_dir())
    ids = kept / "1" / "ids.bin"
    ids.write_bytes(bytes(len(ids.read_bytes())))
    capsys.readouterr()
    preparation = Preparation(sources, engine=counts)
    parted = prepare(preparation, tokenizer(), out=tmp_path / "parted")
    assert bytes_of(parted) == bytes_of(whole)
    assert done == [preparation.parts[number].names[0] for number in (1, *range(3, 10))]
    assert "2 of 10 parts are prepared already" in capsys.readouterr().err


def test_a_file_that_changes_after_its_part_was_hashed_is_named(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(preparing, "PART_BYTES", 1)

    def changes(work, parts):
        for number, part in enumerate(parts):
            yield number, work(part)
            if work is preparing._hashed and number == 2:
                (corpus / "a0.txt").write_text("Another text.")

    with pytest.raises(BertkitError, match=r"a0\.txt changed while it was read: nothing was kept"):
        prepare(Preparation(find_sources([str(corpus)]), engine=changes), tokenizer(), out=tmp_path / "parted")
    assert not (tmp_path / "parted").exists()


def test_parts_without_a_word_are_an_empty_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(preparing, "PART_BYTES", 1)
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(" \n\n")
    preparation = Preparation(find_sources([str(tmp_path / "*.txt")]), engine=in_any_order)
    with pytest.raises(BertkitError, match=r"no text in .*a\.txt, .*b\.txt: the corpus is empty"):
        prepare(preparation, tokenizer(), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_part_says_is_said_once_and_its_progress_is_not(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(console, "PLAIN_LINE_EVERY_S", 0)
    monkeypatch.setattr(preparing, "PART_BYTES", 1)
    preparation = Preparation(find_sources([str(corpus)])[:3], engine=in_any_order)
    monkeypatch.setattr(module, "write_store", _says(module.write_store))
    prepare(preparation, tokenizer(), out=tmp_path / "out")
    lines = capsys.readouterr().err.splitlines()
    assert lines.count("a remark") == lines.count("warning: a [b]warning[/b]") == 1
    assert all(" MB" not in line for line in lines)
    assert any(line.startswith("preparing: 3/3 parts") for line in lines)


def _says(write):
    def says(*args, **kwargs):
        console.note("a remark")
        console.warn(console.plain("a [b]warning[/b]"))
        return write(*args, **kwargs)

    return says


def test_a_large_file_is_one_part_and_that_is_said(corpus, monkeypatch, capsys):
    sizes = {path: path.stat().st_size * (4 if path.suffix == ".gz" else 1) for path in corpus.iterdir()}
    *_, second, largest = sorted(sizes, key=lambda path: sizes[path])
    monkeypatch.setattr(preparing, "_LARGE_BYTES", sizes[second])
    assert len(Preparation(find_sources([str(corpus)]), engine=in_any_order).parts) == 1
    assert f"parts are whole files, and 1 is large ({largest}, about 0.0 GB of text)" in capsys.readouterr().err
    monkeypatch.setattr(preparing, "_LARGE_BYTES", sizes[second] - 1)
    assert Preparation(find_sources([str(corpus)]), engine=in_any_order).parts
    assert f"2 are large ({largest}, about 0.0 GB of text, the largest)" in capsys.readouterr().err


def test_a_file_that_another_machine_has_hashed_is_known_by_its_content(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one line\n")
    here = contents(find_sources([str(path)]), "text")
    elsewhere = joined([here])
    assert elsewhere.fingerprint == here.fingerprint
    path.rename(tmp_path / "kept")  # so that the next one has another inode
    path.write_text("one line\n")
    with elsewhere.unchanged():
        pass
    for known in (here, elsewhere):
        path.write_text("two line\n" if known is elsewhere else "one line\n")
        with pytest.raises(BertkitError, match="changed while it was read"), known.unchanged():
            pass
