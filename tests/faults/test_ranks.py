"""Ranks that were not started alike, that die, and that freeze: all of them end, and say why in one line."""

import os
import re
import signal
import subprocess
import sys

import accelerate.utils
import pytest
from cli.test_pretrain import SMALL, TEXT, TINY
from helpers.ranks import endings, start_ranks

from bertkit.errors import BertkitError
from bertkit.training import ranks

MEETING = """
import os, signal, sys, time
from datetime import timedelta
from pathlib import Path
import accelerate.utils
from bertkit.errors import BertkitError
from bertkit.training import ranks

# A rank that is slow to start is another matter.
Path("there-" + os.environ["RANK"]).touch()
while len(list(Path().glob("there-*"))) < 2:
    time.sleep(0.01)
ranks.TIMEOUT = timedelta(seconds=5)
try:
    with ranks.together("cpu"):
        ranks.agree({"seed": 42})
        assert ranks.from_main(os.environ["RANK"]) == "0"
        try:
            ranks.agree({"seed": 42, "lr": f"0.{os.environ['RANK']}"})
        except BertkitError as error:
            print(error, file=sys.stderr)
        if os.environ["RANK"] == "1":
            os.kill(os.getpid(), int(sys.argv[1]))
        ranks.agree({"seed": 42})
except BertkitError as error:
    print(error, file=sys.stderr)
"""


@pytest.mark.skipif(os.name == "nt", reason="processes are frozen by a signal")
@pytest.mark.parametrize(
    ("number", "what"),
    [(signal.SIGKILL, "has ended ("), (signal.SIGSTOP, "has not answered for 5 s (Timed out")],
)
def test_a_rank_that_is_killed_or_frozen_ends_the_other_in_one_line(tmp_path, number, what):
    both = start_ranks(tmp_path, [[str(int(number))]] * 2, MEETING)
    [(code, said)] = endings(both[:1], 300)
    both[1].kill()
    last = both[1].communicate()[1]
    differs = (
        "the ranks were not started alike: lr is 0.0 on rank 0 and 0.1 on rank 1; give all of them the same command"
    )
    assert code == 0
    assert [line[: len(differs)] for line in said[:1]] == [differs]
    assert [line[: len(what) + 13] for line in said[1:]] == [f"another rank {what}"]
    assert last.startswith(differs)


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([{}, {}], None),
        ([{"b": "3"}], "b is 2 on rank 0 and 3 on rank 1;"),
        ([{}, {"c": "x"}], "c is None on rank 0 and x on rank 2;"),
        ([{"torch": "0.1", "c": "x"}], r"torch is [\d.]+\S* on rank 0 and 0.1 on rank 1;"),
    ],
)
def test_the_first_difference_is_named_with_both_values(monkeypatch, others, said):
    monkeypatch.setattr(accelerate.utils, "gather_object", lambda mine: [mine[0], *({**mine[0], **o} for o in others)])
    if said is None:
        ranks.agree({"a": 1, "b": 2})
        return
    with pytest.raises(BertkitError, match=re.compile(f"the ranks were not started alike: {said}")):
        ranks.agree({"a": 1, "b": 2})


def test_ranks_of_unlike_commands_both_refuse(tmp_path):
    (tmp_path / "corpus.txt").write_text(TEXT)
    command = ["pretrain", "corpus.txt", "--device", "cpu", "--out", "run", *TINY, "--max-steps"]
    refusal = "the ranks were not started alike: train.max_steps is 8 on rank 0 and 3 on rank 1; give all of them"
    (main, said), (other, other_said) = endings(start_ranks(tmp_path, [[*command, "8"], [*command, "3"]]), 300)
    assert (main, other) == (1, 1)
    assert said[-1].startswith(f"error: {refusal}")
    assert other_said[-1].startswith(f"error (rank 1): {refusal}")
    assert "Traceback" not in str(said + other_said)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_ranks_with_other_held_out_text_both_refuse(tmp_path):
    (tmp_path / "corpus.txt").write_text(TEXT)
    command = ["pretrain", "corpus.txt", "--device", "cpu", "--out", "run", *SMALL, "--max-steps", "2", "--validation"]
    for rank, held_out in enumerate(("a dog ran .\n" * 40, "a cat sat on a mat .\n" * 40)):
        (tmp_path / f"held-out-{rank}.txt").write_text(held_out)
    both = endings(start_ranks(tmp_path, [[*command, f"held-out-{rank}.txt"] for rank in (0, 1)]), 300)
    assert [code for code, _ in both] == [1, 1]
    assert all("the ranks were not started alike: the held-out text is " in said[-1] for _, said in both), both
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


TWICE = """
import torch
from bertkit import hardware
from bertkit.errors import BertkitError
from bertkit.training import ranks

for call, precision in enumerate(("no", "bf16")):
    with ranks.together("cpu"):
        ranks.agree({"call": call})
        accelerator = hardware.build_accelerator("cpu", precision, (), ".")
        assert (accelerator.num_processes, accelerator.mixed_precision) == (2, precision)
        told = accelerator.reduce(torch.tensor([accelerator.process_index + 1.0]), "sum")
        assert float(told) == 3.0
        with accelerator.autocast():
            assert torch.is_autocast_enabled("cpu") == (precision == "bf16")
"""


@pytest.mark.parametrize("launcher", [False, True])
def test_ranks_that_have_made_one_run_make_another(tmp_path, launcher):
    """As in a script that pretrains and then fine-tunes, started by hand or by torchrun."""
    if not launcher:
        both = endings(start_ranks(tmp_path, [[], []], TWICE), 300)
        assert both == [(0, []), (0, [])]
        return
    (tmp_path / "twice.py").write_text(TWICE)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "twice.py"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(torchrun, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


RESTARTED = """
import os, signal
from datetime import timedelta
from bertkit.training import ranks

ranks.TIMEOUT = timedelta(seconds=120)  # what is waited for where the dead are met
attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
with ranks.together("cpu"):
    ranks.agree({"attempt": attempt})
    if attempt < 2 and int(os.environ["RANK"]) == attempt:
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.agree({"attempt": attempt})
os.write(1, b"met %d;" % attempt)  # at once: the ranks share the stream
"""


@pytest.mark.skipif(os.name == "nt", reason="a rank is killed by a signal")
def test_ranks_that_torchrun_starts_anew_meet_one_another_and_not_the_dead(tmp_path):
    (tmp_path / "meeting.py").write_text(RESTARTED)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    result = subprocess.run(
        [*launcher, "--max-restarts", "2", "meeting.py"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("met 2;") == 2
