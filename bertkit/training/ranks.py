"""Several ranks: they train the same or stop, and none waits for ever for one that is gone."""

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

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

T = TypeVar("T")
TIMEOUT = timedelta(minutes=10)
"""How long a rank waits for another: none is ahead by more than a checkpoint's writing, and a frozen one ends the run."""
_VERSIONS = ("torch", "transformers")
_LOST = re.compile(r"gloo|nccl|connection (closed|reset|refused)|broken pipe|socket|clients joined", re.IGNORECASE)
"""In what torch raises, mostly as a plain RuntimeError, where another rank does not answer."""


@contextmanager
def together(device: str) -> Iterator[None]:
    """The ranks of a run, if it has several, joined while the block runs: before they prepare anything.

    So one that ends while it prepares is missed by the others, who would else wait for it to join.

    Args:
        device: as in ``hardware.choose_device``.

    Raises:
        BertkitError: another rank has ended, or has not answered for ``TIMEOUT``.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield
        return
    try:
        _join(device)
        yield
    except RuntimeError as error:
        lost = _lost(error)
        if lost is None:
            raise
        raise lost from error
    from torch import distributed

    distributed.destroy_process_group()  # without this torch complains at exit


def _join(device: str) -> None:
    from accelerate import PartialState

    from bertkit.hardware import choose_device

    on_cpu = choose_device(device) == "cpu"
    if on_cpu:
        # Without this Accelerate takes torchrun's processes on a CPU for so many separate programs.
        os.environ["ACCELERATE_USE_CPU"] = "true"
    PartialState(cpu=on_cpu, timeout=TIMEOUT, **_meeting_place())


def _meeting_place() -> dict[str, Any]:
    """Where ranks that torchrun has started anew meet: apart from where those met that have ended.

    torchrun keeps one store for all its restarts (torch 2.13): the addresses of dead ranks would be read in it, and the
    new ones wait for them.
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
    """What to say where a rank is lost; None for any other error."""
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
    """Compares what the ranks are about to do, and the versions they do it with, in one small exchange.

    Args:
        told: what must be the same on all ranks, by the name under which a difference is reported.

    Raises:
        BertkitError: on every rank, naming the first difference and both values.
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
    """Compares the steps, and whether all ranks see the folder that the main one writes.

    Args:
        out: the run's folder.
        written: a file in it that the main rank writes beforehand.
        step: steps that are done.
        total_steps: of the run.

    Raises:
        BertkitError: on every rank.
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
    """Lets DDP put the gradients into the order in which it will add them up, before the first step.

    It finds that order in its first backward pass, and until then takes another: from three ranks on a sum is rounded by
    where it stands, and a resume's first step would not be that of the run, to the bit.

    Args:
        module: as prepared; its gradients are zero afterwards.
        batch: gives any examples, the same on all ranks; not asked where there is no DDP.
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
