"""bertkit: pretrain a BERT of your own, fine-tune it, and use it anywhere.

The names below are imported on first use (PEP 562), so that ``import bertkit`` costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "BertkitError": "bertkit.errors",
    "DataCollatorForBertPretraining": "bertkit.pretraining.collator",
    "pretrain": "bertkit.pretraining.run",
    "MaskFiller": "bertkit.inference.mask_filling.filler",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'bertkit' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
