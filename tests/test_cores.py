"""Cores and waiting threads, held against what OpenMP says of itself and what the kernel's files mean."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from joblib.externals.loky import cpu_count

from bertkit import cores

# What GNU's OpenMP read from the environment is what it prints when it is loaded, before torch runs anything.
DOOR = "from bertkit import cores; cores.share_cores(); import torch; print(torch.get_num_threads())"


@pytest.mark.skipif(sys.platform != "linux", reason="control groups, and GNU's OpenMP, are Linux's")
@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, float("inf")),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, float("inf")),
        ({}, float("inf")),
    ],
)
def test_a_limit_of_a_container_is_read(
    files: dict[str, str], limit: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(cores, "_CGROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    assert cores.usable_cores() == {1.5: 2, 0.5: 1}.get(limit, 4)


def test_the_cores_are_those_that_loky_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT", raising=False)
    assert cores.usable_cores() == cpu_count()


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP")
@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "77"}, "77"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")],
)
def test_openmp_is_told_how_to_wait_unless_somebody_said(given: dict[str, str], spins: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE", **given}
    result = subprocess.run(
        [sys.executable, "-c", DOOR], env=environment, capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert f"GOMP_SPINCOUNT = '{spins}'" in result.stderr
    assert int(result.stdout) <= cores.usable_cores()
