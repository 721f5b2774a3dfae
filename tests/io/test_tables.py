"""Rows out of odd tables, against what was put in and by other libraries' writers."""

import bz2
import csv
import gzip
import json
import lzma
import re
from pathlib import Path

import pytest
import zstandard

from bertkit.errors import BertkitError
from bertkit.io.tables import form, read_rows

COMPRESS = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}
COMPRESS[".zst"] = zstandard.ZstdCompressor().compress
ROWS = [
    {"text": "one\ntwo, three", "label": "0"},
    {"text": 'she said "no"', "label": "1"},
    {"text": "a\u2028b ünï 字", "label": ""},
    {"text": "x" * 200_000, "label": "2"},
]


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows_of(path):
    return [row for _, row in read_rows(path)]


@pytest.mark.parametrize("compression", COMPRESS)
def test_what_a_csv_writer_wrote_is_read_back(tmp_path, compression):
    plain = tmp_path / "plain.csv"
    with plain.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"])
        writer.writeheader()
        writer.writerows(ROWS)
    path = write(tmp_path, f"a.CSV{compression}", COMPRESS[compression](plain.read_bytes()))
    assert rows_of(path) == ROWS
    # The first row takes the lines 2 and 3.
    assert [place for place, _ in read_rows(path)] == [f"{path}:{line}" for line in (2, 4, 5, 6)]


@pytest.mark.parametrize("compression", COMPRESS)
def test_json_lines_are_read_back(tmp_path, compression):
    lines = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
    path = write(tmp_path, f"a.jsonl{compression}", COMPRESS[compression](b"\xef\xbb\xbf" + lines.encode()))
    assert rows_of(path) == ROWS
    assert [place for place, _ in read_rows(path)] == [f"{path}:{line}" for line in (1, 3, 5, 7)]


