"""The accelerate configurations that ship with the recipes are ones that accelerate itself takes."""

from pathlib import Path

import pytest
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


def test_all_of_them_are_tested():
    assert {path.stem for path in FOLDER.iterdir()} == {"one-machine", "several-machines", "fsdp"}
