"""From what a person names to documents, each against the rule by hand."""

import gzip
import io
import json
import lzma
import os
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from bertkit.corpus import cache, sources
from bertkit.corpus.contents import contents
from bertkit.corpus.sources import Source, find_sources, read_paragraphs
from bertkit.corpus.store import IDS_FILE, INFO_FILE
from bertkit.errors import BertkitError
from bertkit.io.text import MAX_LINE_CHARS, ReadReport
from bertkit.training import checkpoint
from bertkit.training.record import MANIFEST, RUN
from bertkit.training.run_folder import RECIPE

COMPRESS = {".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.ZstdCompressor().compress}
LINKS = pytest.mark.skipif(os.name == "nt", reason="Windows needs rights to make links")
HUB = Source("org/name:config", hub=("org/name", "config"))


def paragraphs(path, column="text", report=None):
    return list(read_paragraphs(find_sources([str(path)])[0], column, report or ReadReport()))


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def found(*inputs):
    return [source.path.name for source in find_sources([str(one) for one in inputs])]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\n\n one \ntwo\n \u3000\t\nthree\n\x0c\n\n", ["one", "two", None, "three", None]),
        ("one", ["one", None]),
        ("one\r\n\r\ntwo\r\n", ["one", None, "two", None]),
        ("one\r\rtwo", ["one", None, "two", None]),
        ("\ufeff\n\none\n\n\n\ntwo\n\u2028\n", ["one", None, "two", None]),
        ("one\n\u200f\ntwo\n \ufeff\u200b \nthree\u200d", ["one", None, "two", None, "three\u200d", None]),
    ],
)
def test_a_blank_line_of_any_white_space_ends_a_document(tmp_path, content, expected):
    assert paragraphs(write(tmp_path, "a.txt", content)) == expected


def test_a_gap_within_a_very_long_line_ends_no_document(tmp_path):
    path = write(tmp_path, "a.txt", "one" + " " * 30 * MAX_LINE_CHARS + "two\n\nthree")
    assert paragraphs(path) == ["one", "two", None, "three", None]


@pytest.mark.parametrize("suffix", COMPRESS)
def test_compressed_text_reads_as_plain_and_damage_is_named(tmp_path, suffix):
    plain = ("a line of text\n" * 5000 + "\nend").encode()
    whole = write(tmp_path, "a.txt" + suffix, COMPRESS[suffix](plain))
    assert paragraphs(whole) == ["a line of text"] * 5000 + [None, "end", None]
    cut = write(tmp_path, "b.txt" + suffix, COMPRESS[suffix](plain)[:-20])
    with pytest.raises(BertkitError, match=r"b\.txt.* is damaged"):
        paragraphs(cut)


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
    assert paragraphs(path, report=report) == []
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
        assert paragraphs(path) == expected, path


def test_bytes_that_are_no_text_matter_in_the_column_that_is_read(tmp_path):
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["one", "two"], "image": [b"GIF", b"\x89PNG\xff"]}), path)
    assert paragraphs(path) == ["one", None, "two", None]
    with pytest.raises(BertkitError, match=r"a\.parquet:2: 'image' holds bytes that are not UTF-8: store it as text$"):
        paragraphs(path, column="image")


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
        paragraphs(write(tmp_path, name, content))


def test_sources_are_files_folders_and_globs_each_file_once(tmp_path):
    for name in ("b.txt", "a.jsonl.gz", "sub/c.md", "sub/wiki_00", ".hidden.txt", ".git/x.txt", "notes.pdf"):
        write(tmp_path, name, "x")
    assert found(tmp_path) == ["a.jsonl.gz", "b.txt", "c.md", "wiki_00"]
    assert found(tmp_path / "b.txt", tmp_path / "sub" / ".." / "b.txt", tmp_path / "*.txt") == ["b.txt"]
    assert found(tmp_path / "sub", tmp_path / "b.txt") == ["c.md", "wiki_00", "b.txt"]
    assert found(tmp_path / "**" / "*.md") == ["c.md"]
    assert found(tmp_path / "sub" / "wiki_*") == ["wiki_00"]
    assert found(tmp_path / "*") == ["a.jsonl.gz", "b.txt", "c.md", "wiki_00"]
    for given in ("notes.pdf", "*.pdf"):
        with pytest.raises(BertkitError, match=r"notes\.pdf: cannot read '\.pdf' files; give one of"):
            found(tmp_path / given)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BertkitError, match=r"no text in the folder \S+empty: no \.txt, .* file is there$"):
        found(tmp_path / "empty")


