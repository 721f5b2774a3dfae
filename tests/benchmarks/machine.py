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


def forward_flops(config: Any, lengths: np.ndarray, wanted: np.ndarray, masked: int = 0) -> float:
    """Operations of a forward pass that must be made (PaLM, appendix B).

    Of tokens whose last state no head reads, the last layer's keys and values are needed alone, and the MLM head is
    counted at masked positions only.

    Args:
        config: of the encoder.
        lengths: tokens of each sequence, padding not counted; each attends to those of its own sequence.
        wanted: of each sequence, those whose last state is read.
        masked: predicted tokens of all sequences.
    """
    hidden, wide = config.hidden_size, config.intermediate_size
    lengths, wanted = lengths.astype(np.float64), wanted.astype(np.float64)

    def layer(asking: np.ndarray) -> np.ndarray:
        projected = 2 * hidden**2 * lengths + (2 * hidden**2 + 2 * hidden * wide) * asking
        attended: np.ndarray = projected + 2 * hidden * lengths * asking
        return attended

    multiplications = (config.num_hidden_layers - 1) * layer(lengths) + layer(wanted)
    head = hidden**2 + hidden * config.vocab_size
    return float(2 * (multiplications.sum() + head * masked))