def test_files_with_a_byte_order_mark_may_be_joined(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(('{"text": "x"}\n'.encode("utf-8-sig") * 2) + "\n".encode("utf-8-sig"))
    assert rows_of(path) == [{"text": "x"}] * 2


@pytest.mark.parametrize("form", ["%s\n%s\n%s\n", "[%s,\n%s,\n%s]"])
def test_json_keeps_pairs_of_surrogates_and_says_that_lone_ones_are_replaced(tmp_path, capsys, form):
    lines = (r'{"text": "\ud83d\ude00", "n": 1}', r'{"text": "\ud83d."}', r'{"words": ["a", "\udc00\ud83d"]}')
    path = write(tmp_path, "a.jsonl", form % lines)
    assert rows_of(path) == [{"text": "😀", "n": 1}, {"text": "\ufffd."}, {"words": ["a", "\ufffd\ufffd"]}]
    said = " ".join(capsys.readouterr().err.split())
    assert "half characters" in said
    assert said.endswith("a.jsonl:2")
    assert ": 3, first at" in said
    assert rows_of(write(tmp_path, "b.jsonl", lines[0])) == [{"text": "😀", "n": 1}]
    assert capsys.readouterr().err == ""


def test_tsv_has_no_quoting(tmp_path):
    path = write(tmp_path, "a.tsv", '\ufefftext\tlabel\r\n"quoted" at the start\t1\r\n"never closed\t0\r\n')
    assert rows_of(path) == [{"text": '"quoted" at the start', "label": "1"}, {"text": '"never closed', "label": "0"}]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_empty_tables_have_no_rows(tmp_path, name):
    path = write(tmp_path, name, "")
    assert rows_of(path) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": "x"}\n{"text": "y"}\n{"text": \n', r"a\.jsonl:3 is not JSON: Expecting value"),
        ("a.jsonl", '{"text": "x"}\n[1]\n', r"a\.jsonl:2 is no JSON object"),
        ("a.jsonl", '{"n": ' + "[" * 100_000 + "\n", r"a\.jsonl:1 is not JSON"),
        ("a.jsonl", '{"n": ' + "1" * 5000 + "}\n", r"a\.jsonl:1 is not JSON"),
        ("a.csv", "text,n\nfine,1\nonly one\n", r"a\.csv:3 has 1 field, the first line has 2"),
        ("a.csv", 'text,n\n"two\nlines",1\none,too,many\n', r"a\.csv:4 has 3 fields, the first line has 2"),
        ("a.csv", 'text\nfine\n"never closed\nand on\n', r"a\.csv:3 has quotes that do not match"),
        ("a.tsv", "text\tn\nx\t1\nx\n", r"a\.tsv:3 has 1 field, the first line has 2"),
        (
            "a.csv",
            b"text,n\nfine,1\nK\xe4se \x93,2\n",
            r"a\.csv:3 is not UTF-8: convert the file \(iconv -f cp1252 -t utf-8 is a guess",
        ),
        (
            "a.csv",
            b"text,n\nK\xe4se \x81,2\n",
            r"a\.csv:2 is not UTF-8: convert the file \(iconv -f ENCODING -t utf-8, with the enc",
        ),
        ("a.csv", "text,n\n".encode("utf-16"), r"a\.csv:1 is not UTF-8: convert the file \(iconv -f utf-16 "),
        ("a.csv", "text,n\nx,1\n".encode("utf-16-le"), r"a\.csv:1 holds a NUL byte: .*\(iconv -f utf-16le "),
        ("a.tsv", "text\tn\nውሻ\t1\n".encode("utf-16-le"), r"a\.tsv:2 is not UTF-8: .*\(iconv -f utf-16le "),
        ("a.csv", "text,n\nx,1\ntext,n\n", r"a\.csv:3 repeats the header"),
        ("a.csv", "\ufefftext,n\nx,1\n\ufefftext,n\n", r"a\.csv:3 repeats the header"),
        ("a.csv", "text,text\nx,1\n", r"a\.csv has two columns 'text'"),
        ("a.csv", "text,n\nwell, no,1\n", r"a\.csv:2 has 3 fields, .* a value with a ',' needs quotes"),
        ("a.csv", '\n\n"text,n\nfine,1\n', r"a\.csv:3 has quotes that do not match"),
        ("a.csv", "\nte\0xt,n\nfine,1\n", r"a\.csv:2 holds a NUL byte"),
        ("a.csv", "sep=;\ntext;n\nx;1\nx\n", r"a\.csv:4 has 1 field, the first line has 2"),
        ("a.json", '[{"text": "x"},\n{"text": "y"}', r"a\.json:2 is not followed by ',' or '\]'"),
        ("a.json", '[\n{"text": "x"},\n3]', r"a\.json:3 is no JSON object: the array must hold objects"),
        ("a.json", '[\n{"text": "x"},\n]', r"a\.json:3 is not JSON"),
        (
            "a.json",
            '[{"n": 1}, {"n": 2}]\n\n[{"n": 3}]\n',
            r"a\.json:3 has something behind the array that begins in line 1",
        ),
        (
            "a.jsonl",
            '\n[\n{"n": 1}]\n{"n": 2}\ngarbage\n',
            r"a\.jsonl:4 has something behind the array .* in line 2, where",
        ),
        (
            "a.json",
            '[\n]\n[{"n": 1}]',
            r"a\.json:3 has something behind the array .*: put all objects into one array, or",
        ),
        ("a.json", '[{"n": 1}]]', r"a\.json:1 has something behind the array"),
        ("a.json", '{\n"text": "x"}', r"a\.json:1 is not JSON: .*each line must be one object"),
        ("a.jsonl", '{"text": "x", "text": "y"}', r"a\.jsonl:1 is not JSON: 'text' stands twice in one object"),
        ("a.parquet", "PAR1 nothing", r"a\.parquet cannot be read as parquet"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "x"}\n' * 999, mtime=0)[:-9], r"a\.jsonl\.gz is damaged"),
    ],
)
def test_what_cannot_be_read_is_named_by_line(tmp_path, name, content, message):
    with pytest.raises(BertkitError, match=message) as caught:
        rows_of(write(tmp_path, name, content))
    assert "\n" not in str(caught.value)


