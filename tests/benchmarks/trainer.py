"""transformers' Trainer, as one would use it."""

import tempfile
import time
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from benchmarks.rounds import Turn
from bertkit.settings.schema import TrainSettings

TRAINER = "transformers' Trainer"


class _Clock(TrainerCallback):
    """When each step ended."""

    def __init__(self) -> None:
        self.ends_at_s: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends_at_s.append(time.perf_counter())


class _Watched(Trainer):
    """Tells how long each step waited for its batch: until a data worker, or this process, had made it."""

    def get_batch_samples(self, *arguments: Any, **more: Any) -> Any:
        started_at_s = time.perf_counter()
        found = super().get_batch_samples(*arguments, **more)
        self.waits_s.append(time.perf_counter() - started_at_s)
        return found

    @cached_property
    def waits_s(self) -> list[float]:
        return []


def arguments_of(folder: str, settings: TrainSettings, device: str, precision: str, **more: Any) -> TrainingArguments:
    """Those of a run that writes nothing and says nothing."""
    return TrainingArguments(
        folder,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=device == "cpu",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        logging_strategy="no",
        **more,
    )


def trainer_turn(
    model: PreTrainedModel,
    collate: Callable[..., Any],
    rows: list[dict[str, Any]],
    settings: TrainSettings,
    steps: int,
    device: str,
    precision: str,
    units: float,
) -> Turn:
    """A run over the rows in order; from the end of the first step to that of the last it does so many units."""
    clock = _Clock()
    with tempfile.TemporaryDirectory(prefix="bertkit-bench-") as folder:
        arguments = arguments_of(
            folder, settings, device, precision, max_steps=steps, train_sampling_strategy="sequential"
        )
        trainer = _Watched(model, arguments, data_collator=collate, train_dataset=rows, callbacks=[clock])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return Turn(units, clock.ends_at_s[-1] - clock.ends_at_s[0], sum(trainer.waits_s[1:steps]))
