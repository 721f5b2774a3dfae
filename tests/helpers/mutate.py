"""Hostile bytes out of real ones, and what may come of them."""

import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bertkit.errors import BertkitError

_NASTY = [b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b'"', b"{", b"]", b"\t", b",", b"\xed\xa0\x80", b"1e999", b"NaN",
          b"null", b"-1", b"[MASK]", b"\x1b[31m", "\u2028\u202e\U0001f600".encode(), b"A" * 3_000, b"[" * 500]  # fmt: skip


def mutations(real: bytes, cases: int, seed: int) -> Iterator[bytes]:
    """The bytes with one to eight things wrong: flipped, cut, doubled, moved, or with something nasty inside."""
    rng = random.Random(seed)
    for _ in range(cases):
        data = bytearray(real)
        for _ in range(rng.choice([1, 1, 2, 8])):
            at, to = sorted(rng.choices(range(len(data) + 1), k=2))
            to = min(to, at + rng.choice([1, 4, 64, len(data)]))
            kind = rng.randrange(6)
            if kind == 0 and at < len(data):
                data[at] = rng.randrange(256)
            elif kind == 1:
                del data[at:to]
            elif kind == 2:
                data[at:at] = data[at:to]
            elif kind == 3:
                data[at:at] = rng.choice(_NASTY)
            elif kind == 4:
                data[at:to] = rng.randbytes(to - at)
            else:
                del data[at:]
        yield bytes(data)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails where the block hangs (where the system has an alarm clock)."""

    def ring(*_: Any) -> None:
        raise AssertionError(f"took over {seconds} s")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ends_well(call: Callable[[], Any], case: object) -> bool:
    """Whether a call succeeds; a ``BertkitError`` of one line is the only other ending it may have."""
    try:
        with within(20):
            call()
    except BertkitError as error:
        one_line = "\n" not in str(error)
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error} for {case!r}"[:2000]) from error
    else:
        return True
    assert one_line, case
    return False
