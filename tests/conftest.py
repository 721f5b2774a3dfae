"""What several tests need: a hub on loopback, and a BERT small enough to make in a moment."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.hub import Hub

# A shell, or nohup, starts what runs in the background with these ignored, and each child would inherit it: they are tested all
# the same.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

TINY_VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", *"abcdefghij", "the", "cat", "##s", "sat", "."]


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A running stand-in for the hub; give ``hub.env(tmp_path)`` to the child process that is to use it."""
    with Hub() as server:
        yield server


@pytest.fixture(autouse=True)
def own_accelerator() -> None:
    """A test's Accelerator is its own: Accelerate would give it the precision of the first one of the process, which on a
    machine with bf16 depends on the tests before."""
    if state := sys.modules.get("accelerate.state"):
        state.AcceleratorState._reset_state(reset_partial_state=True)  # noqa: SLF001


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of prepared corpora that is empty at the start of each test."""
    monkeypatch.setenv("BERTKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a saved two-layer BERT with random weights, 21 word pieces and 64 rows for them."""
    from bertkit.models.bert import new_bert, save_model
    from bertkit.models.tokenizer import build_tokenizer
    from bertkit.settings.schema import ModelSettings

    settings = ModelSettings(
        num_hidden_layers=2,
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    tokenizer = build_tokenizer(TINY_VOCAB, lowercase=True)
    tokenizer.model_max_length = 32
    folder = tmp_path_factory.mktemp("tiny")
    save_model(new_bert(settings, tokenizer, seed=7), tokenizer, folder)
    return folder
