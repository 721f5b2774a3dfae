"""kill -9 at random moments, resumed each time: the same weights to the bit, and metrics without gap or double."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from cli.test_pretrain import TEXT

OPTIONS = ["--set", "model.num_hidden_layers=1", "--set", "hidden_size=32", "--set", "num_attention_heads=2",
           "--set", "intermediate_size=32", "--set", "hidden_dropout_prob=0.1", "--set", "max_seq_length=[[0.6, 16], [0.4, 32]]",
           "--batch-size", "16", "--max-steps", "300", "--set", "save_steps=7", "--set", "eval_steps=11",
           "--set", "logging_steps=1", "--set", "validation_split=0.2", "--set", "save_total_limit=2"]  # fmt: skip


def command(out, *more):
    return [sys.executable, "-m", "bertkit", "pretrain", "corpus.txt", "--out", out, *OPTIONS, *more]


@pytest.mark.parametrize(
    ("kills", "seed"),
    [(3, 1), pytest.param(20, 2, marks=pytest.mark.slow)],
)
def test_a_run_killed_again_and_again_equals_the_uninterrupted_one(tmp_path, kills, seed):
    (tmp_path / "corpus.txt").write_text(TEXT)
    environment = {
        **os.environ,
        "BERTKIT_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    quiet = {"cwd": tmp_path, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command("whole"), check=True, **quiet)

    rng, done = random.Random(seed), 0
    killed = tmp_path / "killed"
    while done < kills:
        process = subprocess.Popen(command("killed", "--resume"), **quiet)
        steps_before = count_lines(killed)
        # Let it get somewhere first, then strike at any moment: in a step, an evaluation, or a checkpoint.
        while process.poll() is None and count_lines(killed) <= steps_before:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.6))
        if process.poll() is not None:
            break  # it was faster than we
        process.send_signal(signal.SIGKILL)
        process.wait()
        done += 1
    subprocess.run(command("killed", "--resume"), check=True, **quiet)

    assert (killed / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert figures(killed) == figures(tmp_path / "whole")
    assert not list(killed.glob(".tmp-*"))
    print(f"{done} kills, none lost anything")


def count_lines(out):
    path = out / "metrics.jsonl"
    return path.read_text().count("\n") if path.exists() else 0


def figures(out):
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in ("seconds", "tokens_per_second")} for line in lines
    ]
