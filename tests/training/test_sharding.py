"""Weights sharded by FSDP over two CPU ranks: the losses and weights of one process, and its checkpoints."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate import Accelerator
from helpers.toy import toy_job
from safetensors.numpy import load_file

from bertkit.errors import BertkitError
from bertkit.training.loop import fit
from bertkit.training.metrics_log import read_metrics


def sharded(tmp_path, name, optimizer, resume_from=None, *, engine="fsdp", precision="no"):
    script = Path(__file__).parent.parent / "helpers" / "sharded_run.py"
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    result = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script),
         str(tmp_path), name, optimizer, engine, precision, *([str(resume_from)] if resume_from else [])],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


def assert_same(one, other):
    for line, again in zip(read_metrics(one), read_metrics(other), strict=True):
        for figure in line.keys() & {"loss", "mlm_loss", "nsp_loss", "grad_norm", "eval_loss", "tokens"}:
            assert again[figure] == pytest.approx(line[figure], rel=1e-5), (line["step"], figure)
    weights, others = (load_file(out / "checkpoint-10" / "model.safetensors") for out in (one, other))
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert abs(others[name] - value).max() <= 1e-5 * abs(value).max() + 1e-7, name


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_sharded_over_two_ranks_is_the_same_and_resumes_either_way(tmp_path, optimizer):
    def single(name, resume_from=None):
        accelerator = Accelerator(cpu=True)
        job = toy_job(tmp_path / "store", tmp_path / name, accelerator, save_total_limit=9, optimizer=optimizer)
        fit(job, accelerator, resume_from)

    single("one")
    sharded(tmp_path, "two", optimizer)
    assert_same(tmp_path / "one", tmp_path / "two")

    # What one has begun, the other ends; metrics.jsonl is cut at the step of the checkpoint.
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "metrics.jsonl").write_bytes((tmp_path / "two" / "metrics.jsonl").read_bytes())
    single("a", tmp_path / "two" / "checkpoint-6")
    assert_same(tmp_path / "one", tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "metrics.jsonl").write_bytes((tmp_path / "one" / "metrics.jsonl").read_bytes())
    sharded(tmp_path, "b", optimizer, tmp_path / "one" / "checkpoint-6")
    assert_same(tmp_path / "one", tmp_path / "b")


def test_in_bf16_sharded_ranks_compute_as_whole_ones_do(tmp_path):
    for engine in ("ddp", "fsdp"):
        sharded(tmp_path, engine, "adamw", engine=engine, precision="bf16")
    assert_same(tmp_path / "ddp", tmp_path / "fsdp")


def test_an_engine_that_sums_otherwise_is_refused(tmp_path):
    from accelerate.utils import DistributedType

    class Other:
        distributed_type = DistributedType.DEEPSPEED

    with pytest.raises(BertkitError, match="DEEPSPEED, which bertkit does not train on"):
        fit(toy_job(tmp_path / "store", tmp_path / "run", Accelerator(cpu=True)), Other(), None)
