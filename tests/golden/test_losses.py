"""Training computes what it computed when losses.json was written; `make golden` writes it anew, its diff is to be read."""

import json

import pytest

from golden.losses import FILE, RUNS

# One thread or two, AVX-512 or SSE: the losses of the 50th step differ by 6e-7 at most.
TOLERANCE = 1e-5


@pytest.mark.parametrize("name", RUNS)
def test_losses_are_those_of_before(name, tmp_path, monkeypatch):
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    expected = json.loads(FILE.read_text(encoding="utf-8"))[name]
    assert len(expected) == 50
    assert RUNS[name](tmp_path / "run") == pytest.approx(expected, rel=TOLERANCE)
