"""Optional libraries, which come with the extras of the package."""

import importlib
from typing import Any

from bertkit.errors import BertkitError


def import_extra(name: str, extra: str) -> Any:
    """Imports a module of an optional library.

    Args:
        name: the module.
        extra: the extra that installs it, as in ``pip install 'bertkit[onnx]'``.

    Raises:
        BertkitError: the library, or another one that it needs, is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BertkitError(f"cannot import {name} ({error}): pip install 'bertkit[{extra}]'") from None