def test_forms_are_told_by_name():
    names = {"a.txt.xz": "txt", "a": "txt", "wiki_00.gz": "txt", "A.MD": "txt", "B.CSV.GZ": "csv", "c.tsv": "tsv",
             "a.b.jsonl.zst": "jsonl", "a.parquet": "parquet"}  # fmt: skip
    assert {name: form(Path(name)) for name in names} == names
    with pytest.raises(
        BertkitError, match=r"a\.pdf: cannot read '\.pdf' files; give one of \.txt, \.text, \.md, \.jsonl"
    ):
        form(Path("a.pdf"))
    with pytest.raises(BertkitError, match=r"a\.XLSX: cannot read '\.XLSX' files; save the sheet as \.csv"):
        form(Path("a.XLSX"))


SPOKEN = [{"text": 'one; two, "three"', "label": "a"}, {"text": "four | five", "label": "b"}] * 3


@pytest.mark.parametrize(("separator", "said"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("excel", [False, True])
def test_separators_that_the_suffix_does_not_say_are_told_and_said(tmp_path, capsys, separator, said, quoting, excel):
    path = tmp_path / "a.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        file.write(f"sep={separator}\r\n" * excel)
        writer = csv.DictWriter(file, ["text", "label"], delimiter=separator, quoting=quoting)
        writer.writeheader()
        writer.writerows(SPOKEN)
    assert rows_of(path) == SPOKEN
    assert next(read_rows(path))[0] == f"{path}:{2 + excel}"
    assert capsys.readouterr().err.replace("\n", " ").count(f"separated by {said}") == 1


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("text\na;b\nc\n", [{"text": "a;b"}, {"text": "c"}]),  # one column, as lines to predict
        ("text,n\na;b,1\nc;d,2\n", [{"text": "a;b", "n": "1"}, {"text": "c;d", "n": "2"}]),
        ("text, n\na, 1\n", [{"text": "a", "n": "1"}]),
        ('text, n\n"a, b", 1\n', [{"text": "a, b", "n": "1"}]),
        ('text, n\n1, "a, b"\n', [{"text": "1", "n": "a, b"}]),
        (" text,n\n a,1\n", [{" text": " a", "n": "1"}]),
    ],
)
def test_commas_stay_where_they_fit(tmp_path, content, rows):
    assert rows_of(write(tmp_path, "a.csv", content)) == rows


@pytest.mark.parametrize("blank", ["\n", "\r\n", "  \n", "\n\n\n"])
@pytest.mark.parametrize("excel", ["", "sep=;\n", "sep=;\n\n"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "text,n\na,1\n"),
        ("a.tsv", "text\tn\na\t1\n"),
        ("a.tsv", '"text"\t"n"\n"a"\t"1"\n'),
    ],
)
def test_the_header_is_the_first_line_that_is_not_blank(tmp_path, blank, excel, name, content):
    content = blank + excel + (re.sub("[,\t]", ";", content) if excel else content)
    path = write(tmp_path, name, content)
    line = 1 + content[: content.rindex("a")].count("\n")
    assert list(read_rows(path)) == [(f"{path}:{line}", {"text": "a", "n": "1"})]
    with pytest.raises(BertkitError, match=rf"{name}:{line + 1} has 1 field, the first line has 2"):
        rows_of(write(tmp_path, name, content + "b\n"))


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_tsv_that_a_csv_writer_wrote_is_read_back(tmp_path, quoting):
    path = tmp_path / "a.tsv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["text", "label"], delimiter="\t", quoting=quoting)
        writer.writeheader()
        writer.writerows(ROWS)
    assert rows_of(path) == ROWS


