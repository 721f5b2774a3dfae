"""Text at URLs against the same text in files, through fsspec's file systems in memory and over HTTP."""

import gzip
import io
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import fsspec
import pyarrow
import pyarrow.parquet
import pytest
from fsspec.implementations.memory import MemoryFile

from bertkit.corpus.contents import contents
from bertkit.corpus.paragraphs import read_paragraphs
from bertkit.corpus.sources import find_sources
from bertkit.errors import BertkitError
from bertkit.io.compression import plain_name
from bertkit.io.remote import RemoteFile
from bertkit.io.text import ReadReport

PARAGRAPHS = {
    "a.txt": ["one", None, "two", None],
    "b.jsonl": ["three", "four", None],
    "d.parquet": ["five", None, "six", "seven", None],
    "sub/c.txt.gz": ["eight", None],
}


def _parquet():
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"n": [1, 2], "text": ["five", "six\n\nseven"]}), file)
    return file.getvalue()


FILES = {
    "a.txt": b"one\n\ntwo\n",
    "b.jsonl": b'{"text": "three\\nfour"}\n',
    "d.parquet": _parquet(),
    "sub/c.txt.gz": gzip.compress(b"eight\n"),
    ".hidden/e.txt": b"hidden",
    "f.pdf": b"%PDF",
}


@pytest.fixture
def here(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / "here" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "here"


@pytest.fixture
def memory():
    files = fsspec.filesystem("memory")
    for name, content in FILES.items():
        files.pipe(f"/bucket/{name}", content)
    yield files
    files.store.clear()


def read(*inputs):
    return [
        list(read_paragraphs(source, "text", ReadReport())) for source in find_sources([str(one) for one in inputs])
    ]


def fingerprint(*inputs):
    return contents(find_sources([str(one) for one in inputs]), "text").fingerprint


def test_a_folder_at_a_url_is_as_one_here(here, memory):
    for url in ("memory://bucket", "memory://bucket/", f"file://{here}"):
        assert read(url) == read(here) == list(PARAGRAPHS.values()), url
        assert fingerprint(url) == fingerprint(here), url
    assert [source.name for source in find_sources(["memory://bucket/*.txt", "memory://bucket/a.txt"])] == [
        "memory:///bucket/a.txt"
    ]
    assert read("memory://bucket/**/*.gz") == [PARAGRAPHS["sub/c.txt.gz"]]


def test_what_is_hidden_at_a_url_is_counted(memory):
    find_sources(["memory://bucket"], notes := [])
    assert notes == ["memory://bucket: 4 files of text are read, 2 others are left out (hidden file, .pdf)"]
    with pytest.raises(BertkitError, match="only 1 hidden file is there"):
        find_sources(["memory://bucket/.hid*/*.txt"])
    for what_is_named in ("memory://bucket/.hidden/*.txt", "memory://bucket/.hidden/"):
        assert [source.name for source in find_sources([what_is_named])] == ["memory:///bucket/.hidden/e.txt"]
    # As for a local glob, what begins with a dot is found where the pattern begins with one.
    memory.pipe_file("/bucket/.part-0.txt", b"the cat sat.")
    assert [source.name for source in find_sources(["memory://bucket/.part-*.txt"])] == ["memory:///bucket/.part-0.txt"]


@pytest.mark.parametrize("name", PARAGRAPHS)
def test_a_file_on_a_server(here, name):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=here)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        assert read(url) == read(f"{url}?download=true") == [PARAGRAPHS[name]]
        assert fingerprint(url) == fingerprint(here / name)
        with pytest.raises(BertkitError, match=r"no corpus at \S+/none\.txt: nothing is there; give"):
            find_sources([f"http://127.0.0.1:{server.server_port}/none.txt"])
        assert [one.name for one in find_sources([f"http://127.0.0.1:{server.server_port}/"])]
        server.shutdown()


def test_it_is_read_a_little_at_a_time(memory, monkeypatch):
    asked = []

    def counted(file, size=-1):
        asked.append(size)
        return MemoryFile.__base__.read(file, size)

    monkeypatch.setattr(MemoryFile, "read", counted, raising=False)
    text = b"A line of text.\n" * 2**19
    memory.pipe("/bucket/large.txt", text)
    assert sum(map(len, filter(None, read("memory://bucket/large.txt")[0]))) == len(text) - 2**19
    assert fingerprint("memory://bucket/large.txt")
    assert len(asked) > 8
    assert 0 < min(asked) <= max(asked) <= 2**20


def test_what_changes_while_it_is_read_is_named(memory):
    seen = contents(find_sources(["memory://bucket/a.txt"]), "text")
    with pytest.raises(BertkitError, match=r"memory:///bucket/a\.txt changed while it was read"), seen.unchanged():
        memory.pipe("/bucket/a.txt", b"one\n\nTWO\n")


def test_what_fails_in_the_middle_is_one_line_whatever_a_library_calls_it(memory, monkeypatch):
    class LostError(Exception):
        pass

    def lost(_file, _size=-1):
        raise LostError("the connection\nwas lost")

    sources = find_sources(["memory://bucket/a.txt", "memory://bucket/sub/c.txt.gz", "memory://bucket/d.parquet"])
    assert contents(sources, "text")
    monkeypatch.setattr(MemoryFile, "read", lost, raising=False)
    for source in sources:
        with pytest.raises(BertkitError, match=r"^cannot read memory:///bucket/\S+: the connection was lost$"):
            list(read_paragraphs(source, "text", ReadReport()))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://bucket/none", "no corpus at memory://bucket/none: nothing is there; give a file"),
        ("memory://bucket/*.csv", r"no corpus at memory://bucket/\*\.csv: nothing is there"),
        ("memory://bucket/f.pdf", r"memory:///bucket/f\.pdf: cannot read '\.pdf' files"),
        ("nonsense://bucket/a", "cannot read nonsense://bucket/a: Protocol not known: nonsense; give a file"),
    ],
)
def test_what_cannot_be_read_is_one_line(memory, url, message):
    with pytest.raises(BertkitError, match=message):
        find_sources([url])


@pytest.mark.parametrize(("protocol", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("abfs", "adlfs")])
@pytest.mark.skipif(any(map(find_spec, ("s3fs", "gcsfs", "adlfs"))), reason="they are installed")
def test_a_package_that_is_missing_is_named(monkeypatch, protocol, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BertkitError, match=f"{protocol}:// needs the package {package}: pip install {package}$"):
        find_sources([f"{protocol}://bucket/a.txt"])


def test_the_suffix_of_a_compression_is_taken_off():
    file = RemoteFile("s3://bucket.of/a.jsonl.ZST")
    assert (file.suffix, plain_name(file).name) == (".ZST", "a.jsonl")
    assert plain_name(RemoteFile("https://a.b/c.csv.gz?download=true")).name == "c.csv"
    assert plain_name(Path("folder/a.csv")).name == "a.csv"
    assert RemoteFile("s3://bucket.of/a").suffix == ""
