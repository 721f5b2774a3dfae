"""Lines out of odd files, each against Python's own reading or a hand-worked answer."""

import gzip
import io
import lzma
import re

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bertkit.errors import BertkitError
from bertkit.io import text
from bertkit.io.compression import open_binary
from bertkit.io.text import ReadReport, lines_of, read_lines

COMPRESS = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.ZstdCompressor().compress}
SEPARATORS = "\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029"
TEXTS = st.text(
    st.one_of(st.sampled_from("\r\n \t\ufeffé字😀" + SEPARATORS), st.characters(exclude_categories=["Cs"])),
    max_size=200,
)


def numbered(data: bytes, report: ReadReport | None = None) -> list[tuple[int, str]]:
    return list(read_lines(io.BytesIO(data), "file", report or ReadReport()))


def joined(pieces: list[tuple[int, str]]) -> list[str]:
    """The pieces of each line put together again."""
    lines: dict[int, str] = {}
    for number, piece in pieces:
        lines[number] = lines.get(number, "") + piece
    assert list(lines) == list(range(1, len(lines) + 1))
    return list(lines.values())


def as_python_reads(data: bytes) -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", errors="replace", newline=None)
    lines = re.sub(f"[{SEPARATORS}]", " ", file.read()).split("\n")
    return lines if lines[-1] else lines[:-1]


@given(st.one_of(TEXTS.map(str.encode), st.binary(max_size=60)), st.integers(1, 40), st.integers(1, 20))
def test_lines_are_those_of_python_at_any_block_size_and_piece_size(data, block, longest):
    data = data.replace(b"\0", b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "BLOCK_BYTES", block)
        patch.setattr(text, "MAX_LINE_CHARS", longest)
        patch.setattr(text, "MAX_REPLACED_SHARE", 1.0)
        pieces = numbered(data)
    assert joined(pieces) == as_python_reads(data)
    if data.isascii():
        assert all(len(piece) <= longest for _, piece in pieces)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xef\xbb\xbfone\r\ntwo\rthree\nfour", ["one", "two", "three", "four"]),
        ("a\x0cb\u2028c\x85d\x1fe".encode(), ["a b c d e"]),
        (b"", []),
        (b"\xef\xbb\xbf", []),
        (b"\n\n", ["", ""]),
        (b"end", ["end"]),
        (b"end\n", ["end"]),
        (b"\r\r\n\n", ["", "", ""]),
    ],
)
def test_line_ends_boms_and_separators(data, expected):
    assert [line for _, line in numbered(data)] == expected


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_very_long_line_comes_in_pieces_cut_at_spaces(end):
    line = "word " * 400_000
    pieces = numbered(line.encode() + end + b"next")
    assert joined(pieces) == [line, "next"]
    assert all(len(piece) <= text.MAX_LINE_CHARS for _, piece in pieces)
    assert all(piece.endswith(" ") for number, piece in pieces if number == 1)


def test_a_long_line_without_spaces_is_cut_between_characters():
    unbroken = "字" * 700_000
    assert joined(numbered(unbroken.encode())) == [unbroken]
    # The first block ends between \r and \n.
    assert joined(numbered(b"x" * (text.BLOCK_BYTES - 1) + b"\r\nnext")) == ["x" * (text.BLOCK_BYTES - 1), "next"]


def test_text_in_memory_is_cleaned_and_cut_as_that_of_files():
    assert list(lines_of("a\u2028b\r\nc\rd")) == ["a b", "c", "d"]
    pieces = list(lines_of("word " * 50_000))
    assert [len(piece) for piece in pieces] == [100_000, 100_000, 50_000]


def test_a_few_invalid_bytes_are_replaced_counted_and_placed():
    report = ReadReport()
    data = b"good line\r" * 500 + "literal \ufffd and bad ".encode() + b"\xff byte\n" + b"good line\n" * 500
    assert numbered(data, report)[500] == (501, "literal \ufffd and bad \ufffd byte")
    assert (report.replaced_characters, report.first_replaced_at) == (1, "file:501")


