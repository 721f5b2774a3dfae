"""The paper's other tasks by their names, from a hub over HTTP, in the columns that their data sets have there."""

import json
import subprocess
import sys

import pyarrow
import pyarrow.parquet
import pytest

NAMES = ["the", "cat", "sat", "a", "b"]
TAGGED = [{"tokens": NAMES[at % 5 :] + ["cat"], "ner_tags": [0] * (5 - at % 5) + [1 + at % 2]} for at in range(24)]
ASKED = [
    {
        "id": f"q{at}",
        "title": "t",
        "context": f"the cat sat {'abcdef'[at % 6]} .",
        "question": "the cat",
        "answers": {"text": ["abcdef"[at % 6]], "answer_start": [12]},
    }
    for at in range(24)
]
SCENES = [
    {"sent1": "the cat", "sent2": "sat", **{f"ending{n}": "abcd"[(at + n) % 4] for n in range(4)}, "label": at % 4}
    for at in range(24)
]
TASKS = {
    "wikiann:de": ("unimelb-nlp/wikiann", "de", TAGGED, "eval_f1", "BertForTokenClassification"),
    "squad": ("rajpurkar/squad", "plain_text", ASKED, "eval_f1", "BertForQuestionAnswering"),
    "swag": ("allenai/swag", "regular", SCENES, "eval_accuracy", "BertForMultipleChoice"),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_by_name(task, hub, tiny_model, tmp_path):
    name, subset, rows, headline, cls_name = TASKS[task]
    folder = tmp_path / "data"
    (folder / subset).mkdir(parents=True)
    for split in ("train", "validation"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / subset / f"{split}.parquet")
    files = "\n".join(f"  - split: {split}\n    path: {subset}/{split}.parquet" for split in ("train", "validation"))
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: {subset}\n  data_files:\n{files}\n---\n")
    hub.datasets[name] = folder
    arguments = ["finetune", "--task", task, "--model", str(tiny_model), "--seq-len", "16", "--max-steps", "2"]
    ended = subprocess.run(
        [sys.executable, "-m", "bertkit", *arguments],
        cwd=tmp_path,
        env=hub.env(tmp_path),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    out = tmp_path / "runs" / f"finetune-{task.replace(':', '-')}"
    assert headline in json.loads((out / "eval_results.json").read_text())
    assert json.loads((out / "config.json").read_text())["architectures"] == [cls_name]
