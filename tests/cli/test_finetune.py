"""Fine-tuning as a person runs it: the hub over HTTP, own rows, two ranks, a kill, and the figures from all sides."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from safetensors.numpy import load_file

HAPPY, SAD = ["the cat sat", "cat sat the cat", "sat sat cat"], ["a b c", "d e f g", "j i h"]


def rows(n):
    return [((HAPPY if i % 2 else SAD)[i % 3] + " " + "abcdefghij"[i % 10], i % 2) for i in range(n)]


@pytest.fixture
def glue(hub, tiny_model, tmp_path):
    folder = tmp_path / "glue"
    (folder / "sst2").mkdir(parents=True)
    for split, n in (("train", 61), ("validation", 23), ("test", 7)):
        table = {
            "sentence": [text for text, _ in rows(n)],
            "label": [label if split != "test" else -1 for _, label in rows(n)],
        }
        pyarrow.parquet.write_table(pyarrow.table(table), folder / "sst2" / f"{split}-00000-of-00001.parquet")
    config = "\n".join(f"  - split: {s}\n    path: sst2/{s}-*" for s in ("train", "validation", "test"))
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: sst2\n  data_files:\n{config}\n---\n")
    hub.datasets["nyu-mll/glue"] = folder
    hub.models["google-bert/bert-base-uncased"] = tiny_model
    return hub


def started(cwd, environment, *arguments, check=True):
    """Runs bertkit in a process that begins with Python's start, for an environment that libraries read at their import."""
    result = subprocess.run(
        [sys.executable, "-m", "bertkit", *arguments],
        cwd=cwd,
        env={**environment, "COLUMNS": "300"},
        capture_output=True,
        text=True,
    )
    assert not check or result.returncode == 0, result.stderr
    return result


OPTIONS = ["--seq-len", "16", "--batch-size", "8", "--epochs", "3", "--set", "logging_steps=1"]


def test_a_task_from_the_hub_end_to_end_with_the_same_figures_from_every_side(glue, tmp_path):
    environment = glue.env(tmp_path)
    started(tmp_path, environment, "finetune", "--task", "sst2", *OPTIONS)
    out = tmp_path / "runs" / "finetune-sst2"
    expected = {"config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "README.md", "recipe.toml", "run.json",
                "metrics.jsonl", "eval_results.json", "predictions.jsonl"}  # fmt: skip
    assert expected <= {path.name for path in out.iterdir()}
    results = json.loads((out / "eval_results.json").read_text())

    written = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    assert results["eval_accuracy"] == pytest.approx(np.mean([row["prediction"] == row["label"] for row in written]))

    from transformers import pipeline

    classify = pipeline("text-classification", model=str(out))
    answers = classify([text for text, _ in rows(23)])
    names = ["negative", "positive"]
    plain = np.mean([answer["label"] == names[label] for answer, (_, label) in zip(answers, rows(23), strict=True)])
    assert results["eval_accuracy"] == pytest.approx(plain, abs=1e-6)

    evaluated = json.loads(started(tmp_path, environment, "evaluate", str(out), "--task", "sst2", "--json").stdout)
    assert evaluated["eval_accuracy"] == pytest.approx(results["eval_accuracy"], abs=1e-6)
    assert evaluated["eval_loss"] == pytest.approx(results["eval_loss"], abs=1e-6)
    recomputed = -np.mean([np.log(row["probabilities"][row["label"]]) for row in written])
    assert results["eval_loss"] == pytest.approx(recomputed, abs=1e-6)

    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(text for text, _ in rows(5)) + "\n")
    predicted = [
        json.loads(line) for line in started(tmp_path, environment, "predict", str(out), str(lines)).stdout.splitlines()
    ]
    assert [row["index"] for row in predicted] == list(range(5))
    assert [row["prediction"] for row in predicted] == [answer["label"] for answer in answers[:5]]
    for row, answer in zip(predicted, answers, strict=False):
        assert row["probabilities"][answer["label"]] == pytest.approx(answer["score"], abs=1e-5)


