"""The processes that torchrun or accelerate has started, as their environment variables say."""

import os

from bertkit.errors import BertkitError


def is_main_process() -> bool:
    """Whether this process prints for the whole run: it is rank 0, or there are no ranks."""
    return _number("RANK") == 0


def check_ranks() -> None:
    """Raises a BertkitError where a launcher's environment variables (RANK and the like) are not numbers."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        _number(name)


def process_count() -> int:
    """How many processes a launcher has started; 1 without a launcher. Raises a BertkitError as ``check_ranks`` does."""
    return _number("WORLD_SIZE") or 1


def check_alone(command: str) -> None:
    """Raises a BertkitError where a launcher has started several processes: each would do and print all of the command."""
    if (processes := process_count()) > 1:
        raise BertkitError(
            f"{command} is done by one process, and a launcher has started {processes} (the environment's WORLD_SIZE): start it "
            "without the launcher, or unset WORLD_SIZE"
        )


def _number(name: str) -> int:
    said = os.environ.get(name, "0")
    if not said.strip().isdecimal():
        raise BertkitError(
            f"the environment's {name} is '{said}', but must be a number: unset it, or start by torchrun or accelerate"
        )
    return int(said)
