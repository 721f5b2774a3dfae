"""From sources to paragraphs and documents, each against the rule by hand."""

import gzip
import json
import lzma

import datasets
import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from bertkit.corpus import paragraphs
from bertkit.corpus.contents import contents
from bertkit.corpus.paragraphs import read_paragraphs
from bertkit.corpus.sources import Source, find_sources
from bertkit.errors import BertkitError
from bertkit.io.text import MAX_LINE_CHARS, ReadReport

COMPRESS = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.ZstdCompressor().compress}
HUB = Source("org/name:config", hub=("org/name", "config"))


def read(path, column="text", report=None):
    return list(read_paragraphs(find_sources([str(path)])[0], column, report or ReadReport()))


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\n\n one \ntwo\n \u3000\t\nthree\n\x0c\n\n", ["one", "two", None, "three", None]),
        ("one", ["one", None]),
        ("one\r\n\r\ntwo\r\n", ["one", None, "two", None]),
        ("one\r\rtwo", ["one", None, "two", None]),
        ("\ufeff\n\none\n\n\n\ntwo\n\u2028\n", ["one", None, "two", None]),
        ("one\n\x7f\x08\ntwo", ["one", None, "two", None]),
        ("one\n\u200f\ntwo\n \ufeff\u200b \nthree\u200d", ["one", None, "two", None, "three\u200d", None]),
        ("one\n\u202b\u202c\ntwo\n\u061c\n\u2066\u3000\u2069\nthree", ["one", None, "two", None, "three", None]),
    ],
)
def test_a_blank_line_of_any_white_space_ends_a_document(tmp_path, content, expected):
    assert read(write(tmp_path, "a.txt", content)) == expected


def test_a_gap_within_a_very_long_line_ends_no_document(tmp_path):
    path = write(tmp_path, "a.txt", "one" + " " * 30 * MAX_LINE_CHARS + "two\n\nthree")
    assert read(path) == ["one", "two", None, "three", None]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_text_reads_as_plain_and_damage_is_named(tmp_path, suffix):
    plain = ("a line of text\n" * 5000 + "\nend").encode()
    whole = write(tmp_path, "a.txt" + suffix, COMPRESS[suffix](plain))
    assert read(whole) == ["a line of text"] * 5000 + [None, "end", None]
    cut = write(tmp_path, "b.txt" + suffix, COMPRESS[suffix](plain)[:-20])
    with pytest.raises(BertkitError, match=r"b\.txt.* is damaged"):
        read(cut)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", ""),
        ("a.txt", " \n\n"),
        ("a.csv", ""),
        ("a.csv", "text\n"),
        ("a.jsonl", '{"text": null}\n{"text": " "}'),
    ],
)
def test_empty_files_are_counted(tmp_path, name, content):
    report = ReadReport()
    path = write(tmp_path, name, content)
    assert read(path, report=report) == []
    assert report.empty_files == [str(path)]


def test_every_table_gives_the_same_documents(tmp_path):
    texts = ["one\r\n\ntwo, three\rfour", 'she said "no"', "", "five\u2028six"]
    jsonl = write(tmp_path, "a.jsonl", "\n".join(json.dumps({"n": 1, "text": x}) for x in texts))
    quoted = "\n".join('"' + x.replace('"', '""') + '",1' for x in texts)
    csv = write(tmp_path, "a.csv", "\ufefftext,n\r\n" + quoted)
    parquet = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": [*texts, None]}), parquet)
    zipped = write(tmp_path, "b.jsonl.gz", gzip.compress(jsonl.read_bytes()))
    expected = ["one", "two, three", "four", None, 'she said "no"', None, "five six", None]
    for path in (jsonl, csv, parquet, zipped):
        assert read(path) == expected, path


def test_bytes_that_are_no_text_matter_in_the_column_that_is_read(tmp_path):
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["one", "two"], "image": [b"GIF", b"\x89PNG\xff"]}), path)
    assert read(path) == ["one", None, "two", None]
    with pytest.raises(BertkitError, match=r"a\.parquet:2: 'image' holds bytes that are not UTF-8: store it as text$"):
        read(path, column="image")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"text": 3}\n', r"a\.jsonl:1: 'text' is not text but int"),
        (
            "a.jsonl",
            '{"text": "x"}\n{"body": "y"}\n',
            r"a\.jsonl:2 has no column 'text': use --column with one of body",
        ),
        ("a.csv", "body,n\nx,1\n", r"a\.csv:2 has no column 'text': use --column with one of body, n"),
    ],
)
def test_a_column_that_is_missing_or_no_text_is_named(tmp_path, name, content, message):
    with pytest.raises(BertkitError, match=message):
        read(write(tmp_path, name, content))


def test_a_saved_dataset_is_read(tmp_path):
    data = datasets.Dataset.from_dict({"text": ["one", None, "two\n\nthree"], "n": [1, 2, 3]})
    data.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": data}).save_to_disk(tmp_path / "dict")
    datasets.DatasetDict({"test": data}).save_to_disk(tmp_path / "test")
    datasets.DatasetDict({"train": data, "test": data}).save_to_disk(tmp_path / "both")
    for name, said in (
        ("one", []),
        ("dict", ["the split train is read"]),
        ("both", ["the split train is read of train, test"]),
    ):
        find_sources([str(tmp_path / name)], notes := [])
        assert notes == [f"{tmp_path / name}: {told}" for told in said]
    for name in ("one", "dict", "both"):
        assert read(tmp_path / name) == ["one", None, "two", "three", None]
    with pytest.raises(BertkitError, match="row 1: 'n' is not text but int"):
        read(tmp_path / "one", "n")
    with pytest.raises(BertkitError, match="one, row 1 has no column 'body': use --column with one of text, n"):
        read(tmp_path / "one", "body")
    with pytest.raises(BertkitError, match="no split 'train': give one of its folders test"):
        read(tmp_path / "test")
    write(tmp_path, "one/dataset_info.json", "{")
    with pytest.raises(BertkitError, match="one cannot be read as a saved dataset"):
        read(tmp_path / "one")