def own_files(tmp_path):
    for name, n in (("train.csv", 45), ("held.csv", 17)):
        text = "text,label\n" + "".join(f"{text},{['sad', 'happy'][label]}\n" for text, label in rows(n))
        (tmp_path / name).write_text(text)
    return ["--train", "train.csv", "--validation", "held.csv"]


def weights(out):
    return load_file(out / "model.safetensors")


def test_two_ranks_train_as_one(commands, bertkit, tiny_model, tmp_path):
    arguments = ["finetune", *own_files(tmp_path), "--model", str(tiny_model), *OPTIONS, "--lr", "1e-3",
                 "--set", "train.dropout=0.0", "--mixed-precision", "no"]  # fmt: skip
    bertkit(tmp_path, *arguments, "--out", "one")
    bertkit(tmp_path, *arguments, "--out", "micro", "--micro-batch", "3")
    ranks = commands.start_ranks([*arguments, "--out", "two"], 2, tmp_path)
    assert [commands.ending(rank)[0] for rank in ranks] == [0, 0]
    assert json.loads((tmp_path / "two" / "run.json").read_text())["num_processes"] == 2
    logs = {
        n: [json.loads(x) for x in (tmp_path / n / "metrics.jsonl").read_text().splitlines()]
        for n in ("one", "two", "micro")
    }
    for name in ("two", "micro"):
        for one, other in zip(logs["one"], logs[name], strict=True):
            for figure in one.keys() & {"loss", "grad_norm", "eval_loss", "eval_accuracy"}:
                assert other[figure] == pytest.approx(one[figure], rel=1e-5), (name, one["step"], figure)
        for key, value in weights(tmp_path / "one").items():
            difference = np.linalg.norm(weights(tmp_path / name)[key] - value)
            assert difference <= 1e-5 * np.linalg.norm(value) + 1e-6, (name, key)


