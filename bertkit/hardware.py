"""The device, the precision and the ranks of a run, through Accelerate."""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from bertkit.errors import BertkitError

if TYPE_CHECKING:
    from accelerate import Accelerator

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Names of glibc's malloc.h."""


def choose_device(wanted: str | None) -> str:
    """The device type to run on: "cpu", "cuda" or "mps"; None or "auto" takes the best there is.

    Raises:
        BertkitError: a device that this machine, or this build of torch, does not have.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind = (wanted or "auto").split(":")[0]
    if kind == "auto":
        if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes"):
            return "cpu"
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if kind not in available:
        raise BertkitError(f"no device '{wanted}': use auto, cpu, cuda, cuda:N or mps")
    if available[kind] and kind == "cuda" and ":" in str(wanted):
        number = int(str(wanted).partition(":")[2])
        if number >= torch.cuda.device_count():
            raise BertkitError(f"no device '{wanted}': this machine has cuda:0 to cuda:{torch.cuda.device_count() - 1}")
        torch.cuda.set_device(number)
    if not available[kind]:
        there = ", ".join(name for name, here in available.items() if here)
        raise BertkitError(f"no device '{wanted}' on this machine (torch {torch.__version__} sees: {there})")
    return kind


def choose_precision(wanted: str, device: str) -> str:
    """The precision of the matrix products: "auto" is bf16 where the hardware computes it natively, else "no".

    Raises:
        BertkitError: fp16 or bf16 on a device that cannot.
    """
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device == "cpu":
        native = bool(torch.cpu._is_avx512_bf16_supported())  # noqa: SLF001
    else:
        native = False
    if wanted == "auto":
        # An ACCELERATE_MIXED_PRECISION of the launcher comes before our default, a flag before both.
        return os.environ.get("ACCELERATE_MIXED_PRECISION") or ("bf16" if native else "no")
    if wanted == "fp16" and device == "cpu":
        raise BertkitError("mixed_precision fp16 needs a GPU: use bf16 or no on a CPU")
    if wanted == "bf16" and device == "cuda" and not native:
        raise BertkitError("mixed_precision bf16 is not computed by this GPU: use fp16 or no")
    return wanted


def build_accelerator(device: str, precision: str, trackers: tuple[str, ...], folder: str) -> "Accelerator":
    """An Accelerator for this process; several are ranks of one run (see ``training.ranks``).

    Raises:
        BertkitError: a tracker's package is not installed.
    """
    from accelerate import Accelerator

    for name in trackers:
        if find_spec(name) is None:
            raise BertkitError(f"--track {name} needs its package: pip install 'bertkit[{name}]'")
    on_cpu = device == "cpu"
    if on_cpu:
        keep_freed_memory()
    _forget_others(device, precision)
    accelerator = Accelerator(
        cpu=on_cpu, mixed_precision=precision, log_with=list(trackers) or None, project_dir=folder
    )
    # A launcher's setting would divide every loss by it; how a step is split is the loop's own matter.
    accelerator.gradient_accumulation_steps = 1
    return accelerator


def keep_freed_memory() -> None:
    """Has the process keep the memory that it frees, where the system's allocator is glibc's.

    That gives every block of some megabytes back as soon as it is free, and each step would ask for zeroed pages anew.
    Batches of 32 x 128 tokens in bf16 on two cores: 2/128 32,600 tokens/s with that and 39,200 without, 4/256 10,900 and
    11,500 (medians of three and six runs in turns, 2026-11-24); fine-tuning is as fast either way. Whoever sets MALLOC_… has
    chosen otherwise.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def seed_torch(device: torch.device, seed: int) -> None:
    """``torch.manual_seed`` for the CPU and one device; that looks at every kind of device there is, in 0.8 ms."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def _forget_others(device: str, precision: str) -> None:
    """Lets this process make a run on another device or in another precision than its last: Accelerate keeps the first.

    Ranks stay as they were launched: their exchange cannot be begun anew.
    """
    from accelerate.state import AcceleratorState

    if AcceleratorState._shared_state:
        before = AcceleratorState()
        if before.num_processes == 1 and (before.device.type, before.mixed_precision) != (device, precision):
            AcceleratorState._reset_state(reset_partial_state=True)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turns a GPU whose memory is full into one line."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise BertkitError(
            f"out of GPU memory ({error}): lower --micro-batch, which changes nothing else, or use --set "
            "train.gradient_checkpointing=true"
        ) from error


def describe_device(device: str) -> str:
    """The device as a person names it, for run.json and the model card."""
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    if device == "mps":
        return "Apple GPU (MPS)"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"
