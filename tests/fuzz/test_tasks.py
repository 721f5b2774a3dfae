"""Hostile labelled data, in every form: loaded whole and labelled, or refused in one line."""

import json
from io import BytesIO

import pyarrow
import pyarrow.parquet
import pytest
from helpers.mutate import ends_well, mutations
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertkit.finetuning.data import load_labelled
from bertkit.finetuning.inputs import read_texts
from bertkit.finetuning.labelled import DataRequest
from bertkit.settings.recipes import load
from bertkit.settings.schema import FinetuneRecipe, TaskSettings

pytestmark = pytest.mark.slow
ROWS = [{"text": f'text {n}, ünï "quoted" 字', "label": "good" if n % 2 else "bad"} for n in range(24)]


def parquet():
    buffer = BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), buffer)
    return buffer.getvalue()


FORMS = {
    "jsonl": "\n".join(json.dumps(row) for row in ROWS).encode(),
    "csv": ("text,label\n" + "".join('"{}",{}\n'.format(row["text"].replace('"', '""'), row["label"]) for row in ROWS)).encode(),
    "tsv": ("text\tlabel\n" + "".join(f"{row['text']}\t{row['label']}\n" for row in ROWS)).encode(),
    "parquet": parquet(),
}  # fmt: skip


def load_own(path):
    data = load_labelled(DataRequest(TaskSettings(), None, str(path), None, 0.3, 1))
    for split in (data.train, *data.validation):
        assert len(split.texts) == len(split.labels)
        assert all(isinstance(text, str) for row in split.texts for text in row)


@pytest.mark.parametrize("kind", FORMS)
def test_damaged_rows(tmp_path, kind):
    path = tmp_path / f"rows.{kind}"
    path.write_bytes(FORMS[kind])
    load_own(path)
    for number, data in enumerate(mutations(FORMS[kind], 500, seed=1)):
        path.write_bytes(data)
        ends_well(lambda: load_own(path), (number, data[:300]))
        ends_well(lambda: list(read_texts(str(path), ())), (number, data[:300]))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=4)


@settings(
    max_examples=500, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(st.fixed_dictionaries({"text": VALUES, "label": VALUES}), min_size=1, max_size=8))
def test_rows_of_any_values(tmp_path, rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    ends_well(lambda: load_own(path), rows)


GLUE = {
    "cola": ("CoLA", "gj04\t1\t\tThe sailors rode the breeze.\ngj04\t0\t*\tThe more books I ask.\n" * 9),
    "mrpc": ("MRPC", "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n" + "1\t7\t8\tHe did.\tSo he.\n0\t9\t5\tA\tB\n" * 9),
    "stsb": ("STS-B", "\t".join("abcdefghij") + "\n" + "0\tm\tf\t2\t3\tn\tn\tOne \"text.\tAnother.\t3.5\n" * 9),
}  # fmt: skip


@pytest.mark.parametrize("task", GLUE)
def test_damaged_files_of_glue(tmp_path, task):
    name, content = GLUE[task]
    recipe = load(FinetuneRecipe, "finetune", task, []).settings
    folder = tmp_path / name
    folder.mkdir()
    for file in recipe.task.tsv.files.values():
        (folder / file).write_bytes(content.encode())
    train = folder / recipe.task.tsv.files["train"]
    request = DataRequest(recipe.task, tmp_path, None, None, None, 1)
    assert len(load_labelled(request).train.texts) in (9, 18)
    for number, data in enumerate(mutations(content.encode(), 500, seed=2)):
        train.write_bytes(data)
        ends_well(lambda: load_labelled(request), (number, data[:300]))
