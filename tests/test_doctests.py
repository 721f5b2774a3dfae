"""The examples in docstrings, run as they stand; those that need a run of one's own are left out by name."""

import doctest
import importlib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bertkit"
NEED_A_RUN = {
    "bertkit.finetuning.predictor",
    "bertkit.inference.mask_filling.filler",
    "bertkit.inference.scoring",
    "bertkit.inference.embedding",
    "bertkit.pretraining.collator",
}
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
}


def test_what_is_left_out_has_examples() -> None:
    assert NEED_A_RUN < MODULES


@pytest.mark.parametrize("name", sorted(MODULES - NEED_A_RUN))
def test_examples_say_what_comes_of_them(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert not result.failed, capsys.readouterr().out
