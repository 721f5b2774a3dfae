"""The processor cores that this process may use, and how torch's threads wait for each other on them."""

import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_SPINS = "10000"
_CHOSEN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def usable_cores() -> int:
    """The cores that this process may use: its affinity, and no more than a container's CPU limit, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(cores, _cpu_limit(_CGROUPS)))


def share_cores() -> None:
    """Sets, before torch is loaded, how its threads wait and how many they are; what the environment says already stays.

    GNU's OpenMP lets a thread that waits for others go round a loop 300,000 times (some 10 ms) before it sleeps. On a machine
    that does other work the awaited one has no core meanwhile, and that at each of the hundreds of matrix products of a
    step. With 10,000 rounds a quiet machine is as fast, and a busy one several times faster (docs/measurements.md). A
    container's CPU limit is unknown to OpenMP: more threads than it allows are stopped for most of each period.
    """
    if not any(name in os.environ for name in _CHOSEN):
        os.environ["GOMP_SPINCOUNT"] = _SPINS
    if usable_cores() < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))


def _cpu_limit(cgroups: Path) -> float:
    """A control group's limit in cores, infinity where there is none: ``cpu.max`` of version 2, ``cpu.cfs_…`` of version 1."""
    try:
        if (cgroups / "cpu.max").exists():
            quota_us, period_us = (cgroups / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota_us = (cgroups / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii")
            period_us = (cgroups / "cpu/cpu.cfs_period_us").read_text(encoding="ascii")
        return int(quota_us) / int(period_us) if int(quota_us) > 0 else math.inf
    except (OSError, ValueError):  # no control groups, or "max"
        return math.inf
