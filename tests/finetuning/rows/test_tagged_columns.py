"""CoNLL's columns, by hand."""

import pytest

from bertkit.errors import BertkitError
from bertkit.finetuning.rows.tagged_columns import column_rows, looks_like_columns, read_columns


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def tokens(row):
    return [row.text[begin:end] for begin, end in row.words]


@pytest.mark.parametrize(
    "text",
    [
        "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n日本 NN O B-LOC\n",
        "-DOCSTART- -X- O O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\n日本 NN O B-LOC",
        "EU\tB-ORG\nrejects\tO\n\t\n日本\tB-LOC\n",
        "\ufeffEU\tB-ORG\r\nrejects\tO\r\n\r\n日本\tB-LOC\r\n",
    ],
)
def test_columns_of_words_and_tags(tmp_path, text):
    rows = list(read_columns(write(tmp_path / "a.conll", text)))
    assert [(tokens(row), row.tags) for row in rows] == [(["EU", "rejects"], ["B-ORG", "O"]), (["日本"], ["B-LOC"])]
    assert rows[0].text == "EU rejects"


def test_a_row_knows_the_line_it_begins_in(tmp_path):
    rows = list(read_columns(write(tmp_path / "a.conll", "a O\nb O\n\nc O\n")))
    assert [row.place.rpartition(":")[2] for row in rows] == ["1", "4"]


def test_a_line_of_one_column_is_named(tmp_path):
    with pytest.raises(BertkitError, match=r"a.conll:1 has 1 column: each line is a word and, last, its tag"):
        list(read_columns(write(tmp_path / "a.conll", "a\nb\n")))


@pytest.mark.parametrize(("line", "has"), [("b", "1 column"), ("b NN B-NP O", "4 columns"), ("b O", "2 columns")])
def test_a_line_that_lacks_a_column_is_not_read_by_another(tmp_path, line, has):
    with pytest.raises(
        BertkitError, match=rf"a.conll:2 has {has}, and the first word's 3: each line is a word and, last"
    ):
        list(read_columns(write(tmp_path / "a.conll", f"a DT O\n{line}\n")))


def test_comments_are_no_words_and_counted(tmp_path, capsys):
    text = "# id 17 domain=train\n# _ _ O\na _ _ B-X\n\n# id 18\tdomain=train\n# _ _ O\n#b _ _ O\n"
    path = write(tmp_path / "a.txt", text)
    assert looks_like_columns(path)
    rows = list(read_columns(path))
    assert [(tokens(row), row.tags) for row in rows] == [(["#", "a"], ["O", "B-X"]), (["#", "#b"], ["O", "O"])]
    assert "lines that begin with # and are read as comments: 2" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("text", "is_columns"),
    [
        ("a O\nb B-PER\n\n", True),
        ("-DOCSTART- O\n\na\tO\n", True),
        ("text\tlabel\na b\tx\n", False),
        ("a sentence that ends in O\nand another one .\n", False),
        ("word\n", False),
        ("", False),
    ],
)
def test_columns_are_told_from_other_text(tmp_path, text, is_columns):
    assert looks_like_columns(write(tmp_path / "a.txt", text)) is is_columns


def test_a_lost_word_before_a_tab_keeps_its_place(tmp_path):
    (row,) = read_columns(write(tmp_path / "a.conll", "a\tO\n \tO\n\tB-X\nb\tO\n\t\n"))
    assert (tokens(row), row.tags) == (["a", "", "", "b"], ["O", "O", "B-X", "O"])


def test_files_of_columns_are_told_by_name_or_by_content(tmp_path):
    columns, table = "a\tO\nb\tB-X\n", "text\tlabel\na\tx\n"
    for name, text, is_columns in (
        ("a.conll", columns, True), ("a.txt", columns, True), ("a.tsv", columns, True), ("b.tsv", table, False),
        ("a.csv", columns, False), ("b.txt", "plain text\n", False),
    ):  # fmt: skip
        assert (column_rows(write(tmp_path / name, text)) is not None) is is_columns, name
    assert list(column_rows(tmp_path / "a.conll"))[0][1] == {"tokens": ["a", "b"], "tags": ["O", "B-X"]}


def test_a_word_whose_tag_is_empty_is_refused_by_its_line(tmp_path):
    path = write(tmp_path / "a.conll", "a\tX\tO\nb\tY\t\nc\tZ\tB-PER\n")
    with pytest.raises(BertkitError, match=r"a\.conll:2: the word 'b' has no tag: write O"):
        list(read_columns(path))


def test_bilou_is_read_as_bioes(tmp_path):
    path = write(tmp_path / "a.conll", "Ana U-PER\nin O\nNew B-LOC\nYork I-LOC\nCity L-LOC\n")
    (row,) = read_columns(path)
    assert row.tags == ["S-PER", "O", "B-LOC", "I-LOC", "E-LOC"]


def test_columns_that_number_the_words_are_refused(tmp_path):
    path = write(tmp_path / "a.tsv", "1\tSchartau\tB-PER\tO\n2\tsagte\tO\tO\n\n1\tIn\tO\tO\n2\tBerlin\tB-LOC\tO\n")
    with pytest.raises(BertkitError, match=r"a\.tsv:1: the first column numbers the words: leave it out"):
        list(read_columns(path))
    (row,) = read_columns(write(tmp_path / "b.tsv", "1\tO\n2\tO\n"))  # words that are numbers
    assert tokens(row) == ["1", "2"]
