"""Rows of parquet files, against what was put in and how much memory they take."""

import base64
import datetime
import gzip
import lzma
import random
from io import BytesIO

import pyarrow
import pyarrow.parquet
import pytest

from bertkit.errors import BertkitError
from bertkit.io import compression
from bertkit.io.tables import read_rows


def rows_of(path):
    return [row for _, row in read_rows(path)]


def parquet(path, texts, **how):
    pyarrow.parquet.write_table(pyarrow.table({"text": texts}), path, **how)
    return path


def test_parquet_is_read_back_with_nulls(tmp_path):
    rows = [{"text": f"row {n}" if n % 3 else None, "label": n} for n in range(3000)]
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=700)
    assert rows_of(path) == rows
    assert list(read_rows(path))[-1][0] == f"{path}:3000"


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
def test_parquet_is_read_also_compressed_as_a_whole(tmp_path, suffix, pack):
    buffer = BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b"], "n": [1, 2]}), buffer)
    path = tmp_path / f"a.parquet{suffix}"
    path.write_bytes(pack(buffer.getvalue()))
    assert [row for _, row in read_rows(path)] == [{"text": "a", "n": 1}, {"text": "b", "n": 2}]


def test_bytes_of_parquet_are_text_in_utf8(tmp_path):
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": ["für".encode(), b"b"], "n": [1, 2]}), path)
    assert rows_of(path) == [{"text": "für", "n": 1}, {"text": "b", "n": 2}]
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", "b"], "image": [b"b", b"\x89PNG"]}), path)
    first, second = rows_of(path)  # nobody reads the image
    assert (first, second["text"]) == ({"text": "a", "image": "b"}, "b")
    with pytest.raises(BertkitError, match=r"a\.parquet:2: 'image' holds bytes that are not UTF-8: store it as text$"):
        str(second["image"])


def test_a_time_that_python_cannot_hold_harms_those_who_read_it_alone(tmp_path):
    days, times = [0, 4_000_000], [2**61, 0]  # 18 August 12921, by GNU date; the year 75038
    columns = {
        "text": ["a", "b"],
        "day": pyarrow.array(days, pyarrow.date32()),
        "at": pyarrow.array(times, pyarrow.timestamp("us")),
        "days": pyarrow.array([[0], [4_000_000]], pyarrow.list_(pyarrow.date32())),
    }
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    first, second = rows_of(path)
    epoch = datetime.datetime(1970, 1, 1)
    assert (first["text"], first["day"], first["days"]) == ("a", epoch.date(), [epoch.date()])
    assert (second["text"], second["at"]) == ("b", epoch)
    for row, name, number in ((first, "at", 1), (second, "day", 2), (second, "days", 2)):
        with pytest.raises(BertkitError, match=rf"a\.parquet:{number}: '{name}' holds more than can be read") as caught:
            str(row[name])
        assert "\n" not in str(caught.value)


def test_of_a_parquet_file_no_more_is_held_than_a_group(tmp_path):
    values = [base64.b64encode(random.Random(n).randbytes(750_000)).decode() for n in range(20)]
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"text": values}), path, row_group_size=2)
    before, most = pyarrow.total_allocated_bytes(), 0
    for _ in read_rows(path):
        most = max(most, pyarrow.total_allocated_bytes() - before)
    assert most < 10 * 1_000_000  # packed, unpacked, as a dictionary, and the rows: of 20 values in the file


def test_a_parquet_file_whose_pages_are_too_large_is_refused_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr("bertkit.io.parquet._MOST_PAGE_BYTES", 1_000_000)
    values = pyarrow.table({"text": [f"{number:04}" * 500 for number in range(1_000)]})
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(values, path)
    with pytest.raises(BertkitError, match=r"would take \d MiB of memory, .* row_group_size=100"):
        rows_of(path)
    pyarrow.parquet.write_table(values, path, row_group_size=100)
    assert len(rows_of(path)) == 1_000


def test_rows_of_parquet_are_read_few_at_a_time_where_they_are_large(tmp_path):
    texts = [f"{number} " + "the cat sat . " * 40_000 for number in range(200)]
    path = parquet(tmp_path / "a.parquet", texts, use_dictionary=False, write_batch_size=8)
    before = pyarrow.total_allocated_bytes()
    for number, (_, row) in enumerate(read_rows(path)):
        assert row["text"] == texts[number]
        assert pyarrow.total_allocated_bytes() - before < 2**26  # of 112 MB
    assert number == 199


def test_a_row_of_parquet_that_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("bertkit.io.parquet.LONGEST_VALUE_CHARS", 1_000)
    path = parquet(tmp_path / "a.parquet", ["the cat sat . " * 400])
    with pytest.raises(BertkitError, match=r"a\.parquet has rows of [\d,]+ bytes, and 1,000 are the most"):
        next(read_rows(path))


def test_a_parquet_bomb_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(compression, "_EXPANSION_JUDGED_FROM_BYTES", 2**16)
    path = parquet(tmp_path / "a.parquet", ["a cat " * 10_000] * 50, use_dictionary=False, compression="zstd")
    with pytest.raises(BertkitError, match=r"a\.parquet unpacks to more than 200 times"):
        next(read_rows(path))
