"""kill -9 at random moments, resumed each time: the same weights to the bit, and metrics without gap or double."""

import contextlib
import json
import random
import time

import psutil
import pytest
from cli.test_pretrain import TEXT
from helpers.forked import is_at_work

SMALL = ["--set", "logging_steps=1", "--set", "save_total_limit=2", "--set", "save_steps=7", "--set", "eval_steps=11",
         "--batch-size", "16"]  # fmt: skip
PRETRAIN = ["pretrain", "corpus.txt", "--set", "model.num_hidden_layers=1", "--set", "hidden_size=32", "--set",
            "num_attention_heads=2", "--set", "intermediate_size=32", "--set", "hidden_dropout_prob=0.1", "--set",
            "max_seq_length=[[0.6, 16], [0.4, 32]]", "--set", "validation_split=0.2", *SMALL]  # fmt: skip
FINETUNE = ["finetune", "--train", "rows.csv", "--validation-split", "0.2", "--set", "train.dropout=0.1", "--seq-len",
            "16", "--epochs", "12", *SMALL]  # fmt: skip


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("command", "ranks", "precision", "kills"),
    [
        (PRETRAIN, 1, "no", 3),
        slow(PRETRAIN, 1, "bf16", 20),
        slow(PRETRAIN, 2, "bf16", 6),
        slow(FINETUNE, 1, "bf16", 6),
        slow(FINETUNE, 2, "no", 6),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else str(value),
)
def test_a_run_killed_again_and_again_equals_the_uninterrupted_one(
    commands, tmp_path, tiny_model, command, ranks, precision, kills
):
    (tmp_path / "corpus.txt").write_text(TEXT)
    rows = "".join(f"{'the cat' if i % 2 else 'a dog'} {'abcdefgh'[i % 8]},{i % 2}\n" for i in range(400))
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    command = [*command, "--mixed-precision", precision]
    if "finetune" in command:
        command += ["--model", str(tiny_model)]
    else:
        command += ["--max-steps", str(80 * kills)]
    restarts = 0 if ranks > 1 else -1  # with a launcher, or without
    assert commands.ending(commands.start([*command, "--out", "whole"], restarts=restarts, folder=tmp_path))[0] == 0

    rng, done = random.Random(kills), 0
    killed = tmp_path / "killed"
    again = [*command, "--out", "killed", "--resume"]
    while done < kills:
        process = psutil.Process(commands.start(again, restarts=restarts, folder=tmp_path))
        steps_before = count_lines(killed)
        # Let it get somewhere first, then strike at any moment: in a step, an evaluation, or a checkpoint.
        while is_at_work(process.pid) and count_lines(killed) <= steps_before:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.6))
        finished = not is_at_work(process.pid)
        kill_all(process)
        commands.ending(process.pid)
        if finished:
            break  # it was faster than we
        done += 1
    assert commands.ending(commands.start(again, restarts=restarts, folder=tmp_path))[0] == 0

    run = json.loads((killed / "run.json").read_text())
    assert (run["num_processes"], run["mixed_precision"]) == (ranks, precision)
    assert (killed / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert figures(killed) == figures(tmp_path / "whole")
    assert not list(killed.glob(".tmp-*"))
    assert done >= min(kills, 3)
    print(f"{done} kills, none lost anything")


def kill_all(process):
    """Ends a process and those it has started: the ranks outlive a torchrun that is killed."""
    started = process.children(recursive=True)
    for one in (process, *started):
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(started, timeout=60)


def count_lines(out):
    path = out / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def figures(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in ("seconds", "tokens_per_second", "data_wait")}
        for line in lines
    ]
