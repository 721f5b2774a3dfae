"""bertkit: pretrain a BERT of your own, fine-tune it, and use it anywhere.

The names are imported on first use (PEP 562), so that ``import bertkit`` takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from bertkit.api.training import finetune, inspect, pretrain
    from bertkit.api.using import (
        evaluate,
        explain,
        export,
        import_checkpoint,
        load,
        load_predictor,
        predict,
        serve,
    )
    from bertkit.errors import BertkitError
    from bertkit.inference.explaining import Explanation
    from bertkit.inference.exporting.compare import Exported
    from bertkit.models.import_tf import Imported
    from bertkit.pretraining.collator import DataCollatorForBertPretraining
    from bertkit.training.record import RunRecord

__all__ = [
    "BertkitError",
    "DataCollatorForBertPretraining",
    "Explanation",
    "Exported",
    "Imported",
    "RunRecord",
    "__version__",
    "evaluate",
    "explain",
    "export",
    "finetune",
    "import_checkpoint",
    "inspect",
    "load",
    "load_predictor",
    "predict",
    "pretrain",
    "serve",
]
_HOMES = {
    "BertkitError": "bertkit.errors",
    "DataCollatorForBertPretraining": "bertkit.pretraining.collator",
    "Explanation": "bertkit.inference.explaining",
    "Exported": "bertkit.inference.exporting.compare",
    "Imported": "bertkit.models.import_tf",
    "RunRecord": "bertkit.training.record",
    **dict.fromkeys(("finetune", "inspect", "pretrain"), "bertkit.api.training"),
}

if not TYPE_CHECKING:  # because of this function a type checker would accept any name

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module 'bertkit' has no attribute {name!r}")
        return getattr(import_module(_HOMES.get(name, "bertkit.api.using")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
