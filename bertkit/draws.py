"""Counter-based random numbers: every draw is a pure function of a key and a counter.

The examples of the data, their masks and the dropout of a step are drawn from keys such as (seed, epoch, index). So there
is no generator state: neither the batch split, nor the number of workers or ranks, nor a resume can change what is drawn,
and each example can be made on its own.

The generator is SplitMix64 (Steele, Lea and Flood 2014): output ``i`` of the stream with key ``k`` is
``mix(k + (i + 1) * GOLDEN)``. It is written twice, for Python integers and for NumPy arrays; a test compares the two with
each other and with published numbers.
"""

import numpy as np

MASK64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
_MIX_1, _MIX_2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def mix(value: int) -> int:
    """The finaliser of SplitMix64: a bijection on 64-bit integers, in which each bit depends on all bits."""
    value = ((value ^ (value >> 30)) * _MIX_1) & MASK64
    value = ((value ^ (value >> 27)) * _MIX_2) & MASK64
    return value ^ (value >> 31)


def key(*parts: int) -> int:
    """Combines integers, in order, into one 64-bit key: ``key(seed, epoch, index)``."""
    folded = 0
    for part in parts:
        folded = mix((folded + GOLDEN + mix(part & MASK64)) & MASK64)
    return folded


class Draws:
    """Successive draws from the stream of one key."""

    def __init__(self, *parts: int) -> None:
        self._state = key(*parts)

    def bits(self) -> int:
        """The next 64 random bits."""
        self._state = (self._state + GOLDEN) & MASK64
        return mix(self._state)

    def below(self, n: int) -> int:
        """A uniform integer of 0 … n - 1; each has probability 1 / n up to 2**-64."""
        return (self.bits() * n) >> 64

    def uniform(self) -> float:
        """A uniform number in [0, 1)."""
        return (self.bits() >> 11) * 2.0**-53


def uniform_grid(keys: np.ndarray, stream: int, n: int) -> np.ndarray:
    """The first ``n`` uniform numbers of a stream of each key, computed at once.

    Args:
        keys: uint64 ``[batch]``.
        stream: the number of the stream: different uses of a key need different streams.
        n: how many numbers to draw per key.

    Returns:
        float64 ``[batch, n]`` in [0, 1).
    """
    with np.errstate(over="ignore"):
        start = mix_array(keys + np.uint64(mix(stream)))
        grid = mix_array(start[:, None] + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(GOLDEN))
    return (grid >> np.uint64(11)).astype(np.float64) * 2.0**-53


def mix_array(value: np.ndarray) -> np.ndarray:
    """``mix`` for uint64 arrays of any shape."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(_MIX_1)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(_MIX_2)
    mixed: np.ndarray = value ^ (value >> np.uint64(31))
    return mixed


class Permutation:
    """A permutation of 0 … n - 1 that is determined by a key, and computed instead of stored.

    It is a Feistel network of four rounds on the next even number of bits, applied until the result lies in the range
    (Black and Rogaway 2002). So a shuffled epoch of billions of examples needs no list.
    """

    def __init__(self, n: int, *parts: int) -> None:
        self.n = n
        self._half_bits = max(1, ((n - 1).bit_length() + 1) // 2)
        self._low = (1 << self._half_bits) - 1
        self._round_keys = [key(*parts, round_) for round_ in range(4)]

    def __call__(self, position: int) -> int:
        """The index in the unshuffled order of the element at ``position`` in the shuffled one."""
        while True:
            position = self._network(position)
            if position < self.n:
                return position

    def _network(self, value: int) -> int:
        left, right = value >> self._half_bits, value & self._low
        for round_key in self._round_keys:
            left, right = right, left ^ (mix((round_key + right) & MASK64) & self._low)
        return (left << self._half_bits) | right
