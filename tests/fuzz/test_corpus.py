"""Hostile corpora, in every form: read, or refused in one line; a failed preparation leaves nothing behind."""

import gzip
import json
import lzma
from functools import partial
from io import BytesIO

import pyarrow
import pyarrow.parquet
import pytest
import zstandard
from helpers.mutate import ends_well, mutations
from helpers.stores import toy_tokenizer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertkit.corpus.preparation import Preparation
from bertkit.corpus.prepare import prepare
from bertkit.corpus.sources import find_sources
from bertkit.corpus.store import is_store
from bertkit.io.text import ReadReport

pytestmark = pytest.mark.slow
DOCUMENTS = [
    "A cat sat. It ran!\nThen it slept.",
    "Das Haus, groß und alt.",
    "我喜欢北京。很大",
    'He said "no".\x0b\n',
] * 5
HUNDREDS = settings(
    max_examples=500, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def parquet():
    buffer = BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": DOCUMENTS, "n": list(range(20))}), buffer)
    return buffer.getvalue()


PLAIN = {
    "txt": "\n\n".join(DOCUMENTS).encode(),
    "jsonl": "\n".join(json.dumps({"text": text, "n": n}) for n, text in enumerate(DOCUMENTS)).encode(),
    "csv": ("text,n\n" + "".join(f'"{text.replace(chr(34), chr(34) * 2)}",{n}\n' for n, text in enumerate(DOCUMENTS))).encode(),
    "tsv": ("text\tn\n" + "".join(f"{text.splitlines()[0]}\t{n}\n" for n, text in enumerate(DOCUMENTS))).encode(),
    "parquet": parquet(),
}  # fmt: skip
PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".zst": zstandard.compress}


def read(path):
    preparation = Preparation(find_sources([str(path)]))
    paragraphs = [paragraph for paragraph in preparation.paragraphs(ReadReport()) if paragraph is not None]
    assert all(isinstance(paragraph, str) and "\x00" not in paragraph for paragraph in paragraphs)
    return paragraphs


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("packed", PACK)
def test_damaged_files(tmp_path, kind, packed):
    path = tmp_path / f"a.{kind}{packed}"
    path.write_bytes(PACK[packed](PLAIN[kind]))
    assert read(path)
    read_well = 0
    for number, data in enumerate(mutations(PACK[packed](PLAIN[kind]), 500, seed=1)):
        path.write_bytes(data)
        read_well += ends_well(lambda: read(path), (number, data[:200]))
    assert packed or kind == "parquet" or read_well > 50


@pytest.mark.parametrize("kind", ["txt", "jsonl", "csv", "tsv"])
def test_damage_inside_whole_compression(tmp_path, kind):
    path = tmp_path / f"a.{kind}.gz"
    for number, data in enumerate(mutations(PLAIN[kind], 500, seed=2)):
        path.write_bytes(gzip.compress(data, 1))
        ends_well(lambda: read(path), (number, data[:200]))


@HUNDREDS
@given(content=st.one_of(st.text(), st.binary()), kind=st.sampled_from(["txt", "jsonl", "csv", "tsv", "parquet"]))
def test_anything_at_all(tmp_path, content, kind):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    ends_well(lambda: read(path), content)


def test_a_failed_preparation_leaves_nothing_behind(tmp_path):
    tokenizer, path = toy_tokenizer(), tmp_path / "a.txt"
    for number, data in enumerate(mutations(PLAIN["txt"] * 3, 500, seed=3)):
        path.write_bytes(data)
        out = tmp_path / f"store-{number}"
        preparation = Preparation(find_sources([str(path)]))
        went_well = ends_well(partial(prepare, preparation, tokenizer, out), data[:200])
        assert is_store(out) == went_well
        assert out.exists() == went_well
    assert not list(tmp_path.glob(".tmp*"))
