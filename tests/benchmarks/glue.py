"""What a model reaches on a task of GLUE, fine-tuned as the experiments of this folder do it."""

import tempfile
from pathlib import Path

import bertkit

_METRICS = {"sst2": "accuracy", "mrpc": "f1"}
_EPOCHS = {"sst2": 1, "mrpc": 3}
TASKS = tuple(_METRICS)


def glue_figure(task: str, model: str | Path, data: Path, seed: int, from_scratch: bool = False) -> float:
    """Accuracy on SST-2's validation set, or F1 on that of MRPC (0 to 1).

    Args:
        task: one of ``TASKS``.
        model: the pretrained model's folder.
        data: the folder with GLUE's own TSVs.
        seed: of the fine-tuning.
        from_scratch: use the sizes of the model alone, with random weights.
    """
    settings = {"train.seed": seed, "train.epochs": _EPOCHS[task], "train.from_scratch": from_scratch}
    with tempfile.TemporaryDirectory(prefix="bertkit-glue-") as scratch:
        run = bertkit.finetune(task, data=data, model=str(model), settings=settings, out=Path(scratch) / "run")
    figure: float = run.results[f"eval_{_METRICS[task]}"]
    return figure
