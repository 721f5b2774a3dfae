"""What the machine can do at most, and what a step of BERT asks of it."""

import time
from typing import Any

import numpy as np
import torch

_SIDE = 2_048
TRAINING = 3
"""Forward passes that a forward and backward pass is worth."""


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


def forward_flops(config: Any, lengths: np.ndarray, masked: int = 0, first_token_only: bool = False) -> float:
    """Operations of a forward pass that must be made (PaLM, appendix B; the MLM head at masked positions only).

    Args:
        config: of the encoder.
        lengths: tokens of each sequence, padding not counted; each attends to those of its own sequence.
        masked: predicted tokens of all sequences.
        first_token_only: only that one's state is used, so that the last layer needs of the others their keys and
            values alone.
    """
    hidden, wide = config.hidden_size, config.intermediate_size
    layers = config.num_hidden_layers - first_token_only
    lengths = lengths.astype(np.float64)
    multiplications = layers * ((4 * hidden**2 + 2 * hidden * wide) * lengths + 2 * hidden * lengths**2)
    if first_token_only:
        multiplications += 2 * hidden**2 * lengths + 2 * hidden**2 + 2 * hidden * wide + 2 * hidden * lengths
    head = hidden**2 + hidden * config.vocab_size
    return float(2 * (multiplications.sum() + head * masked))
