"""Prepared corpora that are damaged, changed, interrupted or somebody else's: healed or refused, and never trained on."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from helpers.stores import SPECIAL, random_documents, toy_tokenizer, write_store

from bertkit.corpus import prepare as module
from bertkit.corpus.cache import new_spool, opened
from bertkit.corpus.checksums import checksums, write_checksums
from bertkit.corpus.merge import merged
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.prepare import prepare
from bertkit.corpus.sources import find_sources
from bertkit.corpus.store import check_starts, open_store, open_verified
from bertkit.errors import BertkitError, Interrupted
from bertkit.models.tokenizer import build_tokenizer
from bertkit.pretraining.dataset import EvaluationSet, PretrainingPlan, collator_for
from bertkit.pretraining.split import split_documents
from bertkit.pretraining.texts import RunText
from bertkit.pretraining.word_pieces import train_tokenizer
from bertkit.settings.schema import DataSettings, TokenizerSettings
from bertkit.signals import stopped_cleanly

TEXT = "the cat sat .\nthe dog ran .\n\nit came back .\n" * 40
WORDS = [*SPECIAL, "the", "cat", "sat", "dog", "ran", "it", "came", "back", "."]
FILES = ["corpus.json", "ids.bin", "sentences.bin", "documents.bin", "counts.bin", "tokenizer.json"]
OTHER_USER = os.name == "posix" and os.getuid() == 0


@pytest.fixture(autouse=True)
def cache(own_cache):
    return own_cache


@pytest.fixture
def corpus(tmp_path):
    path = tmp_path / "corpus.txt"
    path.write_text(TEXT)
    return path


def preparation(path):
    return Preparation(find_sources([str(path)]))


def prepared(path, **how):
    return prepare(preparation(path), build_tokenizer(WORDS, lowercase=True), **how)


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    path.write_bytes(bytes(byte ^ 255 for byte in path.read_bytes()))


def flip_one_digit(path):
    """The least damage that leaves JSON what it is."""
    text = path.read_bytes()
    place = text.index(b"1")
    path.write_bytes(text[:place] + b"2" + text[place + 1 :])


DAMAGES = [Path.unlink, cut, flip]


@pytest.mark.parametrize("damage", DAMAGES, ids=["removed", "cut", "other bytes"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_entry_of_the_cache_is_made_anew_once(corpus, capsys, name, damage):
    folder = prepared(corpus).folder
    whole = bytes_of(folder)
    damage(folder / name)
    assert prepared(corpus).folder == folder
    assert bytes_of(folder) == whole
    said = capsys.readouterr().err
    assert said.count("warning:") == 1
    assert f"{folder / name}" in said
    prepared(corpus)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", DAMAGES, ids=["removed", "cut", "other bytes"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_folder_of_one_s_own_is_refused_and_left_as_it_is(corpus, tmp_path, name, damage):
    folder = prepared(corpus, out=tmp_path / "mine").folder
    damage(folder / name)
    left = bytes_of(folder)
    with pytest.raises(BertkitError, match=rf"mine/{name} .*prepare the corpus anew"):
        prepared(corpus, out=tmp_path / "mine")
    with pytest.raises(BertkitError, match="prepare the corpus anew"):
        find_sources([str(folder)]) if name == "corpus.json" and damage is Path.unlink else merged([folder])
    assert bytes_of(folder) == left


def test_a_digit_of_the_description_is_seen(corpus, tmp_path):
    folder = prepared(corpus, out=tmp_path / "mine").folder
    flip_one_digit(folder / "corpus.json")
    with pytest.raises(BertkitError, match=r"corpus\.json is damaged \(its content is not what was written\)"):
        open_store(folder)


def test_a_bit_in_the_middle_is_seen_by_verifying_wholly(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bertkit.corpus.checksums._END_BYTES", 8)
    for out in (tmp_path / "mine", None):
        folder = prepared(corpus, out=out).folder
        content = bytearray((folder / "ids.bin").read_bytes())
        content[len(content) // 2] ^= 1
        (folder / "ids.bin").write_bytes(content)
        assert open_store(folder).info.documents == 41
        with pytest.raises(BertkitError, match=r"ids\.bin is damaged \(its content is not what was written\)"):
            open_verified(folder)
    # The last one is in the cache.
    open_verified(prepared(corpus, verify=True).folder)
    assert "is done now" in capsys.readouterr().err


def without_checksums(folder):
    """As earlier versions wrote it."""
    info = json.loads((folder / "corpus.json").read_text())
    del info["files"], info["checksum"]
    (folder / "corpus.json").write_text(json.dumps(info))


def test_a_store_of_before_the_checksums_opens(corpus, capsys):
    first = prepared(corpus)
    without_checksums(first.folder)
    assert prepared(corpus).info.tokens == first.info.tokens == open_verified(first.folder).info.tokens
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "wrong",
    [
        {"sentences": "3"}, {"tokens": -1}, {"documents": True}, {"vocab_size": None}, {"sources": "a"}, {"empty_files": 1},
        {"fingerprint": 1}, {"repeated": {"lines": "3"}}, {"repeated": []}, {"files": [1]}, {"files": {"ids.bin": {}}},
        {"files": {"ids.bin": {"bytes": "3", "ends": "", "whole": ""}}},
    ],
    ids=str,
)  # fmt: skip
def test_a_description_of_other_types_is_one_line_and_an_entry_of_the_cache_made_anew(corpus, tmp_path, capsys, wrong):
    for out in (tmp_path / "mine", None):
        folder = prepared(corpus, out=out).folder
        whole = bytes_of(folder)
        without_checksums(folder)
        info = json.loads((folder / "corpus.json").read_text())
        (folder / "corpus.json").write_text(json.dumps(info | wrong))
        with pytest.raises(
            BertkitError, match=r"corpus\.json does not describe a prepared corpus: prepare the corpus anew"
        ):
            open_store(folder)
    capsys.readouterr()
    prepared(corpus)
    assert "is done now" in capsys.readouterr().err
    assert bytes_of(folder) == whole


def damaged_store(folder, name, change, vocab_size=100):
    """A store without checksums whose contents are wrong."""
    store = write_store(folder, random_documents(40), vocab_size)
    content = np.fromfile(folder / name, dtype="<u2" if name == "ids.bin" else "<i8")
    change(content)
    content.tofile(folder / name)
    without_checksums(folder)
    return open_store(store.folder)


def swap(starts):
    starts[[5, 6]] = starts[[6, 5]]


def repeat(starts):
    starts[7] = starts[8]


def start_late(starts):
    starts[0] = 1


def go_beyond(starts):
    starts[-1] += 1


@pytest.mark.parametrize("change", [swap, repeat, start_late, go_beyond])
@pytest.mark.parametrize("name", ["sentences.bin", "documents.bin"])
def test_starts_that_do_not_rise_are_refused(tmp_path, monkeypatch, name, change):
    store = damaged_store(tmp_path / "s", name, change)
    for at_once in (2**22, 5, 6):  # also where the fault lies between two blocks
        monkeypatch.setattr("bertkit.corpus.store._CHECKED_AT_ONCE", at_once)
        with pytest.raises(BertkitError, match=rf"{name} is damaged \(its starts do not rise to the end\)"):
            check_starts(store)
    with pytest.raises(BertkitError, match="do not rise"):
        open_verified(store.folder)


def test_ids_beyond_the_vocabulary_never_reach_a_batch(tmp_path):
    def beyond(ids):
        ids[::40] = 100

    store = damaged_store(tmp_path / "s", "ids.bin", beyond)
    data = DataSettings(max_seq_length=16)
    collate, texts = collator_for(toy_tokenizer(), data), [RunText(store, split_documents(store, 0, 1)[0])]
    plan = PretrainingPlan(texts, data, collate, 8, 40, 1, lambda _: 8)
    evaluation = EvaluationSet(texts, data, collate, 16, 1)
    with pytest.raises(BertkitError, match=r"ids\.bin is damaged \(it holds ids beyond the 100 of the vocabulary\)"):
        plan.fetch([reference for step in range(40) for reference in plan.examples(step)])
    with pytest.raises(BertkitError, match="beyond the 100"):
        evaluation.fetch(range(len(evaluation)))
    with pytest.raises(BertkitError, match="beyond the 100"):
        open_verified(store.folder)


def replace(path):
    other = path.with_name("other")
    other.write_text(path.read_text())
    shutil.copystat(path, other)
    os.replace(other, path)


def rewrite_with_the_old_time(path):
    about = path.stat()
    path.write_text(TEXT.replace("cat", "dog"))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def _prepare(one):
    prepare(one, build_tokenizer(WORDS, lowercase=True))


def _learn(one):
    train_tokenizer(one, TokenizerSettings(vocab_size=None))


CHANGES = {
    "appended to": lambda path: path.write_text(TEXT + "more ."),
    "written anew with the old time": rewrite_with_the_old_time,
    "touched": lambda path: os.utime(path, ns=(0, 0)),
    "another file of the same content": replace,
    "removed": Path.unlink,
    "no text any more": lambda path: path.write_bytes(b"\0" * 2**21),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("step", [_prepare, _learn], ids=["preparing", "learning"])
def test_what_was_read_is_what_was_hashed(corpus, cache, monkeypatch, change, step):
    one = preparation(corpus)
    read = Preparation.paragraphs

    left = [change]

    def changing(self, report):
        yield from read(self, report)
        if left:
            left.pop()(corpus)

    monkeypatch.setattr(Preparation, "paragraphs", changing)
    with pytest.raises(BertkitError, match=r"corpus\.txt changed while it was read"):
        step(one)
    assert [path.name for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
    monkeypatch.undo()


@pytest.mark.parametrize("damage", DAMAGES, ids=["removed", "cut", "other bytes"])
@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.txt", "tokenizer_config.json"])
def test_word_pieces_that_are_kept_are_learned_anew_where_damaged(corpus, cache, capsys, name, damage):
    settings = TokenizerSettings(vocab_size=None)
    learned = train_tokenizer(preparation(corpus), settings)
    (folder,) = (path for path in (cache / "tokenizers").iterdir() if path.is_dir())
    whole = bytes_of(folder)
    damage(folder / name)
    capsys.readouterr()
    again = train_tokenizer(preparation(corpus), settings)
    assert again.get_vocab() == learned.get_vocab()
    assert bytes_of(folder) == whole
    assert capsys.readouterr().err.count("warning:") == 1
    train_tokenizer(preparation(corpus), settings)
    assert capsys.readouterr().err == ""


def test_merged_parts_are_healed_too(corpus, tmp_path):
    parts = [
        prepare(
            Preparation(find_sources([str(corpus)]), shard=(part, 2)),
            build_tokenizer(WORDS, lowercase=True),
            out=tmp_path / f"part-{part}",
        ).folder
        for part in range(2)
    ]
    folder = merged(parts).folder
    whole = bytes_of(folder)
    flip(folder / "sentences.bin")
    assert bytes_of(merged(parts).folder) == whole
    open_verified(folder)


def test_checksums_that_are_damaged_are_no_way_in(tmp_path, cache):
    def make(folder):
        (folder / "a").write_text("a")
        write_checksums(folder)

    from bertkit.corpus.checksums import check_against_checksums

    folder = cache / "kind" / "one"
    opened(folder, check_against_checksums, make)
    for content in ("", "[]", '{"a": 1}', '{"a": {"bytes": 1}}', '{"b": {"bytes": 1, "ends": "", "whole": ""}}'):
        (folder / "checksums.json").write_text(content)
        with pytest.raises(BertkitError, match="is damaged"):
            check_against_checksums(folder)
    opened(folder, check_against_checksums, make)
    assert checksums(folder, but="checksums.json").keys() == {"a"}


# Who is left behind, and who is not there to write.


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGINT"])
def test_a_signal_leaves_nothing_half_made(corpus, cache, monkeypatch, name):
    number = getattr(signal, name)

    def stopped(*_arguments, **_described):
        assert list(cache.glob("corpora/.tmp-*"))
        signal.raise_signal(number)

    monkeypatch.setattr(module, "write_store", stopped)
    with pytest.raises((Interrupted, KeyboardInterrupt)) as ending:
        prepared(corpus)
    assert getattr(ending.value, "exit_code", 130) == 128 + number
    assert not list(cache.glob("corpora/.tmp-*"))
    monkeypatch.undo()
    assert signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler)


def test_a_signal_that_has_a_handler_or_is_ignored_keeps_it():
    heard = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with stopped_cleanly():
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
        assert heard == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


KILLED = """
import os, pathlib, sys
sys.path[:0] = {path!r}
from bertkit.corpus import cache
def make(folder):
    (folder / "half").write_text("half")
    {ending}
