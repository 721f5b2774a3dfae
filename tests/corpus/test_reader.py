"""Odd inputs, each against what Python's own reading or the rule by hand gives."""

import gzip
import io
import json
import lzma

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bertkit.corpus.reader import Source, find_sources, fingerprint, read_paragraphs
from bertkit.errors import BertkitError
from bertkit.io import text
from bertkit.io.tables import columns, form, read_rows
from bertkit.io.text import ReadReport, open_binary, read_lines

COMPRESS = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.ZstdCompressor().compress}


def lines_of(data: bytes, report: ReadReport | None = None) -> list[str]:
    return [line for _, line in read_lines(io.BytesIO(data), "file", report or ReadReport())]


def paragraphs(path, column="text", report=None):
    return list(read_paragraphs(find_sources([str(path)])[0], column, report or ReadReport()))


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@given(st.text(st.characters(blacklist_characters="\0\ufffd\ufeff\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029",
                             blacklist_categories=["Cs"])), st.integers(1, 40))  # fmt: skip
def test_lines_are_those_of_python_whatever_the_block_size(content, block):
    expected = io.TextIOWrapper(io.BytesIO(content.encode()), encoding="utf-8", newline=None).read().split("\n")
    if expected[-1] == "":
        expected.pop()
    before = text.BLOCK_BYTES
    text.BLOCK_BYTES = block
    try:
        assert lines_of(content.encode()) == expected
    finally:
        text.BLOCK_BYTES = before


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xef\xbb\xbfone\r\ntwo\rthree\nfour", ["one", "two", "three", "four"]),
        ("a\x0cb\u2028c\x85d".encode(), ["a b c d"]),
        (b"", []),
        (b"\n\n", ["", ""]),
    ],
)
def test_line_ends_boms_and_separators(data, expected):
    assert lines_of(data) == expected


def test_a_very_long_line_comes_in_pieces_that_lose_nothing():
    line = "word " * 400_000
    pieces = list(read_lines(io.BytesIO(line.encode() + b"\nnext"), "file", ReadReport()))
    assert "".join(piece for number, piece in pieces if number == 1) == line
    assert max(len(piece) for _, piece in pieces) <= text.MAX_LINE_CHARS
    assert pieces[-1] == (2, "next")
    unbroken = "字" * 700_000
    assert "".join(lines_of(unbroken.encode())) == unbroken


def test_a_few_invalid_bytes_are_replaced_counted_and_placed():
    report = ReadReport()
    data = b"good line\n" * 500 + b"bad \xff byte\n" + b"good line\n" * 500
    assert lines_of(data, report)[500] == "bad \ufffd byte"
    assert (report.replaced_characters, report.first_replaced_at) == (1, "file:501")


def test_another_encoding_is_refused():
    with pytest.raises(BertkitError, match=r"file is not UTF-8: .* first in line 1; convert it"):
        lines_of("für Käse\n".encode("latin1") * 50)


@pytest.mark.parametrize("data", [b"ELF\n\x00\x01", "text\n".encode("utf-16")])
def test_binary_files_are_refused_by_line(data):
    with pytest.raises(BertkitError, match=r"file:\d holds a NUL byte"):
        lines_of(data)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_text_reads_as_plain_and_damage_is_named(tmp_path, suffix):
    plain = ("a line of text\n" * 5000 + "\nend").encode()
    whole = write(tmp_path, "a.txt" + suffix, COMPRESS[suffix](plain))
    assert paragraphs(whole) == ["a line of text"] * 5000 + [None, "end", None]
    cut = write(tmp_path, "b.txt" + suffix, COMPRESS[suffix](plain)[:-20])
    with pytest.raises(BertkitError, match=r"b\.txt.* is damaged"):
        paragraphs(cut)
    noise = write(tmp_path, "c.txt" + suffix, b"this is no archive at all")
    with pytest.raises(BertkitError, match="is damaged"), open_binary(noise) as stream:
        stream.read()


def test_a_blank_line_of_any_white_space_ends_a_document(tmp_path):
    path = write(tmp_path, "a.txt", "\n\n one \ntwo\n \u3000\t\nthree\n\x0c\n\n")
    assert paragraphs(path) == ["one", "two", None, "three", None]


def test_empty_files_are_counted(tmp_path):
    report = ReadReport()
    assert paragraphs(write(tmp_path, "a.txt", " \n\n"), report=report) == []
    assert report.empty_files == [str(tmp_path / "a.txt")]


