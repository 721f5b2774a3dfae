"""What tests of the command line need: commands that start in a moment."""

from collections.abc import Callable, Iterator

import pytest
from helpers.forked import Forked


@pytest.fixture(scope="session")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forked]:
    """Starts ``bertkit`` in processes of its own that have imported everything already."""
    with Forked(tmp_path_factory.mktemp("commands")) as started:
        yield started


@pytest.fixture(scope="session")
def bertkit(commands: Forked) -> Callable:
    """Runs ``bertkit`` in a folder to its end: ``bertkit(folder, "pretrain", "corpus.txt")``."""
    return commands.run
