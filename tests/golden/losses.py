"""The losses of 50 steps in fp32 of the tiny recipe and of a classifier: ``python -m golden.losses`` writes them anew."""

import json
import tempfile
from pathlib import Path
from typing import Any

from bertkit.assets import EMBEDDED_LABELLED
from bertkit.finetuning.request import FinetuneRequest
from bertkit.finetuning.run import finetune
from bertkit.pretraining.run import PretrainRequest, pretrain
from bertkit.settings.recipes import Override
from bertkit.training.metrics_log import read_metrics

FILE = Path(__file__).with_suffix(".json")
_ALL = {"train.max_steps": 50, "train.logging_steps": 1, "train.eval_steps": 50, "train.mixed_precision": "no"}
_ADAMW = {"train.optimizer": "adamw", "train.learning_rate": 2e-3}


def pretraining_losses(out: Path) -> list[float]:
    """Of recipe tiny with AdamW on the embedded stories, with a vocabulary of its own, in batches of 32."""
    settings = _overrides({**_ADAMW, "train.batch_size": 32, "tokenizer.vocab_size": 2_000})
    pretrain(PretrainRequest(out=out, recipe="tiny", overrides=settings, device="cpu"))
    return _losses(out)


def classifier_losses(out: Path) -> list[float]:
    """The losses of the embedded model, on sentences and scrambled ones, with its dropout, in batches of 16."""
    finetune(
        FinetuneRequest(
            train=str(EMBEDDED_LABELLED / "train.tsv"),
            validation=str(EMBEDDED_LABELLED / "validation.tsv"),
            model="embedded",
            out=out,
            overrides=_overrides({"train.batch_size": 16, "train.learning_rate": 1e-4}),
            device="cpu",
        )
    )
    return _losses(out)


RUNS = {"pretraining": pretraining_losses, "classifier": classifier_losses}


def _overrides(settings: dict[str, Any]) -> list[Override]:
    return [Override(name, value, name) for name, value in (_ALL | settings).items()]


def _losses(out: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(out) if "loss" in line]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        losses = {name: run(Path(folder) / name) for name, run in RUNS.items()}
    FILE.write_text(json.dumps(losses, indent=1) + "\n", encoding="utf-8")
