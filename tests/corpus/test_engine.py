"""Ray's tasks: the same bytes with a worker killed, and one line for what goes wrong. Without Ray, what is said."""

import os
import re
import signal
import socket
from functools import partial
from importlib.util import find_spec

import pytest
from helpers.stores import SPECIAL

from bertkit.corpus import preparation
from bertkit.corpus.engine import ray_engine
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.prepare import prepare
from bertkit.corpus.sources import find_sources
from bertkit.errors import BertkitError
from bertkit.models.tokenizer import build_tokenizer

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (the extra bertkit[ray])")


@pytest.fixture(autouse=True)
def _own_cluster(own_cache, monkeypatch):  # noqa: ARG001
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def tokenizer():
    return build_tokenizer([*SPECIAL, *"abcdefghij.", *(f"##{letter}" for letter in "abcdefghij")], lowercase=True)


@pytest.mark.skipif(find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_one_line_says_how_to_get_it():
    with (
        pytest.raises(BertkitError, match=r"cannot import ray \(.*\): pip install 'bertkit\[ray\]'"),
        ray_engine(),
    ):
        pass


@needs_ray
def test_a_cluster_that_cannot_be_reached_is_one_line(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    before = signal.getsignal(signal.SIGTERM)
    with (
        pytest.raises(BertkitError, match=f"no Ray cluster at {address}: .*; set RAY_ADDRESS to HOST:PORT"),
        ray_engine(),
    ):
        pass
    assert signal.getsignal(signal.SIGTERM) is before


@needs_ray
@pytest.mark.filterwarnings("default")
def test_with_a_worker_killed_the_bytes_are_the_same_and_bad_input_is_one_line(tmp_path, monkeypatch, capfd):
    """One cluster for all: it takes ten seconds to start."""
    import ray

    monkeypatch.setattr(preparation, "PART_BYTES", 1)
    for number in range(6):
        (tmp_path / f"{number}.txt").write_text(f"abc{'defghij'[number]} abc. ab cd!\n\n" * 50)
    sources = find_sources([str(tmp_path / "*.txt")])
    whole = prepare(Preparation(sources), tokenizer(), out=tmp_path / "whole")
    log = tmp_path / "log"
    log.mkdir()

    def dying(engine, work, parts):
        def dies_once(part):
            name, kind = part.sources[0].path.stem, getattr(work, "func", work).__name__
            tries = len(list(log.glob(f"{kind}-{name}-*")))
            (log / f"{kind}-{name}-{tries}").touch()
            done = work(part)
            if name == "3" and tries == 0 and kind == "_prepared":
                os.kill(os.getpid(), signal.SIGKILL)  # when its store is written, and not yet sent
            return done

        return engine(dies_once, parts)

    with ray_engine() as engine:
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        parted = prepare(Preparation(sources, engine=partial(dying, engine)), tokenizer(), out=tmp_path / "parted")
        assert {path.name: path.read_bytes() for path in parted.folder.iterdir()} == {
            path.name: path.read_bytes() for path in whole.folder.iterdir()
        }
        tried = [path.name.split("-")[1] for path in log.glob("_prepared-*")]
        assert sorted(tried) == ["0", "1", "2", "3", "3", "4", "5"]
        said = capfd.readouterr()
        # On a slow machine there are lines of progress as well.
        lines = [line for line in said.err.splitlines() if not line.startswith(("hashing: ", "preparing: "))]
        assert len(lines) == 1
        assert re.fullmatch(
            r"warning: part 4 of 6 \(\S+3\.txt\) failed: its .* was lost \(\w+\); trying again", lines[0]
        )
        assert said.out == ""
        (tmp_path / "2.txt").write_bytes(b"ab\0cd")
        with pytest.raises(
            BertkitError, match=r"^part 3 of 6 \(\S*2\.txt\) failed 3 times: \S*2\.txt:1 holds a NUL byte"
        ):
            prepare(Preparation(sources, engine=partial(dying, engine)), tokenizer(), out=tmp_path / "other")

        def dies(part):
            os.kill(os.getpid(), signal.SIGKILL)

        with pytest.raises(
            BertkitError, match=r"^part 1 of 1 \(\S*0\.txt … \S*5\.txt\) failed 3 times: its process or machine"
        ):
            list(engine(dies, [Preparation(sources)]))
        with pytest.raises(
            ray.exceptions.RayTaskError, match="ZeroDivisionError"
        ):  # a fault of ours keeps its traceback
            list(engine(lambda _: 1 // 0, [Preparation(sources)]))
