"""The disk space that a folder takes, checked before it is written."""

import shutil
from pathlib import Path

from bertkit.errors import BertkitError


def check_space(out: Path, needed: int, what: str = "the weights take", or_else: str = "") -> None:
    """Refuses a folder that would not fit on its disk.

    Args:
        out: the folder, which may not be there yet. What lies in it counts as free.
        needed: bytes.
        what: what takes the space, with its verb, for the message.
        or_else: what else would help, for the message.

    Raises:
        BertkitError: the disk is too small; the message says what is needed and what is free.
    """
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    old = sum(path.stat().st_size for path in out.rglob("*") if path.is_file() and not path.is_symlink())
    free = shutil.disk_usage(place).free + old
    if needed > free:
        raise BertkitError(
            f"{place} has {free / 1e9:,.2f} GB free, and {what} {needed / 1e9:,.2f} GB: free some, or name another folder with "
            f"--out{or_else}"
        )
