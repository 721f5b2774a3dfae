"""What the machine can do at most, and what a step of BERT asks of it."""

import time
from typing import Any

import torch

_SIDE = 2_048


def peak_flops(device: str, precision: str) -> float:
    """Floating-point operations a second of the largest matrix product tried, in the run's precision: the best of ten."""
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    side = _SIDE * 4 if device == "cuda" else _SIDE
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        started_at_s = time.perf_counter()
        left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started_at_s)
    return 2 * side**3 / best


def step_flops(config: Any, tokens: int, length: int, masked: int) -> float:
    """Operations of a forward and backward pass that must be made (PaLM, appendix B; the MLM head at masked positions).

    Args:
        config: of the BERT.
        tokens: real ones, padding not counted.
        length: tokens a sequence, which each attends to.
        masked: predicted tokens.
    """
    hidden, layers = config.hidden_size, config.num_hidden_layers
    weights = layers * (4 * hidden**2 + 2 * hidden * config.intermediate_size)
    head = hidden**2 + hidden * config.vocab_size
    return 6.0 * (weights * tokens + head * masked) + 12.0 * layers * hidden * length * tokens