cache.opened(cache.cache_folder() / "corpora" / {name!r}, lambda folder: None, make)
"""


@contextmanager
def python(code, **how):
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stdin=subprocess.PIPE, **how) as one:
        yield one


def test_what_the_dead_left_is_removed_and_what_the_living_work_on_is_not(corpus, cache):
    working = "print('at work', flush=True); sys.stdin.read()"
    with python(KILLED.format(path=sys.path, ending=working, name="living")) as living:
        assert living.stdout.readline() == b"at work\n"
        with python(KILLED.format(path=sys.path, ending="os._exit(9)", name="dead")) as dead:
            assert dead.wait() == 9
        assert len(list(cache.glob("corpora/.tmp-*"))) == 2
        prepared(corpus)
        (left,) = cache.glob("corpora/.tmp-*")
        assert left.name.startswith(".tmp-living-")
        living.communicate(b"")
    assert living.returncode == 0
    assert (cache / "corpora" / "living" / "half").is_file()


def test_beside_a_folder_of_one_s_own_only_its_own_leftovers_go(corpus, tmp_path):
    for name in (".tmp-mine-0a1b", ".tmp-mine-too-0a1b", ".tmp-notes"):
        (tmp_path / name).mkdir()
    prepared(corpus, out=tmp_path / "mine")
    assert {path.name for path in tmp_path.glob(".tmp-*")} == {".tmp-mine-too-0a1b", ".tmp-notes"}


def test_a_dead_copy_of_standard_input_goes_and_a_living_one_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = "import sys, os; sys.path[:0] = {!r}; from bertkit.corpus import cache; print(cache.new_spool()); {}"
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with python(code.format(sys.path, "sys.stdout.flush(); sys.stdin.read()"), env=environment) as living:
        living_copy = Path(living.stdout.readline().decode().strip())
        with python(code.format(sys.path, "sys.stdout.flush(); os._exit(9)"), env=environment) as dead:
            dead_copy = Path(dead.stdout.readline().decode().strip())
        assert dead.returncode == 9
        assert dead_copy.is_dir()
        assert new_spool().is_dir()
        assert not dead_copy.exists()
        assert living_copy.is_dir()
        living.communicate(b"")
    assert not living_copy.exists()


@pytest.mark.skipif(not OTHER_USER, reason="needs root to become another user")
@pytest.mark.parametrize("there", [True, False], ids=["what is needed", "nothing"])
def test_a_cache_of_another_user_is_enough_where_it_holds_what_is_needed(corpus, cache, tmp_path, there):
    if there:
        prepared(corpus)
    cache.mkdir(exist_ok=True)
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        for folder in (tmp_path, *tmp_path.parents[:-1]):
            os.chmod(folder, folder.stat().st_mode | 0o055)
        os.setgid(65534)
        os.setuid(65534)
        try:
            said = str(prepared(corpus).info.tokens)
        except BertkitError as error:
            said = str(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    said = os.read(reader, 10_000).decode()
    assert said == str(TEXT.count(" ") + TEXT.count(".")) if there else "permission denied" in said


def test_a_cache_without_locks_is_named(corpus, monkeypatch):
    import filelock

    def has_none(*_arguments, **_options):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "acquire", has_none)
    with pytest.raises(BertkitError, match="has no locks: name another folder with BERTKIT_CACHE or --out"):
        prepared(corpus)


def test_a_prepared_folder_is_no_text(corpus, tmp_path):
    folder = prepared(corpus, out=tmp_path / "mine").folder
    with pytest.raises(BertkitError, match="mine is a corpus that is prepared already"):
        find_sources([str(corpus), str(folder)])
