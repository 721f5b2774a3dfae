"""Answers as files: read back by the csv module, pyarrow and json."""

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from bertkit.errors import BertkitError
from bertkit.io.rows import check_place, write_rows

CLASSES = [
    {"index": 0, "prediction": "so, so", "probabilities": {"so, so": 0.75, 'a\t"b"\n\\': 0.25}},
    {"index": 1, "prediction": 'a\t"b"\n\\', "probabilities": {"so, so": 0.1, 'a\t"b"\n\\': 0.9}},
]
SEVERAL = [{"index": 0, "prediction": [], "score": 1.5}, {"index": 1, "prediction": ["a", "é"], "score": -2.0}]


@pytest.mark.parametrize("rows", [CLASSES, SEVERAL, []])
@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a"])
def test_json_lines_are_the_rows(tmp_path: Path, rows: list[Any], name: str) -> None:
    write_rows(tmp_path / name, rows)
    assert [json.loads(line) for line in (tmp_path / name).read_text("utf-8").splitlines()] == rows


def test_csv_is_read_back(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", CLASSES)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["index", "prediction", "probabilities.so, so", 'probabilities.a\t"b"\n\\']
    assert [row["prediction"] for row in found] == [row["prediction"] for row in CLASSES]
    assert [float(row["probabilities.so, so"]) for row in found] == [0.75, 0.1]
    write_rows(tmp_path / "b.csv", SEVERAL)
    assert (tmp_path / "b.csv").read_text("utf-8") == 'index,prediction,score\n0,[],1.5\n1,"[""a"", ""é""]",-2.0\n'


def test_tsv_is_a_line_a_row_whatever_a_class_is_called(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.tsv", CLASSES)
    assert (tmp_path / "a.tsv").read_text("utf-8") == '0\tso, so\t0.75\t0.25\n1\ta\\t"b"\\n\\\\\t0.1\t0.9\n'


@pytest.mark.parametrize("rows", [CLASSES, SEVERAL])
def test_parquet_has_columns_with_types(tmp_path: Path, rows: list[Any]) -> None:
    write_rows(tmp_path / "a.parquet", rows)
    found = pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pylist()
    flat = [
        {**row, **{f"probabilities.{name}": share for name, share in row.get("probabilities", {}).items()}}
        for row in rows
    ]
    for row in flat:
        row.pop("probabilities", None)
    assert found == flat


@pytest.mark.parametrize(
    ("name", "empty", "later"),
    [("prediction", [], ["a"]), ("tags", [], ["B-PER", "O"]), ("start", None, 3), ("end", None, 7)],
)
def test_the_types_of_parquet_do_not_depend_on_how_many_answers_are_empty(
    tmp_path: Path, name: str, empty: Any, later: Any
) -> None:
    few, many = ([{"index": n, name: empty} for n in range(most)] for most in (1, 4_096))
    write_rows(tmp_path / "few.parquet", [*few, {"index": 1, name: later}])
    write_rows(tmp_path / "many.parquet", [*many, {"index": 4_096, name: later}])
    found, expected = (pyarrow.parquet.read_table(tmp_path / f"{one}.parquet") for one in ("many", "few"))
    assert found.schema == expected.schema
    assert found[name].to_pylist()[-2:] == expected[name].to_pylist() == [empty, later]


def test_parquet_of_more_rows_than_are_written_at_once(tmp_path: Path) -> None:
    rows = [{"index": number, "prediction": float(number)} for number in range(10_000)]
    write_rows(tmp_path / "a.parquet", iter(rows))
    assert pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pylist() == rows
    write_rows(tmp_path / "none.parquet", [])
    assert pyarrow.parquet.read_table(tmp_path / "none.parquet").num_rows == 0


FOREIGN = (
    "a letter\n", '{"text": "my own rows", "index": 3}\n', '{"index": 0, "question": "why?", "prediction": 1}\n',
    "text\tlabel\n", "text,label\n", "index,text,label\n0,good,1\n", "1\tgood movie\n", "a title\n0\tgood\n", "PAR1",
)  # fmt: skip


@pytest.mark.parametrize("name", ["a.jsonl", "a", "a.csv", "a.tsv", "a.parquet"])
def test_only_files_of_this_form_are_replaced(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    # A .tsv file has no names by which its writer could be told.
    why = "a .tsv file does not show who wrote it" if name == "a.tsv" else "no predictions of bertkit"
    check_place(path, overwrite=False)
    for rows in (SEVERAL, CLASSES, ENTITIES, ANSWERS, ASKED) if name != "a.tsv" else ():
        write_rows(path, rows)
        check_place(path, overwrite=False)
    for foreign in FOREIGN:
        path.write_text(foreign)
        with pytest.raises(BertkitError, match=f"is there and {why}: name another file"):
            check_place(path, overwrite=False)
        check_place(path, overwrite=True)
    path.write_text("")
    check_place(path, overwrite=False)


@pytest.mark.parametrize(
    ("names", "metadata"), [(["index", "bertkit"], {}), (["text_index", "embedding"], {"made_by": "bertkit"})]
)
def test_another_program_s_parquet_is_kept(tmp_path: Path, names: list[str], metadata: dict[str, str]) -> None:
    table = pyarrow.table({name: [1] for name in names}).replace_schema_metadata(metadata)
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(BertkitError, match="is there and no predictions of bertkit"):
        check_place(tmp_path / "a.parquet", overwrite=False)


def test_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BertkitError, match=r"ends in \.jsonl, \.csv, \.tsv, \.parquet"):
        check_place(tmp_path / "a.xlsx", overwrite=True)


ENTITIES = [{"index": 0, "tags": ["O"], "entities": []}, {"index": 1, "tags": ["B-PER"], "entities": [{"start": 0}]}]
ANSWERS = [
    {"index": 0, "prediction": "a", "start": 3, "end": 4},
    {"index": 1, "prediction": None, "start": None, "end": None},
]
ASKED = [{"index": 0, "id": 'a "q"', "prediction": "a"}, {"index": 1, "id": "q2", "prediction": "b"}]


def test_parquet_of_rows_without_an_answer_or_with_none_at_first(tmp_path: Path) -> None:
    """The type of a column is not that of its first value alone, which may be missing, or an empty list of anything."""
    for rows in (ANSWERS, ANSWERS[::-1]):
        write_rows(tmp_path / "a.parquet", rows)
        assert pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pylist() == rows
    write_rows(tmp_path / "b.parquet", ENTITIES)
    found = pyarrow.parquet.read_table(tmp_path / "b.parquet").to_pylist()
    assert [json.loads(row["entities"]) for row in found] == [row["entities"] for row in ENTITIES]
    assert [row["tags"] for row in found] == [row["tags"] for row in ENTITIES]


def test_rows_with_other_columns_stay_under_their_own_names(tmp_path: Path) -> None:
    """Of words and of a text, say, which one call may predict."""
    rows = [{"index": 0, "text": "a b"}, {"index": 1, "tokens": ["a"]}]
    write_rows(tmp_path / "a.csv", rows)
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["index", "text", "tokens"], ["0", "a b", ""], ["1", "", '["a"]']]
    write_rows(tmp_path / "a.parquet", rows)
    assert pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pylist() == [
        {"index": 0, "text": "a b", "tokens": None},
        {"index": 1, "text": None, "tokens": ["a"]},
    ]
    late = [*({"index": number, "text": "a"} for number in range(10_000)), {"index": 10_000, "tokens": ["a"]}]
    with pytest.raises(BertkitError, match=r"row 10000 has 'tokens', which the first 4,096 rows have not"):
        write_rows(tmp_path / "late.csv", late)
    assert not (tmp_path / "late.csv").exists()
