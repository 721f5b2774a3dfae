"""The precision of a run, and what is set before a GPU computes."""

import os

import pytest
import torch

from bertkit.errors import BertkitError
from bertkit.hardware import be_deterministic, choose_device, choose_precision, memory_errors


@pytest.mark.parametrize(
    ("said", "device", "message"),
    [
        ("fp16", "cpu", "ACCELERATE_MIXED_PRECISION fp16 needs a GPU: use bf16 or no on a CPU"),
        ("FP16", "cpu", "ACCELERATE_MIXED_PRECISION fp16 needs a GPU: use bf16 or no on a CPU"),
        ("fp8", "cpu", "ACCELERATE_MIXED_PRECISION is fp8, in which bertkit does not train: set it to no, bf16, fp16"),
        ("fp8", "mps", "ACCELERATE_MIXED_PRECISION is fp8, in which bertkit does not train: set it to no, bf16, fp16"),
        ("x", "cpu", "ACCELERATE_MIXED_PRECISION is x, in which bertkit does not train: set it to no, bf16, fp16"),
    ],
)
def test_a_launcher_s_precision_is_checked_as_a_person_s_is(monkeypatch, said, device, message):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", said)
    with pytest.raises(BertkitError) as caught:
        choose_precision("auto", device)
    assert str(caught.value) == message
    assert choose_precision("no", device) == "no"  # a flag comes first


@pytest.mark.parametrize("wanted", ["gpu", "cpu:0", "cpu:zzz", "cuda:", "cuda:x", "cuda:-1", "auto:1", "mps:0"])
def test_a_device_that_there_cannot_be_is_refused(wanted, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(BertkitError, match=f"no device '{wanted}': use auto, cpu, cuda, cuda:N or mps"):
        choose_device(wanted)


@pytest.mark.parametrize("said", ["no", "bf16"])
def test_a_launcher_s_precision_is_taken_before_the_default(monkeypatch, said):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", said)
    assert choose_precision("auto", "cpu") == said
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "")
    assert choose_precision("auto", "mps") == "no"


@pytest.mark.parametrize(
    ("cpu", "has_bf16", "has_amx", "chosen"),
    [
        ("AMD EPYC", True, False, "bf16"),
        ("AMD EPYC", False, False, "no"),
        ("Intel Xeon", True, True, "bf16"),
        ("Intel Xeon", True, False, "no"),  # one unit for bf16, two for fp32
        ("Intel Xeon", False, False, "no"),
        ("", True, False, "bf16"),  # an older torch does not say whose CPU it is
    ],
)
def test_a_cpu_computes_in_bf16_where_that_is_faster(monkeypatch, cpu, has_bf16, has_amx, chosen):
    monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    known = {"cpu_name": cpu, "amx_bf16": has_amx} if cpu else {}
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: known, raising=False)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: has_bf16)
    assert choose_precision("auto", "cpu") == chosen
    assert choose_precision("bf16", "cpu") == "bf16"  # a person's word comes first


def test_cublas_is_told_what_torch_s_deterministic_algorithms_ask_for(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    be_deterministic()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] in (":4096:8", ":16:8")  # the two that torch takes
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    be_deterministic()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_what_is_said_of_too_little_memory_promises_no_equal_bits():
    told = "lower --micro-batch, which beyond that changes rounding and dropout alone"
    with pytest.raises(BertkitError, match=told), memory_errors():
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")
