"""The disk space that a model's folder takes, checked before it is written."""

import shutil
from pathlib import Path

from bertkit.errors import BertkitError


def check_space(out: Path, needed: int) -> None:
    """Refuses a folder whose weights would not fit on its disk.

    Args:
        out: the folder, which may not be there yet.
        needed: bytes.

    Raises:
        BertkitError: the disk is too small; the message says what is needed and what is free.
    """
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise BertkitError(
            f"{place} has {free / 1e9:,.2f} GB free, and the weights take {needed / 1e9:,.2f} GB: free some, or name another "
            "folder with --out"
        )
