"""The device, the precision and the ranks of a run, through Accelerate."""

import ctypes
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from bertkit.errors import BertkitError

if TYPE_CHECKING:
    from accelerate import Accelerator

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Parameters of ``mallopt``, from glibc's malloc.h."""
_PRECISION = "ACCELERATE_MIXED_PRECISION"
_PRECISIONS = ("no", "bf16", "fp16")


def choose_device(wanted: str | None) -> str:
    """The type of device to run on: "cpu", "cuda" or "mps".

    Args:
        wanted: a device such as "cuda:1"; None or "auto" takes the best one available.

    Raises:
        BertkitError: there is no such device, or not on this machine, or this build of torch does not have it.
    """
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    kind, colon, number = (wanted or "auto").partition(":")
    if kind == "auto" and not colon:
        if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes"):
            return "cpu"
        return next(name for name in ("cuda", "mps", "cpu") if available[name])
    if kind not in available or (colon and not (kind == "cuda" and number.isdecimal())):
        raise BertkitError(f"no device '{wanted}': use auto, cpu, cuda, cuda:N or mps")
    if not available[kind]:
        there = ", ".join(name for name, here in available.items() if here)
        raise BertkitError(f"no device '{wanted}' on this machine (torch {torch.__version__} sees: {there})")
    if colon:
        if int(number) >= torch.cuda.device_count():
            raise BertkitError(f"no device '{wanted}': this machine has cuda:0 to cuda:{torch.cuda.device_count() - 1}")
        torch.cuda.set_device(int(number))
    return kind


def choose_precision(wanted: str, device: str) -> str:
    """The precision of the matrix products: "bf16", "fp16" or "no" (fp32).

    Args:
        wanted: one of these, or "auto": what ACCELERATE_MIXED_PRECISION says, as a launcher sets it; without it bf16 where
            the hardware computes it natively, and on a CPU faster than fp32, else "no".
        device: "cpu", "cuda" or "mps".

    Raises:
        BertkitError: the device cannot compute in that precision, or the variable names no such precision.
    """
    given = os.environ.get(_PRECISION, "").lower() if wanted == "auto" else ""
    name = _PRECISION if given else "mixed_precision"
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device == "cpu":
        native = _gains_by_bf16()
    else:
        native = False
    chosen = given or wanted
    if chosen == "auto":
        return "bf16" if native else "no"
    if chosen not in _PRECISIONS:
        raise BertkitError(f"{name} is {chosen}, in which bertkit does not train: set it to {', '.join(_PRECISIONS)}")
    if chosen == "fp16" and device == "cpu":
        raise BertkitError(f"{name} fp16 needs a GPU: use bf16 or no on a CPU")
    if chosen == "bf16" and device == "cuda" and not native:
        raise BertkitError(f"{name} bf16 is not computed by this GPU: use fp16 or no")
    return chosen


def _gains_by_bf16() -> bool:
    """Whether this CPU multiplies faster in bf16 than in fp32: with a matrix unit (AMX), or by the AVX-512 of AMD.

    Intel's AVX-512 has bf16 in one of the two units that it has for fp32, with twice the products a cycle: that is no gain, and
    rounding costs. On a Xeon whose matrix unit is hidden from a virtual machine, bf16 had 0.65 to 0.80 of the speed of fp32
    (docs/measurements.md).
    """
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # an older torch has none
    if known.get("amx_bf16"):
        return True
    return bool(torch.cpu._is_avx512_bf16_supported()) and "Intel" not in known.get("cpu_name", "")  # noqa: SLF001


def be_deterministic() -> None:
    """Has cuBLAS compute the same each time. It reads this when it starts, so a run calls this before it computes anything.

    Without it torch's deterministic algorithms refuse every matrix product on a GPU.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def build_accelerator(device: str, precision: str, trackers: tuple[str, ...], folder: str) -> "Accelerator":
    """Builds the Accelerator of this process, which may be one of several ranks of a run (see ``training.ranks``).

    Raises:
        BertkitError: the package of a tracker is not installed.
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
    # A launcher's setting would divide every loss by it; bertkit's loop splits steps itself.
    accelerator.gradient_accumulation_steps = 1
    return accelerator


def keep_freed_memory() -> None:
    """Makes glibc's allocator keep the memory that the process frees; with other allocators nothing is done.

    glibc gives every block of some megabytes back to the system as soon as it is freed, and each step would have to ask
    for zeroed pages again. Measured on batches of 32 x 128 tokens in bf16, on two cores: a BERT of 2 layers, 128 wide,
    trains on 32,600 tokens/s if memory is given back and 39,200 if it is kept, one of 4 layers, 256 wide, on 10,900 and
    11,500 (medians of three and six runs, in turns, 2026-11-24). Fine-tuning is as fast either way. If a MALLOC_… variable
    is set, it is left as it is.
    """
    if sys.platform != "linux" or any(name.startswith("MALLOC_") for name in os.environ):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def seed_torch(device: torch.device, seed: int) -> None:
    """Seeds torch on the CPU and on one device. (``torch.manual_seed`` seeds every kind of device, which takes 0.8 ms.)"""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def _forget_others(device: str, precision: str) -> None:
    """Lets this process start a run on another device or in another precision, as Accelerate would keep the first ones.

    Several ranks keep their process group, and with it the device: it cannot be started again.
    """
    from accelerate.state import AcceleratorState

    if AcceleratorState._shared_state:
        before = AcceleratorState()
        if (before.device.type, before.mixed_precision) != (device, precision):
            AcceleratorState._reset_state(reset_partial_state=before.num_processes == 1)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Turns the error of a GPU without enough memory into a BertkitError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise BertkitError(
            f"out of GPU memory ({error}): lower --micro-batch, which beyond that changes rounding and dropout alone, "
            "or use --set train.gradient_checkpointing=true"
        ) from error


def describe_device(device: str) -> str:
    """The name of the device for people, as in run.json and the model card."""
    if device == "cuda":
        return str(torch.cuda.get_device_name())
    if device == "mps":
        return "Apple GPU (MPS)"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads > 1 else ''}"
