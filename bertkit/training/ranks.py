"""Several ranks in one run: all train the same or all stop, and none waits forever for one that has ended."""

import atexit
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bertkit import __version__, console
from bertkit.errors import BertkitError
from bertkit.launcher import process_count

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

T = TypeVar("T")
TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for another before the run ends. No rank is ahead of another by more than the time that a
checkpoint takes."""
_VERSIONS = ("torch", "transformers")
_LOST = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe|socket|clients joined", re.IGNORECASE)
"""Words in the errors, mostly plain RuntimeErrors, that torch raises where another rank does not answer."""


@contextmanager
def together(device: str) -> Iterator[None]:
    """Joins the ranks of a run, if it has several, while the block runs.

    They join before they prepare anything: so the others notice where one fails in its preparation, instead of waiting
    for it to join. After the block they stay joined for the next one, until the process ends: in torchrun's store a second
    group would meet what is left of the first.

    Args:
        device: as for ``hardware.choose_device``.

    Raises:
        BertkitError: another rank has ended, or has not answered for ``TIMEOUT``.
    """
    if process_count() < 2:
        yield
        return
    atexit.unregister(_leave)  # where the block fails, the others may not answer any more
    try:
        _join(device)
        yield
    except RuntimeError as error:
        lost = _lost(error)
        if lost is None:
            raise
        raise lost from error
    atexit.register(_leave)


def _leave() -> None:
    """Ends the group; without this torch warns at exit."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def _join(device: str) -> None:
    from accelerate import PartialState

    from bertkit.hardware import choose_device

    kind = choose_device(device)
    on_cpu = kind == "cpu"
    if PartialState._shared_state:
        joined = PartialState().device.type
        if joined != kind:
            raise BertkitError(
                f"the ranks of this process have joined on {joined}: give --device {joined}, or start anew"
            )
        return
    if on_cpu:
        # Without this Accelerate takes torchrun's processes on a CPU for separate programs.
        os.environ["ACCELERATE_USE_CPU"] = "true"
    PartialState(cpu=on_cpu, timeout=TIMEOUT, **_meeting_place())


def _meeting_place() -> dict[str, Any]:
    """Arguments that make ranks which torchrun has restarted meet in a place of their own.

    torchrun keeps one store for all restarts (torch 2.13). Without a prefix of their own the new ranks would read the
    addresses of dead ones there, and wait for them.
    """
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return {}
    from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = TCPStore(address, port, ranks, is_master=False, timeout=TIMEOUT)
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    return {"store": PrefixStore(f"attempt {attempt}", store), "rank": rank, "world_size": ranks}


def _lost(error: RuntimeError) -> BertkitError | None:
    """The error to raise where another rank is lost; None where the error has another cause."""
    from torch import distributed

    if not (isinstance(error, distributed.DistError) or _LOST.search(str(error))):
        return None
    said = re.sub(r"\[\S+\.cc:\d+\] ?", "", " ".join(str(error).split())).partition(". ")[0]
    late = re.search(r"timed? ?out", said, re.IGNORECASE)
    what = f"has not answered for {console.duration(TIMEOUT.total_seconds())}" if late else "has ended"
    return BertkitError(
        f"another rank {what} ({said[:120]}): what it said last says why; the same command with --resume goes on "
        "from the last checkpoint"
    )


def agree(told: Mapping[str, object]) -> None:
    """Checks that all ranks are about to do the same, with the same versions of the libraries.

    Args:
        told: what must be the same on all ranks, by the name under which a difference is reported.

    Raises:
        BertkitError: something differs. It is raised on every rank, and names the first difference and both values.
    """
    from accelerate.utils import gather_object

    versions = {"bertkit": __version__, **{name: metadata.version(name) for name in _VERSIONS}}
    first, *others = gather_object([{name: str(value) for name, value in {**told, **versions}.items()}])
    for rank, other in enumerate(others, 1):
        for name in first | other:
            if first.get(name) != other.get(name):
                raise BertkitError(
                    f"the ranks were not started alike: {name} is {first.get(name)} on rank 0 and {other.get(name)} on "
                    f"rank {rank}; give all of them the same command, data and versions"
                )


def agree_on_start(out: Path, written: Path, step: int, total_steps: int) -> None:
    """Checks that all ranks stand at the same step, and see the folder that the main rank writes.

    Args:
        out: the run's folder.
        written: a file in it that the main rank writes beforehand.
        step: steps that are done.
        total_steps: steps of the whole run.

    Raises:
        BertkitError: the ranks disagree; raised on every rank.
    """
    from accelerate.utils import gather_object, wait_for_everyone

    wait_for_everyone()  # until the main rank has written
    agree({"the number of steps": total_steps})
    seen = [step, written.is_file()]
    if any(other != seen for other in gather_object([seen])) or not seen[1]:
        raise BertkitError(
            f"the ranks do not see the same {out}: on several machines it must be on a file system "
            "that all of them share (--out)"
        )


def settle_sums(accelerator: "Accelerator", module: Any, batch: Callable[[], Mapping[str, "torch.Tensor"]]) -> None:
    """Makes DDP settle, before the first step, in which order it adds up the gradients of the ranks.

    DDP learns that order in its first backward pass, and uses another one until then. With three or more ranks the order
    changes how sums are rounded, so the first step after a resume would not be the same to the bit.

    Args:
        accelerator: runs the backward pass.
        module: the objective as Accelerate prepared it; its gradients are zero afterwards.
        batch: returns any batch, the same on all ranks; it is called only where DDP is used.
    """
    from torch.nn.parallel import DistributedDataParallel

    if isinstance(module, DistributedDataParallel):
        parts = module(**{name: one.to(accelerator.device) for name, one in batch().items()})
        accelerator.backward(sum(value * 0.0 for name, value in parts.items() if name.endswith("loss")))
        module.zero_grad()


def from_main(value: T) -> T:
    """Rank 0's value, on every rank."""
    from accelerate.utils import broadcast_object_list

    shared = [value]
    broadcast_object_list(shared)
    return shared[0]