def test_an_utterance_in_quotes_keeps_them_in_tsv(tmp_path):
    path = write(tmp_path, "a.tsv", 'text\tn\n"Well."\t1\nno quotes\t2\n')
    assert rows_of(path) == [{"text": '"Well."', "n": "1"}, {"text": "no quotes", "n": "2"}]


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.json.bz2"])
def test_arrays_of_json_are_read_back(tmp_path, indent, name):
    content = b"\n" + json.dumps(ROWS, indent=indent).encode()
    path = write(tmp_path, name, bz2.compress(content) if name.endswith("bz2") else content)
    assert rows_of(path) == ROWS
    lines = [2 + (indent is not None) * (1 + 4 * number) for number in range(4)]
    assert [place for place, _ in read_rows(path)] == [f"{path}:{line}" for line in lines]
    assert rows_of(write(tmp_path, "empty.json", " [ ] ")) == []
    assert rows_of(write(tmp_path, "ends.json", '[{"n": 1}] \r\n\t\n\n')) == [{"n": 1}]


def test_rows_that_cannot_be_read_are_left_out_and_told_where_that_is_wanted(tmp_path):
    unusable: list[str] = []
    path = write(tmp_path, "a.csv", "text,n\nx,1\ntext,n\ny\nz,2\n")
    assert [row["text"] for _, row in read_rows(path, unusable)] == ["x", "z"]
    assert [one.split(" ")[0] for one in unusable] == [f"{path}:3", f"{path}:4"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", 'text,n\nx,1\n"' + "y" * 2_000, r"a\.csv:3 has over 1,000 characters"),
        ("a.csv", 'text,n\nx,1\n"' + "y\n" * 2_000, r"a\.csv:3 begins a value of over 1,000 characters"),
        ("a.jsonl", '{"text": "x"}\n{"text": "' + "y" * 2_000 + '"}', r"a\.jsonl:2 has over 1,000 characters"),
        ("a.json", "[\n" + '{"text": "x"},\n' * 200 + "]", r"a\.json is one array of over 1,000 characters"),
    ],
)
def test_memory_is_bounded(tmp_path, monkeypatch, name, content, message):
    for module in ("delimited", "json_rows"):
        monkeypatch.setattr(f"bertkit.io.{module}.LONGEST_VALUE_CHARS", 1_000)
    with pytest.raises(BertkitError, match=message):
        rows_of(write(tmp_path, name, content))


def test_a_tsv_of_a_spreadsheet_loses_the_quotes_that_it_has_added(tmp_path, capsys):
    """Excel puts values with a comma in quotes, and such with quotes, which it doubles."""
    path = tmp_path / "a.tsv"
    path.write_text('text\tlabel\n"he said ""no"""\t"bad, really"\nfine\tgood\n')
    assert [row for _, row in read_rows(path)] == [
        {"text": 'he said "no"', "label": "bad, really"},
        {"text": "fine", "label": "good"},
    ]
    assert "with values in quotes" in capsys.readouterr().err
    path.write_text('text\tlabel\n"so, what?"\t"bad, really"\nfine\tgood\n')  # which a person may have written, too
    assert next(read_rows(path))[1] == {"text": '"so, what?"', "label": '"bad, really"'}
    assert "with quotes that are kept: 2 values begin and end with them" in " ".join(capsys.readouterr().err.split())


def test_values_in_quotes_behind_the_beginning_of_a_tsv_are_said(tmp_path, capsys):
    path = tmp_path / "a.tsv"
    path.write_text("text\tlabel\n" + "fine\tgood\n" * 1_100 + '"he said ""no"""\tbad\n')
    assert [*read_rows(path)][-1][1]["text"] == '"he said ""no"""'
    told = " ".join(capsys.readouterr().err.split())
    assert "1 row has values in quotes with doubled quotes in them" in told
    assert f"{path}:1102" in told


def test_a_ragged_line_does_not_change_the_separator(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("id;text;label\n" + "1;a, b;x\n" * 9 + "2;c\n")
    with pytest.raises(BertkitError, match="a.csv:11 has 2 fields, the first line has 3"):
        [*read_rows(path)]
