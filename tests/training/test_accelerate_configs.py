"""The accelerate configurations that ship with the recipes are ones that accelerate itself takes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file

FOLDER = Path(__file__).parents[2] / "recipes" / "accelerate"


@pytest.mark.parametrize(
    ("name", "engine", "machines", "processes"),
    [("one-machine", "MULTI_GPU", 1, 8), ("several-machines", "MULTI_GPU", 4, 32), ("fsdp", "FSDP", 1, 8)],
)
def test_accelerate_takes_them(name, engine, machines, processes):
    path = FOLDER / f"{name}.yaml"
    config = load_config_from_file(str(path))
    assert config.distributed_type == engine
    assert (config.num_machines, config.num_processes, config.mixed_precision) == (machines, processes, "bf16")
    assert f"--config_file recipes/accelerate/{name}.yaml" in path.read_text()


def test_the_job_of_kubernetes_is_one_of_two_machines_that_restart():
    job = yaml.safe_load((FOLDER / "pytorchjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    replicas = job["spec"]["pytorchReplicaSpecs"]
    assert {name: (one["replicas"], one["restartPolicy"]) for name, one in replicas.items()} == {
        "Master": (1, "OnFailure"),
        "Worker": (1, "OnFailure"),
    }
    for one in replicas.values():
        one_pod = one["template"]["spec"]
        [container] = one_pod["containers"]
        assert container["name"] == "pytorch"
        assert container["command"][-1] == "--resume"
        [left] = [one["value"] for one in container["env"] if one["name"] == "TORCH_ELASTIC_SHUTDOWN_TIMEOUT"]
        assert 60 < int(left) < one_pod["terminationGracePeriodSeconds"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in one_pod["volumes"]}


SLOW = """
import os, signal, sys, time
def save(*_):
    time.sleep(3)
    os.write(1, b"saved;")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
os.write(1, b"at work;")
time.sleep(600)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(("seconds", "saved"), [("1", False), ("60", True)])
def test_torchrun_leaves_its_ranks_as_long_to_save_as_the_variable_says(tmp_path, seconds, saved):
    (tmp_path / "slow.py").write_text(SLOW)
    launcher = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1", "slow.py"],
        cwd=tmp_path,
        env={**os.environ, "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": seconds},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert launcher.stdout.read(8) == "at work;"
    launcher.terminate()
    assert (launcher.communicate(timeout=60)[0] == "saved;") is saved


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(("ending", "requeued"), [(138, True), (1, False), (0, False)])
def test_the_batch_script_passes_the_signal_on_and_asks_for_the_queue_again(tmp_path, ending, requeued):
    # Stand-ins for Slurm's commands: srun runs until SIGUSR1 comes, and scontrol writes down what it is asked.
    waits = f"trap 'exit {ending}' USR1; touch started; while :; do sleep 0.05; done"
    for name, body in (("srun", waits), ("scontrol", 'echo "$@" >> asked; echo node1')):
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "n",
    }
    script = subprocess.Popen(["bash", str(FOLDER / "slurm.sbatch"), "corpus"], cwd=tmp_path, env=environment)
    while not (tmp_path / "started").exists():
        time.sleep(0.02)
    script.send_signal(signal.SIGUSR1)
    assert script.wait(30) == ending
    assert ("requeue 7" in (tmp_path / "asked").read_text()) is requeued


def test_all_of_them_are_tested():
    assert {path.name for path in FOLDER.iterdir()} == {
        "one-machine.yaml", "several-machines.yaml", "fsdp.yaml", "pytorchjob.yaml", "slurm.sbatch", "two-machines.sh",
    }  # fmt: skip
    subprocess.run(["bash", "-n", str(FOLDER / "two-machines.sh")], check=True)