def test_a_file_whose_name_looks_like_a_glob_is_found(tmp_path):
    assert found(write(tmp_path, "a[1].txt", "x")) == ["a[1].txt"]


@pytest.mark.parametrize(
    ("given", "hub"),
    [
        ("org/name", ("org/name", None)),
        ("org/name:config", ("org/name", "config")),
        ("wikimedia/wikipedia:20231101.en", ("wikimedia/wikipedia", "20231101.en")),
        ("teknium/OpenHermes-2.5", ("teknium/OpenHermes-2.5", None)),
    ],
)
def test_hub_names_are_known_by_their_form(given, hub):
    assert find_sources([given, given]) == [Source(given, hub=hub)]


@pytest.mark.parametrize(
    "missing",
    [
        "nope.txt",
        "/no/such/folder",
        "org/name.txt",
        "org/name.jsonl.gz",
        "../name",
        "*.none",
        "~nobody/a.txt",
        "",
        "word " * 1000,
    ],  # fmt: skip
)
def test_what_is_not_there_says_what_can_be_given(missing):
    with pytest.raises(BertkitError) as caught:
        find_sources([missing])
    assert str(caught.value) == (
        f"no corpus at {missing}: give a text file (a blank line between documents), a folder, a glob, a URL, - for stdin, "
        "or a hub dataset org/name"
    )


def test_an_existing_file_wins_over_a_hub_name(tmp_path, monkeypatch):
    write(tmp_path, "org/name", "text")
    monkeypatch.chdir(tmp_path)
    assert find_sources(["org/name"]) == [Source("org/name", Path("org/name"))]


def test_stdin_can_be_read_twice_and_its_copy_goes_at_exit(monkeypatch):
    leavers = []
    monkeypatch.setattr(cache.atexit, "register", lambda *call, **options: leavers.append((call, options)))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\n\ntwo\n")))
    (source,) = find_sources(["-", "-"])
    for _ in range(2):
        assert list(read_paragraphs(source, "text", ReadReport())) == ["one", None, "two", None]
    for (leave, *arguments), options in reversed(leavers):
        leave(*arguments, **options)
    assert not source.path.exists()


def test_the_fingerprint_follows_contents_order_and_column(tmp_path):
    def of(*names, column="text"):
        return contents(find_sources([str(tmp_path / name) for name in names]), column).fingerprint

    texts = {"a.txt": "x", "b.txt": "x", "c": "x", "d.txt": "y", "e.txt": "xy", "t.csv": "x", "a.gz": "x"}
    for name, content in texts.items():
        write(tmp_path, name, content)
    assert of("a.txt") == of("b.txt") == of("c") == of("a.txt", column="body")
    assert len(of("a.txt")) == 32
    different = [of("a.txt"), of("d.txt"), of("a.txt", "d.txt"), of("d.txt", "a.txt"), of("e.txt"), of("t.csv"),
                 of("t.csv", column="body"), of("a.gz")]  # fmt: skip
    assert len(set(different)) == len(different)


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
        assert paragraphs(tmp_path / name) == ["one", None, "two", "three", None]
    with pytest.raises(BertkitError, match="row 1: 'n' is not text but int"):
        paragraphs(tmp_path / "one", "n")
    with pytest.raises(BertkitError, match="one, row 1 has no column 'body': use --column with one of text, n"):
        paragraphs(tmp_path / "one", "body")
    with pytest.raises(BertkitError, match="no split 'train': give one of its folders test"):
        paragraphs(tmp_path / "test")
    write(tmp_path, "one/dataset_info.json", "{")
    with pytest.raises(BertkitError, match="one cannot be read as a saved dataset"):
        paragraphs(tmp_path / "one")


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

    monkeypatch.setattr(sources, "ensure_hub", lambda: None)
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

    monkeypatch.setattr(sources, "ensure_hub", lambda: None)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(
        BertkitError, match="cannot fetch dataset 'org/name:config': Unknown split 'train'; give a file"
    ):
        list(read_paragraphs(HUB, "text", ReadReport()))


