"""Data workers on a machine that is short of what they need: the run goes on, or ends in one line that names the way."""

import os
import shutil
import subprocess
import sys

import pytest

from bertkit.corpus import workers
from bertkit.errors import BertkitError

FETCH = """
import torch
from bertkit.errors import BertkitError
from bertkit.training.steps import step_batches

class Plan:
    total_steps = 3
    def examples(self, step):
        return [step]
    def micro_batch_size(self, _):
        return 1
    def fetch(self, references):
        return {"input_ids": torch.ones(1_000_000, dtype=torch.int64)}

try:
    print(sum(int(batch["input_ids"].sum()) for step in step_batches(Plan(), 0, 0, 1, WORKERS, False) for batch, _ in step))
except BertkitError as error:
    print(f"error: {error}")
"""
can_mount = pytest.mark.skipif(
    os.name == "nt" or os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root mounts"
)


def with_shared_memory(options: str, num_workers: int) -> str:
    """What the steps come to where /dev/shm is a small file system of its own."""
    script = f"mount -t tmpfs -o {options} none /dev/shm || exit 99; exec '{sys.executable}' -c \"$0\""
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, FETCH.replace("WORKERS", str(num_workers))],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("no mounts here")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@can_mount
def test_batches_need_no_shared_memory() -> None:
    assert with_shared_memory("size=64k", num_workers=2) == "3000000"


@can_mount
def test_without_any_shared_memory_the_way_out_is_named() -> None:
    said = with_shared_memory("size=4k,nr_inodes=1", num_workers=2)
    assert said.startswith("error: the 2 data workers cannot go on (")
    assert "--set train.num_workers=0" in said
    assert with_shared_memory("size=4k,nr_inodes=1", num_workers=0) == "3000000"


@pytest.mark.skipif(os.name == "nt", reason="limits are of POSIX")
def test_processes_that_prepare_and_cannot_start_are_one_line() -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = os.open(os.devnull, os.O_RDONLY)
    os.close(used)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 2, before[1]))
        with pytest.raises(BertkitError, match=r"cannot start a process .* \(too many open files\): .*ulimit -n"):
            list(workers.in_order(str, [1, 2, 3], processes=2))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
