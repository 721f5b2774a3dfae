"""What a model reaches on a task of GLUE, fine-tuned as the experiments of this folder do it."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import bertkit


@dataclass(frozen=True)
class GlueTask:
    """A task, the figure that is looked at, and for how many epochs a model is trained on it."""

    title: str
    metric: str
    epochs: int


GLUE = {
    "sst2": GlueTask("SST-2, accuracy", "accuracy", 1),
    "mrpc": GlueTask("MRPC, F1", "f1", 3),
    "stsb": GlueTask("STS-B, Pearson", "pearson", 3),
    "cola": GlueTask("CoLA, Matthews", "matthews_correlation", 3),
}


def glue_figure(task: str, model: str | Path, data: Path, seed: int, from_scratch: bool = False) -> float:
    """The figure of a task on its validation rows, as a share of 1.

    Args:
        task: one of ``GLUE``.
        model: the pretrained model's folder.
        data: the folder with GLUE's own TSVs.
        seed: of the fine-tuning.
        from_scratch: use the sizes of the model alone, with random weights.
    """
    settings = {"train.seed": seed, "train.epochs": GLUE[task].epochs, "train.from_scratch": from_scratch}
    with tempfile.TemporaryDirectory(prefix="bertkit-glue-") as scratch:
        run = bertkit.finetune(task, data=data, model=str(model), settings=settings, out=Path(scratch) / "run")
    figure: float = run.results[f"eval_{GLUE[task].metric}"]
    return figure