def test_the_fingerprint_of_a_hub_dataset_follows_its_revision(monkeypatch):
    class Info:
        sha = "abc"

    monkeypatch.setattr(sources, "ensure_hub", lambda: None)
    monkeypatch.setattr(sources, "is_offline", lambda: False)
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
    monkeypatch.setattr(sources, "ensure_hub", lambda: None)
    monkeypatch.setattr(sources, "is_offline", lambda: True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    unknown = contents([HUB], "text").fingerprint
    newest = write(tmp_path, "datasets--org--name/refs/main", "abc")
    with contents([HUB], "text").unchanged():  # the network goes away while it is read
        newest.unlink()
    newest.write_text("abc")
    known = contents([HUB], "text").fingerprint
    newest.write_text("def")
    assert len({unknown, known, contents([HUB], "text").fingerprint}) == 3


@LINKS
def test_a_linked_file_counts_once(tmp_path):
    (tmp_path / "b.txt").symlink_to(write(tmp_path, "a.txt", "x"))
    assert found(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_value_that_is_too_long_to_hold_is_refused_with_its_place(tmp_path, monkeypatch, name):
    texts = ["short", "the cat sat . " * 10]
    monkeypatch.setattr(sources, "LONGEST_VALUE_CHARS", 139)
    if name == "a.parquet":
        pyarrow.parquet.write_table(pyarrow.table({"text": texts}), tmp_path / name)
    else:
        rows = map(json.dumps, ({"text": text} for text in texts)) if name == "a.jsonl" else ["text", *texts]
        write(tmp_path, name, "\n".join(rows))
    row = {"a.jsonl": 2, "a.csv": 3, "a.parquet": 2}[name]
    with pytest.raises(BertkitError, match=rf"{name}:{row}: 'text' has over 139 characters: cut it into several rows"):
        paragraphs(tmp_path / name)
    monkeypatch.setattr(sources, "LONGEST_VALUE_CHARS", 140)
    assert paragraphs(tmp_path / name)[0] == "short"


def test_what_is_left_out_is_counted(tmp_path):
    for name in ("a.txt", "b.jsonl", "c.pdf", "d.json", ".hidden"):
        write(tmp_path, name, "{}")
    notes: list[str] = []
    inputs = [str(tmp_path), str(tmp_path / "a.txt"), str(tmp_path / "*.txt"), "org/name"]
    assert len(find_sources(inputs, notes)) == 3
    assert notes == [
        f"{tmp_path}: 2 files of text are read, 3 others are left out (hidden file, .json, .pdf)",
        "org/name: the split train is read",
        "named more than once and read once: 2 of the inputs",
    ]
    find_sources([str(tmp_path / "a.txt")], notes := [])
    assert notes == []


@LINKS
def test_links_hidden_things_and_pipes_are_counted(tmp_path):
    for name in ("d/a.txt", "d/sub/b.txt", "d/.hidden.txt", "d/.git/x.txt", "d/.git/y.txt", "other/c.txt"):
        write(tmp_path, name, "x")
    (tmp_path / "d/linked").symlink_to(tmp_path / "other")
    (tmp_path / "d/sub/round").symlink_to(tmp_path / "d")
    (tmp_path / "d/gone.txt").symlink_to(tmp_path / "nowhere.txt")
    os.mkfifo(tmp_path / "d/pipe")
    sources = find_sources([str(tmp_path / "d")], notes := [])
    assert [source.name for source in sources] == [str(tmp_path / "d/a.txt"), str(tmp_path / "d/sub/b.txt")]
    kinds = "hidden file, hidden folder, link that leads nowhere, linked folder, pipe or device"
    assert notes == [f"{tmp_path}/d: 2 files of text are read, 6 others are left out ({kinds})"]
    (tmp_path / "links").mkdir()
    (tmp_path / "links/c").symlink_to(tmp_path / "other")
    with pytest.raises(BertkitError, match=r"no text in the folder \S+links: .* \(left out: linked folder\)$"):
        find_sources([str(tmp_path / "links")])
    assert found(tmp_path / "links/c") == ["c.txt"]  # a person names it


@LINKS
def test_the_folders_of_a_glob_are_read_each_file_once(tmp_path):
    for name in (
        "d/a.txt",
        "d/b.json",
        "d/sub/b.txt",
        "d/sub/in/c.txt",
        "d/sub/in/c.pdf",
        "d/.x/d.txt",
        "d/e/.f",
        "o/x.txt",
    ):
        write(tmp_path, name, "x")
    (tmp_path / "d/linked").symlink_to(tmp_path / "o")
    (tmp_path / "d/gone").symlink_to(tmp_path / "nowhere")
    for pattern, read, left_out in (
        (
            "d/*",
            ["a.txt", "x.txt", "b.txt", "c.txt"],
            "4 others are left out (hidden file, link that leads nowhere, .json, .pdf)",
        ),
        (
            "d/**",
            ["a.txt", "x.txt", "b.txt", "c.txt"],
            "5 others are left out (hidden file, hidden folder, link that leads nowhere, .json, .pdf)",
        ),
        ("*/sub/*", ["b.txt", "c.txt"], "1 other is left out (.pdf)"),
    ):
        sources = find_sources([str(tmp_path / pattern)], notes := [])
        assert [source.path.name for source in sources] == read, pattern
        assert notes == [f"{tmp_path}/{pattern}: {len(read)} files of text are read, {left_out}"]
    assert found(tmp_path / "d/*.json") == ["b.json"]
    with pytest.raises(BertkitError, match=r"no text in the folders \S+d/\[ef\]: .* \(left out: hidden file\)$"):
        found(tmp_path / "d/[ef]")


def test_the_datasets_of_a_glob_are_read(tmp_path):
    data = datasets.Dataset.from_dict({"text": ["one"]})
    datasets.DatasetDict({"train": data}).save_to_disk(tmp_path / "d/saved")
    write(tmp_path, "d/a.txt", "x")
    for pattern in ("d/*", "d/**/*"):
        sources = find_sources([str(tmp_path / pattern)], notes := [])
        assert [source.path.name for source in sources] == ["a.txt", "saved"]
        assert notes == [f"{tmp_path}/d/saved: the split train is read"]


def test_a_folder_that_cannot_be_opened_is_counted(tmp_path, monkeypatch):
    def scandir(place):
        if str(place).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(place))
        return opened(place)

    write(tmp_path, "a.txt", "x")
    (tmp_path / "closed").mkdir()
    opened = os.scandir  # which root may use on any folder
    monkeypatch.setattr(os, "scandir", scandir)
    find_sources([str(tmp_path)], notes := [])
    left_out = "1 file of text is read, 1 other is left out (folder that cannot be opened)"
    assert notes == [f"{tmp_path}: {left_out}"]

    def stat(path, **how):
        if Path(path).parent.name == "closed":
            raise PermissionError(13, "Permission denied", str(path))
        return looked_at(path, **how)

    looked_at = os.stat
    monkeypatch.setattr(os, "stat", stat)
    find_sources([f"{tmp_path}/*"], notes := [])
    assert notes == [f"{tmp_path}/*: {left_out}"]
    with pytest.raises(BertkitError, match="no text in the folder .*closed: .*left out: folder that cannot be opened"):
        find_sources([f"{tmp_path}/closed"])


def test_runs_and_models_are_left_out_unless_they_are_named(tmp_path, monkeypatch):
    """A second `pretrain .` would read the README, vocab.txt and figures of the first."""
    monkeypatch.chdir(tmp_path)
    own = {
        "runs/one": (RUN, RECIPE, "README.md", "metrics.jsonl", "vocab.txt", "checkpoint-3/vocab.txt"),
        "runs/begun": (RECIPE, "metrics.jsonl", "README.md"),
        "kept/checkpoint-3": (MANIFEST, checkpoint._STATE, "vocab.txt"),
        "prepared": (INFO_FILE, IDS_FILE, "vocab.txt"),
        "cut": (IDS_FILE, "vocab.txt"),
        "exported": ("config.json", "vocab.txt", "README.md"),
    }
    for folder, names in own.items():
        for name in names:
            write(tmp_path, f"{folder}/{name}", "{}")
    write(tmp_path, "a.txt", "x")
    write(tmp_path, "runs/notes.txt", "x")
    for given, own_folders in ((".", 6), ("*", 6), ("**", 6), ("**/*.txt", 5)):
        sources = find_sources([given], notes := [])
        assert [source.name for source in sources] == ["a.txt", str(Path("runs/notes.txt"))]
        left_out = f"{own_folders} others are left out (folder of a run, model or prepared corpus)"
        assert notes == [f"{given}: 2 files of text are read, {left_out}"]
    with pytest.raises(
        BertkitError,
        match=r"no text in the folders runs/\[ob\]\*: .* \(left out: folder of a run, model or prepared corpus\)",
    ):
        find_sources(["runs/[ob]*"])
    assert found("kept/checkpoint-3") == found("kept/checkpoint-3/*.txt") == ["vocab.txt"]


def test_rows_without_a_text_are_counted(tmp_path):
    path = write(tmp_path, "rows.jsonl", '{"text": "one"}\n{"text": null}\n{"text": "  "}\n{"text": "two"}\n')
    report = ReadReport()
    assert paragraphs(path, report=report) == ["one", None, "two", None]
    assert report.empty_rows == 2


def test_nul_characters_of_cells_are_counted(tmp_path):
    path = write(tmp_path, "rows.jsonl", r'{"text": "o\u0000n\u0000e"}' "\n" r'{"text": "two"}')
    report = ReadReport()
    assert paragraphs(path, report=report) == ["one", None, "two", None]
    assert report.dropped_nuls == 2
