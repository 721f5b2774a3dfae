"""What a person names as text is found, each file once, and what is left out is counted."""

import io
import os
from pathlib import Path

import datasets
import pytest

from bertkit.corpus import cache
from bertkit.corpus.contents import contents
from bertkit.corpus.paragraphs import read_paragraphs
from bertkit.corpus.sources import Source, find_sources
from bertkit.corpus.store import IDS_FILE, INFO_FILE
from bertkit.errors import BertkitError
from bertkit.io.text import ReadReport
from bertkit.training.record import MANIFEST, RUN, STATE
from bertkit.training.run_folder import RECIPE

LINKS = pytest.mark.skipif(os.name == "nt", reason="Windows needs rights to make links")


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def found(*inputs):
    return [source.path.name for source in find_sources([str(one) for one in inputs])]


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


@LINKS
def test_a_linked_file_counts_once(tmp_path):
    (tmp_path / "b.txt").symlink_to(write(tmp_path, "a.txt", "x"))
    assert found(tmp_path) == ["a.txt"]


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
        "kept/checkpoint-3": (MANIFEST, STATE, "vocab.txt"),
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