@pytest.mark.parametrize("knows_columns", [True, False])
def test_a_hub_dataset_is_streamed(monkeypatch, knows_columns):
    def rows():
        yield {"text": "one\ntwo", "image": 1}
        yield {"text": "", "image": 1}
        yield {"text": "three", "image": 1}

    def load_dataset(*arguments, **options):
        assert arguments == HUB.hub
        assert options == {"split": "train", "streaming": True}
        features = datasets.Features(text=datasets.Value("string"), image=datasets.Value("int64"))
        return datasets.IterableDataset.from_generator(rows, features=features if knows_columns else None)

    monkeypatch.setattr(paragraphs, "ensure_hub", lambda: None)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    report = ReadReport()
    assert list(read_paragraphs(HUB, "text", report)) == ["one", "two", None, "three", None]
    with pytest.raises(
        BertkitError, match="org/name:config, row 1 has no column 'body': use --column with one of text"
    ):
        list(read_paragraphs(HUB, "body", report))


def test_a_hub_dataset_that_cannot_be_fetched_is_one_line(monkeypatch):
    def load_dataset(*_, **__):
        raise ValueError("Unknown split\n'train'")

    monkeypatch.setattr(paragraphs, "ensure_hub", lambda: None)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(
        BertkitError, match="cannot fetch dataset 'org/name:config': Unknown split 'train'; give a file"
    ):
        list(read_paragraphs(HUB, "text", ReadReport()))


def test_the_fingerprint_of_a_hub_dataset_follows_its_revision(monkeypatch):
    class Info:
        sha = "abc"

    monkeypatch.setattr(paragraphs, "ensure_hub", lambda: None)
    monkeypatch.setattr(paragraphs, "is_offline", lambda: False)
    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", lambda *_: Info)
    first, same = contents([HUB], "text").fingerprint, contents([HUB], "text").fingerprint
    with contents([HUB], "text").unchanged():
        pass
    with (
        pytest.raises(BertkitError, match="org/name:config changed while it was read: nothing was kept"),
        contents([HUB], "text").unchanged(),
    ):
        Info.sha = "def"
    assert first == same != contents([HUB], "text").fingerprint


def test_without_a_network_a_hub_dataset_is_at_the_commit_that_was_fetched_last(tmp_path, monkeypatch):
    """As the hub's cache is laid out (huggingface.co/docs/huggingface_hub/guides/manage-cache)."""
    monkeypatch.setattr(paragraphs, "ensure_hub", lambda: None)
    monkeypatch.setattr(paragraphs, "is_offline", lambda: True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    unknown = contents([HUB], "text").fingerprint
    newest = write(tmp_path, "datasets--org--name/refs/main", "abc")
    with contents([HUB], "text").unchanged():  # the network goes away while it is read
        newest.unlink()
    newest.write_text("abc")
    known = contents([HUB], "text").fingerprint
    newest.write_text("def")
    assert len({unknown, known, contents([HUB], "text").fingerprint}) == 3


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_value_that_is_too_long_to_hold_is_refused_with_its_place(tmp_path, monkeypatch, name):
    texts = ["short", "the cat sat . " * 10]
    monkeypatch.setattr(paragraphs, "LONGEST_VALUE_CHARS", 139)
    if name == "a.parquet":
        pyarrow.parquet.write_table(pyarrow.table({"text": texts}), tmp_path / name)
    else:
        rows = map(json.dumps, ({"text": text} for text in texts)) if name == "a.jsonl" else ["text", *texts]
        write(tmp_path, name, "\n".join(rows))
    row = {"a.jsonl": 2, "a.csv": 3, "a.parquet": 2}[name]
    with pytest.raises(BertkitError, match=rf"{name}:{row}: 'text' has over 139 characters: cut it into several rows"):
        read(tmp_path / name)
    monkeypatch.setattr(paragraphs, "LONGEST_VALUE_CHARS", 140)
    assert read(tmp_path / name)[0] == "short"


def test_rows_without_a_text_are_counted(tmp_path):
    rows = ["one", None, "  ", "\u200b", "\u202b\u202c\n\ufeff", "two"]
    path = write(tmp_path, "rows.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in rows))
    report = ReadReport()
    assert read(path, report=report) == ["one", None, "two", None]
    assert report.empty_rows == 4


def test_a_column_is_found_by_what_its_name_looks_like(tmp_path):
    path = write(tmp_path, "rows.csv", "n,cafe\u0301\n1,one\n2,two\n")
    found = read_paragraphs(Source(path.name, path), "caf\u00e9", ReadReport())
    assert list(found) == ["one", None, "two", None]


def test_nul_characters_of_cells_are_counted(tmp_path):
    path = write(tmp_path, "rows.jsonl", r'{"text": "o\u0000n\u0000e"}' "\n" r'{"text": "two"}')
    report = ReadReport()
    assert read(path, report=report) == ["one", None, "two", None]
    assert report.dropped_nuls == 2
