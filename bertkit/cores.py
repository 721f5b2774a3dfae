"""The processor cores that this process may use, and how torch's threads share them."""

import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_SPINS = "10000"
_CHOSEN = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def usable_cores() -> int:
    """The number of cores that this process may use: its affinity, but no more than a container's CPU limit, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return math.ceil(min(cores, _cpu_limit(_CGROUPS)))


def share_cores() -> None:
    """Sets, before torch is loaded, how many threads it uses and how they wait. Variables that are already set stay.

    In GNU's OpenMP a thread that waits for others runs through a loop 300,000 times (some 10 ms) before it sleeps. On a
    machine that does other work as well, the thread that it waits for may have no core meanwhile, at each of the hundreds
    of matrix products of a step. With 10,000 rounds a quiet machine is as fast, and a busy one several times faster
    (docs/measurements.md). OpenMP does not know a container's CPU limit: with more threads than it allows, all of them
    are stopped for most of the time.
    """
    if not any(name in os.environ for name in _CHOSEN):
        os.environ["GOMP_SPINCOUNT"] = _SPINS
    if usable_cores() < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))


def _cpu_limit(cgroups: Path) -> float:
    """The CPU limit of a control group, in cores; infinity if there is none.

    Read from ``cpu.max`` (version 2 of control groups) or ``cpu.cfs_…`` (version 1).
    """
    try:
        if (cgroups / "cpu.max").exists():
            quota_us, period_us = (cgroups / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota_us = (cgroups / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii")
            period_us = (cgroups / "cpu/cpu.cfs_period_us").read_text(encoding="ascii")
        return int(quota_us) / int(period_us) if int(quota_us) > 0 else math.inf
    except (OSError, ValueError):  # there are no control groups, or the limit is "max"
        return math.inf