def test_a_killed_run_resumes_to_the_very_same_weights(bertkit, tiny_model, tmp_path):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    arguments = ["finetune", *own_files(tmp_path), "--model", str(tiny_model), *OPTIONS, "--set", "save_steps=2"]
    bertkit(tmp_path, *arguments, "--out", "whole")
    killed = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-m", "bertkit", *arguments, "--out", "killed"], cwd=tmp_path, env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not list(killed.glob("checkpoint-*")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    result = bertkit(tmp_path, *arguments, "--out", "killed", "--resume")
    assert "resuming from" in result.stderr or "is finished" in result.stderr
    assert (killed / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()

    def steps(out):
        lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
        return [(line["step"], line.get("loss"), line.get("eval_loss")) for line in lines]

    assert steps(killed) == steps(tmp_path / "whole")


def test_from_scratch_takes_the_sizes_and_none_of_the_weights(tiny_model, tmp_path):
    from bertkit.finetuning.heads.one_class import OneClass
    from bertkit.models.headed import new_headed

    arguments = (OneClass.auto_class, str(tiny_model), OneClass(["a", "b"]).model_config(), None, 1)
    pretrained, scratch = (new_headed(*arguments, from_scratch=flag)[0].state_dict() for flag in (False, True))
    original = load_file(tiny_model / "model.safetensors")
    name = "bert.encoder.layer.0.output.dense.weight"
    assert np.array_equal(pretrained[name], original[name])
    assert scratch[name].shape == pretrained[name].shape
    assert not np.array_equal(scratch[name], original[name])


@pytest.mark.parametrize("ranks", [1, 2])
def test_seeds_report_their_spread_and_the_best_is_the_model(commands, tiny_model, tmp_path, ranks):
    arguments = [
        "finetune",
        *own_files(tmp_path),
        "--model",
        str(tiny_model),
        *OPTIONS,
        "--seeds",
        "2",
        "--out",
        "sweep",
    ]
    started = commands.start_ranks(arguments, ranks, tmp_path)
    assert [commands.ending(rank)[0] for rank in started] == [0] * ranks
    sweep = json.loads((tmp_path / "sweep" / "eval_results.json").read_text())["sweep"]
    assert [run["seed"] for run in sweep["runs"]] == [42, 43]
    figures = [run["eval_accuracy"] for run in sweep["runs"]]
    assert sweep["mean"] == pytest.approx(np.mean(figures))
    assert sweep["standard_deviation"] == pytest.approx(np.std(figures, ddof=1))
    best = f"seed={42 + int(np.argmax(figures))}"
    chosen = tmp_path / "sweep" / "model.safetensors"
    assert chosen.read_bytes() == (tmp_path / "sweep" / best / "model.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "sst3"], "sst2"),
        (["--train", "nope.csv", "--validation", "held.csv"], "no file nope.csv"),
        (["--train", "train.csv", "--validation", "held.csv", "--label", "mood"], "no column 'mood'"),
        (["--train", "train.csv", "--validation", "held.csv", "--seq-len", "64"], "over the 32 positions"),
        (["--task", "sst2", "--train", "train.csv"], "not both"),
        (["--task", "sst2", "--validation", "held.csv"], "a task has held-out rows of its own"),
        (["--task", "sst2", "--validation-split", "0.1"], "a task has held-out rows of its own"),
        (["--train", "train.csv", "--validation", "held.csv", "--validation-split", "0.1"], "not both"),
        (["--train", "train.csv", "--validation", "held.csv", "--set", "validation_split=0.1"], "not both"),
        (["--task", "sst2", "--set", "validation_split=0.1"], "--validation-split goes with --train FILE"),
        (["--train", "train.csv", "--validation", "held.csv", "--data", "."], "--data goes with --task"),
        (["--validation", "held.csv"], "--validation alone does not say what to train on"),
        (["--train", "train.csv", "--validation", "held.csv", "--grid", "learning_rate="], "is not NAME=VALUE,VALUE"),
        (["--train", "train.csv", "--validation", "held.csv", "--grid", "seed=1,2"], "use --seeds N"),
        (
            ["--train", "train.csv", "--validation", "held.csv", "--grid", "learning_rate=1,-1"],
            "a number > 0 and <= 1000, got -1",
        ),
        (["--train", "train.csv", "--validation", "held.csv", "--text-pair", "text"], "--text-pair needs --text"),
    ],
)
def test_bad_input_gets_one_clear_line(bertkit, tiny_model, tmp_path, arguments, message):
    own_files(tmp_path)
    result = bertkit(tmp_path, "finetune", *arguments, "--model", str(tiny_model), check=False)
    assert result.returncode == 1, result.stderr
    assert message in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("error: ")


def test_evaluating_a_model_of_ones_own_rows_asks_for_rows_and_takes_no_others(bertkit, tiny_model, tmp_path):
    bertkit(tmp_path, "finetune", *own_files(tmp_path), "--model", str(tiny_model), "--out", "m", *OPTIONS)
    same = json.loads(bertkit(tmp_path, "evaluate", "m", "--validation", "held.csv", "--json").stdout)
    kept = json.loads((tmp_path / "m" / "eval_results.json").read_text())
    assert same["eval_accuracy"] == kept["eval_accuracy"]
    (tmp_path / "lists.jsonl").write_text('{"text": "a", "label": ["happy"]}\n')
    for more, message in (
        ([], "give --validation FILE"),
        (["--validation", "lists.jsonl"], "is a list of 1, not a class"),
    ):
        result = bertkit(tmp_path, "evaluate", "m", *more, check=False)
        assert (result.returncode, "Traceback" in result.stderr) == (1, False)
        assert message in result.stderr


def test_without_a_hub_one_line_says_what_to_do(tmp_path):
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "home")}
    environment.pop("HF_HUB_OFFLINE", None)
    result = started(tmp_path, environment, "finetune", "--task", "sst2", check=False)
    assert result.returncode == 1
    assert "cannot fetch model 'google-bert/bert-base-uncased'" in result.stderr
    assert "--model embedded" in result.stderr
    assert "--data" in result.stderr
    assert "Traceback" not in result.stderr
