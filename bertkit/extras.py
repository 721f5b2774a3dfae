"""Libraries that are not needed by all, and so come with an extra of the package."""

import importlib
from typing import Any

from bertkit.errors import BertkitError


def import_extra(name: str, extra: str) -> Any:
    """A module of a library that an extra brings.

    Args:
        extra: its name, as in ``pip install 'bertkit[onnx]'``.

    Raises:
        BertkitError: it, or a library that it needs, is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BertkitError(f"cannot import {name} ({error}): pip install 'bertkit[{extra}]'") from None