@pytest.mark.parametrize("fine_bytes", [0, 10])
def test_another_encoding_is_refused(fine_bytes):
    with pytest.raises(BertkitError, match=r"file is not UTF-8: .* first in line 2; convert it \(iconv -f cp1252"):
        numbered(b"." * fine_bytes + b"\n" + "für Käse\n".encode("latin1") * 50)


@pytest.mark.parametrize(
    ("line", "encoding", "advice"),
    [
        ("für Käse", "cp1252", r"iconv -f cp1252 -t utf-8 is a guess; .* such as cp1250, cp1251 or gb18030\)"),
        (
            "Příliš žluťoučký kůň",
            "cp1250",
            r"iconv -f ENCODING -t utf-8, with the encoding .* such as cp1250, cp1251 or gb18030\)",
        ),
        ("\u4e2d\u6587", "utf-16", r"\(iconv -f utf-16 -t utf-8\)"),
    ],
)
def test_how_another_encoding_is_converted_is_no_more_than_a_guess(line, encoding, advice):
    with pytest.raises(BertkitError, match=advice):
        numbered(line.encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-16le", "utf-16be", "utf-32le", "utf-32be", "utf-16", "utf-32"])
@pytest.mark.parametrize("line", ["für Käse", "кошка спит", "北京 😀", "\u3000一天一一\u3000"])
def test_the_encoding_of_wide_characters_is_told_from_where_the_nul_bytes_are(line, encoding):
    with pytest.raises(BertkitError, match=rf"file:1 holds a NUL byte: .*\(iconv -f {encoding} -t utf-8\)"):
        numbered(f"{line}\n{line}\n".encode(encoding))


def test_another_encoding_is_refused_before_the_whole_file_is_read():
    stream = io.BytesIO("für Käse\n".encode("latin1") * 500_000)
    with pytest.raises(BertkitError, match="is not UTF-8"):
        list(read_lines(stream, "file", ReadReport()))
    assert stream.tell() == text.BLOCK_BYTES


@pytest.mark.parametrize(
    ("data", "line"),
    [(b"ELF\n\x00\x01", 2), (b"a\rb\r\0c\r", 3), ("text\n".encode("utf-16"), 1), (b"\n" * 9 + b"\0", 10)],
)
def test_binary_files_are_refused_by_line(data, line):
    with pytest.raises(BertkitError, match=f"^file:{line} holds a NUL byte: this is a binary file, or text in UTF-16"):
        numbered(data)


def read(path):
    with open_binary(path) as stream:
        return stream.read()


@pytest.mark.parametrize("suffix", COMPRESS)
def test_damaged_archives_are_named_wherever_they_are_cut(tmp_path, suffix):
    plain = bytes(range(256)) * 100
    packed = COMPRESS[suffix](plain)
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(packed)
    assert read(path) == plain
    for size in (3, len(packed) // 2, len(packed) - 1):
        path.write_bytes(packed[:size])
        with pytest.raises(BertkitError, match=r"a\.txt.* is damaged"):
            read(path)
    path.write_bytes(b"this is no archive at all")
    with pytest.raises(BertkitError, match=r"a\.txt.* is damaged"):
        read(path)


@pytest.mark.parametrize("suffix", COMPRESS)
def test_archives_that_were_put_together_read_as_one(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(COMPRESS[suffix](b"one\n") + COMPRESS[suffix](b"two\n"))
    assert read(path) == b"one\ntwo\n"


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(BertkitError, match="cannot read .*none: No such file"):
        read(tmp_path / "none")


def test_whoever_keeps_no_report_is_told_what_was_replaced(capsys):
    text = b"abc\n" * 500 + b"d\xe4f\n"
    assert len(list(read_lines(io.BytesIO(text), "file"))) == 501
    assert "1 byte was not UTF-8 and was replaced, first at file:501" in capsys.readouterr().err
    list(read_lines(io.BytesIO(text), "file", ReadReport()))
    assert capsys.readouterr().err == ""