def test_every_table_gives_the_same_documents(tmp_path):
    texts = ["one\ntwo, three", 'she said "no"', "", "four"]
    jsonl = write(tmp_path, "a.jsonl", "\n".join(json.dumps({"n": 1, "text": x}) for x in texts))
    quoted = "\n".join('"' + x.replace('"', '""') + '",1' for x in texts)
    csv = write(tmp_path, "a.csv", "\ufefftext,n\r\n" + quoted)
    parquet = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": [*texts, None]}), parquet)
    expected = ["one", "two, three", None, 'she said "no"', None, "four", None]
    for path in (jsonl, csv, parquet):
        assert paragraphs(path) == expected, path
    zipped = write(tmp_path, "b.jsonl.gz", gzip.compress(jsonl.read_bytes()))
    assert paragraphs(zipped) == expected


def test_tsv_has_no_quoting(tmp_path):
    path = write(tmp_path, "a.tsv", 'text\tlabel\n"quoted" at the start\t1\n')
    assert [row for _, row in read_rows(path)] == [{"text": '"quoted" at the start', "label": "1"}]
    assert columns(path) == ["text", "label"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "x"}\n{"text": "y"}\n{"text": \n', r"a\.jsonl:3 is not JSON"),
        ("a.jsonl", "[1]\n", r"a\.jsonl:1 is no JSON object"),
        ("a.jsonl", '{"text": 3}\n', r"a\.jsonl:1: 'text' is not text but int"),
        ("a.csv", "text,n\nonly one\n", r"a\.csv:2 has 1 fields, the first line has 2"),
        ("a.csv", "body,n\nx,1\n", r"no column 'text': use --column with one of body, n"),
        ("a.parquet", "PAR1 nothing", r"a\.parquet cannot be read as parquet"),
    ],
)
def test_bad_tables_are_named_by_line(tmp_path, name, content, message):
    with pytest.raises(BertkitError, match=message):
        paragraphs(write(tmp_path, name, content))


def test_sources_are_files_folders_and_globs_each_file_once(tmp_path):
    for name in ("b.txt", "a.jsonl.gz", "sub/c.md", ".hidden.txt", "notes.pdf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path, name, "x")
    names = [source.path.name for source in find_sources([str(tmp_path)])]
    assert names == ["a.jsonl.gz", "b.txt", "c.md"]
    twice = find_sources([str(tmp_path / "b.txt"), str(tmp_path / "*.txt")])
    assert [source.path.name for source in twice] == ["b.txt"]
    assert [s.path.name for s in find_sources([str(tmp_path / "**" / "*.md")])] == ["c.md"]


def test_hub_names_are_told_from_missing_files(tmp_path):
    assert find_sources(["org/name:config"]) == [Source("org/name:config", hub=("org/name", "config"))]
    for missing in ("nope.txt", str(tmp_path / "no" / "such" / "folder"), "org/name.txt"):
        with pytest.raises(BertkitError, match=f"no corpus at {missing}: give a text file"):
            find_sources([missing])


def test_forms():
    from pathlib import Path

    assert [form(Path(n)) for n in ("a.txt.xz", "a", "B.CSV.GZ", "a.parquet")] == ["txt", "txt", "csv", "parquet"]
    with pytest.raises(BertkitError, match=r"cannot read '\.pdf' files"):
        form(Path("a.pdf"))


def test_stdin_can_be_read_twice(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\n\ntwo\n")))
    source = find_sources(["-"])[0]
    for _ in range(2):
        assert list(read_paragraphs(source, "text", ReadReport())) == ["one", None, "two", None]


def test_the_fingerprint_follows_the_contents_not_the_name(tmp_path):
    one, same, other = (write(tmp_path, n, c) for n, c in [("a.txt", "x"), ("b.txt", "x"), ("c.txt", "y")])
    prints = [fingerprint(find_sources([str(path)]), "text") for path in (one, same, other)]
    assert prints[0] == prints[1] != prints[2]


def test_a_saved_dataset_is_read(tmp_path):
    import datasets

    datasets.Dataset.from_dict({"text": ["one", "two"]}).save_to_disk(tmp_path / "saved")
    assert paragraphs(tmp_path / "saved") == ["one", None, "two", None]
