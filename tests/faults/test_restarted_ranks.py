"""Ranks that stop or die and are started again, as many or not: the same weights to the bit, or the same losses.

``BERTKIT_KILLS`` says how often a rank under a launcher that restarts them is killed, ``BERTKIT_KILLS_SEED`` which and when.
"""

import os
import random
import signal
import time
from pathlib import Path

import psutil
import pytest
from cli.test_kill_sweep import count_lines, figures
from cli.test_pretrain import TEXT
from helpers.forked import Forked, is_at_work

KILLS = int(os.environ.get("BERTKIT_KILLS", "3"))
SEED = int(os.environ.get("BERTKIT_KILLS_SEED", "1"))
PRETRAIN = ["pretrain", "corpus.txt", "--resume", "--device", "cpu", "--set", "model.num_hidden_layers=1", "--set",
            "hidden_size=16", "--set", "num_attention_heads=2", "--set", "intermediate_size=16", "--seq-len", "16",
            "--set", "validation_split=0.2", "--batch-size", "8", "--set", "logging_steps=1", "--set", "save_steps=5",
            "--set", "eval_steps=7", "--mixed-precision", "no"]  # fmt: skip

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.fixture
def commands(tmp_path):
    (tmp_path / "corpus.txt").write_text(TEXT[:20_000])
    with Forked(tmp_path) as started:
        yield started


def pretrain(steps: int, out: Path, dropout: float = 0.1) -> list[str]:
    dropouts = [f"--set={name}={dropout}" for name in ("hidden_dropout_prob", "attention_probs_dropout_prob")]
    return [*PRETRAIN, "--max-steps", str(steps), "--out", str(out), *dropouts]


def trained_on(commands: Forked, ranks: int, arguments: list[str], out: Path, steps: int, number: int, to: int) -> list:
    """Starts so many ranks, sends one of them a signal once so many steps are logged, and waits; their endings."""
    processes = commands.start_ranks(arguments, ranks)
    while number and count_lines(out) < steps and is_at_work(processes[0]):
        time.sleep(0.01)
    if number:
        os.kill(processes[to], number)
    return [commands.ending(process) for process in processes]


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_ranks_that_stop_or_die_are_resumed_to_the_bit(tmp_path, commands, ranks):
    whole, out = tmp_path / "whole", tmp_path / "out"
    endings = trained_on(commands, ranks, pretrain(40, whole), whole, 0, 0, 0)
    assert [code for code, _ in endings] == [0] * ranks, endings

    # A signal to one rank alone: all of them save and go.
    endings = trained_on(commands, ranks, pretrain(40, out), out, 6, signal.SIGTERM, ranks - 1)
    assert [code for code, _ in endings] == [143] * ranks, endings
    assert endings[0][1].count("the same command with --resume goes on") == 1
    assert list(out.glob("checkpoint-*"))

    before = count_lines(out)
    endings = trained_on(commands, ranks, pretrain(40, out), out, before + 6, signal.SIGKILL, ranks - 1)
    assert [code for code, _ in endings] == [1] * (ranks - 1) + [-signal.SIGKILL], endings
    assert all("has ended (" in said and "Traceback" not in said for _, said in endings[:-1])

    endings = trained_on(commands, ranks, pretrain(40, out), out, 0, 0, 0)
    assert [code for code, _ in endings] == [0] * ranks, endings
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert figures(out) == figures(whole)
    assert not list(tmp_path.rglob(".tmp-*"))


def test_two_ranks_one_and_two_again_have_the_losses_of_one(tmp_path, commands):
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert [code for code, _ in trained_on(commands, 1, pretrain(40, whole, 0), whole, 0, 0, 0)] == [0]
    for ranks, steps in ((2, 8), (1, 22)):
        endings = trained_on(commands, ranks, pretrain(40, out, 0), out, steps, signal.SIGTERM, 0)
        assert [code for code, _ in endings] == [143] * ranks, endings
    assert [code for code, _ in trained_on(commands, 2, pretrain(40, out, 0), out, 0, 0, 0)] == [0, 0]
    alone, elastic = figures(whole), figures(out)
    assert [line["step"] for line in elastic] == [line["step"] for line in alone]
    for one, other in zip(alone, elastic, strict=True):
        for name in one.keys() & {"loss", "mlm_loss", "nsp_loss", "eval_loss", "eval_mlm_loss", "eval_nsp_loss"}:
            assert other[name] == pytest.approx(one[name], abs=1e-4), (one["step"], name)


@pytest.mark.slow
def test_a_launcher_that_restarts_its_ranks_ends_in_the_same_weights_however_often_one_is_killed(tmp_path, commands):
    draw, kills, launches, steps = random.Random(SEED), 0, 0, 400
    whole = tmp_path / "whole"
    code, said = commands.ending(commands.start(pretrain(steps, whole), restarts=0))
    assert code == 0, said
    while kills < KILLS:
        out, launches = tmp_path / f"out-{launches}", launches + 1
        launcher = psutil.Process(commands.start(pretrain(steps, out), restarts=KILLS))
        while kills < KILLS and launcher.status() != psutil.STATUS_ZOMBIE:
            before = count_lines(out)
            # Let it get somewhere, then strike at any moment: in a step, an evaluation, a checkpoint, or the next start.
            while count_lines(out) <= before and launcher.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 1))
            ranks = launcher.children() if launcher.status() != psutil.STATUS_ZOMBIE else []
            if len(ranks) == 2:
                draw.choice(ranks).kill()
                kills += 1
        code, said = commands.ending(launcher.pid)
        assert code == 0, said
        assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
        assert figures(out) == figures(whole)
        assert not list(tmp_path.rglob(".tmp-*"))
    print(f"\nseed {SEED}: {kills} ranks killed in {launches} runs of {steps} steps, each equal to the bit")
