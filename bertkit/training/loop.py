"""The training loop: optimizer steps over a plan of batches, on Accelerate.

The optimizer step is the unit, and its maths does not depend on the hardware. Each part of a step's loss is a sum over
the step's tokens or rows, divided by their number in the whole step, over all micro-batches and ranks. (A mean of the
micro-batches' means would be another number wherever they hold different numbers of masked tokens.) Everything random
is keyed by the step, so that a resume needs only the weights, the optimizer's moments and the step.
"""

import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from bertkit import console
from bertkit.draws import key
from bertkit.errors import Interrupted
from bertkit.hardware import memory_errors, seed_torch
from bertkit.signals import BrokenOff, StopRequest, stop_on_signals
from bertkit.training import checkpoint, ranks
from bertkit.training.job import Job
from bertkit.training.metrics_log import MetricsLog, trackers
from bertkit.training.nonfinite import Health, check_not_diverged
from bertkit.training.optimizer import build_optimizer, clip_grad_norm, set_learning_rate
from bertkit.training.run_folder import GO_ON, METRICS
from bertkit.training.schedule import Course, learning_rate
from bertkit.training.sharding import Sharding
from bertkit.training.steps import Batch, step_batches
from bertkit.training.sums import Sums, means, part_of, reduced, shown_figures
from bertkit.training.timing import Timing

if TYPE_CHECKING:
    from accelerate import Accelerator


class Fitted(NamedTuple):
    """The outcome of a run."""

    progress: checkpoint.Progress
    objective: Any
    """The objective with the weights of the last step, all of them on every rank."""


def fit(job: Job, accelerator: "Accelerator", resume_from: Path | None) -> Fitted:
    """Trains to the end of the plan.

    Args:
        job: what is trained.
        accelerator: the device, the precision and the ranks.
        resume_from: the checkpoint to continue from; None starts at step 0.

    Raises:
        Interrupted: a signal arrived (see ``signals``); a checkpoint was written first.
        BertkitError: the loss is not finite; the disk cannot be written; the checkpoint belongs to another model.
    """
    with memory_errors():
        return _Run(job, accelerator, resume_from).run()


class _Run:
    """The state of one call of ``fit``."""

    def __init__(self, job: Job, accelerator: "Accelerator", resume_from: Path | None) -> None:
        self.job, self.accelerator, self.settings = job, accelerator, job.settings
        self.progress = checkpoint.read_progress(resume_from) if resume_from else checkpoint.Progress()
        if resume_from:
            checkpoint.load_weights(resume_from, job.objective.model)  # type: ignore[arg-type]
        if self.settings.gradient_checkpointing:
            recompute_activations(job.objective.model)
        torch.use_deterministic_algorithms(self.settings.deterministic)
        self.sharding = Sharding(accelerator, job.objective)
        optimizer = build_optimizer(job.objective.to(accelerator.device), self.settings, job.rate_factors)
        self.module, self.optimizer = accelerator.prepare(job.objective.train(), optimizer)
        if self.settings.torch_compile:
            self.module.compile(dynamic=True)
        if resume_from:
            self._load_optimizer(resume_from)
        self.log = MetricsLog(job.out, accelerator, self.progress)
        # A checkpoint follows the evaluation of its step, but the log may have lost its last line.
        self._logs_again = bool(resume_from) and not self.progress.owes_evaluation and self._evaluates_here()
        self._logs_again = self._logs_again and self.log.lacks_evaluation(self.progress.step)
        ranks.agree_on_start(job.out, job.out / METRICS, self.progress.step, job.plan.total_steps)
        ranks.settle_sums(accelerator, self.module, lambda: job.plan.fetch(job.plan.examples(0)[:2]))
        self.timing = Timing(self.progress.seconds)
        self._saved_step = self.progress.step if resume_from else -1
        self.health = Health(job.out, job.plan, job.settings, accelerator)
        self._signal, self._is_evaluating = 0, False

    def run(self) -> Fitted:
        plan, forecast = self.job.plan, self.job.forecast
        with (
            stop_on_signals(self._answer) as stop,
            trackers(self.accelerator, self.settings, self.job.out),
            console.progress("training", plan.total_steps, "step", self.progress.step) as line,
        ):
            if self.progress.owes_evaluation or self._logs_again:
                self._end_step(stop)
            for micro_batches in self._steps():
                logged = self._train_step(micro_batches, stop)
                self._keep_budget()
                line.total = plan.total_steps
                left_s = forecast.seconds_left(self.progress.step) if forecast else None
                line.update(self.progress.step, logged, left_s)
                self._end_step(stop)
        if self._has_stalled() and self.progress.step < plan.total_steps:
            without = console.counted(self.progress.evaluations_without_gain, "evaluation", "evaluations")
            console.note(
                f"stopped after step {self.progress.step:,} of {plan.total_steps:,}: no better figure in the last {without} "
                "(train.early_stopping_patience)"
            )
        return self._fitted()

    def _end_step(self, stop: StopRequest) -> None:
        """Does what is due after a step: evaluates, saves, and ends the run where a signal asked for it."""
        if self.accelerator.num_processes == 1:  # several ones agree on it at the beginning of a step alone
            self._signal = self._signal or stop.signal_number
        last = self.progress.step == self.job.plan.total_steps
        figures: dict[str, float] = {}
        if self._evaluates_here() or self.progress.owes_evaluation:
            figures = self._evaluate(stop)
        if last or self._has_stalled():
            check_not_diverged(self.sharding.whole(self.module), figures, self.progress.step, self.settings)
        if self._due(self.settings.save_steps) or last or self._signal or self._has_stalled():
            self._save()
        if self._signal:
            raise self._interrupted()

    def _answer(self) -> str:
        if self._is_evaluating:
            return f"leaving the evaluation of step {self.progress.step:,}, saving …"
        return f"finishing step {self.progress.step + 1:,}, saving …"

    def _fitted(self) -> Fitted:
        return Fitted(self.progress, self.sharding.whole(self.module).eval())

    def _steps(self) -> Iterator[list[tuple[Batch, bool]]]:
        """The micro-batches of each step that is left, until the run has stalled; counts the time spent waiting for them."""
        course = None
        while self.progress.step < self.job.plan.total_steps and not self._has_stalled():
            if course is not self.job.plan.course:  # batches fetched ahead belong to the steps as planned before
                course, steps = self.job.plan.course, self._fetched_steps()
            with self.timing.waiting():
                micro_batches = next(steps)
            yield micro_batches

    def _fetched_steps(self) -> Iterator[list[tuple[Batch, bool]]]:
        accelerator, num_workers = self.accelerator, self.settings.num_workers
        on_gpu = accelerator.device.type == "cuda"
        return step_batches(
            self.job.plan,
            self.progress.step,
            accelerator.process_index,
            accelerator.num_processes,
            (2 if on_gpu else 0) if num_workers is None else num_workers,
            pin_memory=on_gpu,
        )

    def _keep_budget(self) -> None:
        """Fits the number of steps to the time that is left.

        Called before a checkpoint is written, as the number is part of the run's state.
        """
        forecast, plan, step = self.job.forecast, self.job.plan, self.progress.step
        total = forecast and forecast.new_total(step, self.timing.seconds)
        if forecast and total:
            self.progress.refits.append([step, total])
            forecast.plan.refit(Course(plan.course.planned_steps, tuple(self.progress.refits)))
            self.log.write({"step": step, "max_steps": total})

    def _train_step(self, micro_batches: list[tuple[Batch, bool]], stop: StopRequest) -> str:
        """Makes one optimizer step; returns the text to show beside the progress bar."""
        step = self.progress.step
        rate = self._set_learning_rate(step)
        counts = self._step_counts(micro_batches, stop)
        sums = self._backward(step, micro_batches, counts)
        limit = self.settings.max_grad_norm or math.inf
        grad_norm = clip_grad_norm(self.accelerator, self.module, limit)
        if self.health.allows(step, sums, counts, grad_norm):
            self.optimizer.step()
        self.progress.skipped_steps += self.health.skipped(step)
        self.module.zero_grad()
        self.progress.step += 1
        self.progress.tokens += int(counts["tokens"])
        self.progress.seconds = self.timing.seconds
        seconds = self.timing.step_made(int(counts["tokens"]))
        if self.job.forecast is not None:
            self.job.forecast.step_made(step, seconds)
        may_be_last = self.job.patience is not None and self._evaluates_here()
        if (
            self._due(self.settings.logging_steps)
            or self.progress.step in (1, self.job.plan.total_steps)
            or may_be_last
        ):
            return self._log_step(sums, counts, rate, grad_norm)
        return ""

    def _set_learning_rate(self, step: int) -> float:
        course, settings = self.job.plan.course, self.settings
        position, planned, warmup = course.position(step), course.planned_steps, settings.warmup
        rate = learning_rate(position, planned, settings.learning_rate, warmup, settings.lr_scheduler_type)
        set_learning_rate(self.optimizer, rate)
        return rate

    def _step_counts(self, micro_batches: list[tuple[Batch, bool]], stop: StopRequest) -> dict[str, float]:
        """What each part of the step's loss is divided by, and its "tokens" without padding, over all ranks.

        In the same exchange the ranks learn whether one of them was asked to stop.
        """
        mine: dict[str, float] = {"tokens": 0, "signal": stop.signal_number}
        for batch, real in micro_batches:
            for part, n in self.job.objective.counts(batch).items():  # type: ignore[operator]
                mine[part] = mine.get(part, 0) + n * real
            mine["tokens"] += int(batch["attention_mask"].sum()) * real
        if self.accelerator.num_processes > 1:
            numbers = torch.tensor(list(mine.values()), dtype=torch.float64, device=self.accelerator.device)
            signals = self.accelerator.gather(numbers[1:2])
            totals = self.accelerator.reduce(numbers, "sum").tolist()
            mine = dict(zip(mine, totals, strict=True))
            mine["signal"] = int(signals.max())
        self._signal = int(mine.pop("signal"))
        return mine

    def _backward(self, step: int, micro_batches: list[tuple[Batch, bool]], counts: dict[str, float]) -> Sums:
        """Accumulates the gradient of the step's loss over this rank's micro-batches; returns this rank's sums."""
        sums: Sums = {}
        device = self.accelerator.device
        for number, (batch, real) in enumerate(micro_batches):
            seed_torch(device, key(self.settings.seed, step, self.accelerator.process_index, number))
            batch = {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
            last = number == len(micro_batches) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.module):
                with self.sharding.precision():
                    parts: Sums = self.module(**batch)
                loss = sum(
                    value * (float(real) / (counts[part_of(name)] or 1))
                    for name, value in parts.items()
                    if name.endswith("loss")
                )
                # DDP averages the gradients of the ranks: this makes them a sum again.
                self.accelerator.backward(loss * self.accelerator.num_processes)
            for name, value in parts.items():
                sums[name] = sums.get(name, torch.zeros((), device=value.device)) + value.detach() * real
        return sums

    def _log_step(self, sums: Sums, counts: dict[str, float], rate: float, grad_norm: float) -> str:
        figures = means(reduced(self.accelerator, sums), counts)
        values: dict[str, Any] = {
            "step": self.progress.step,
            "epoch": self.job.plan.epoch(self.progress.step),
            "tokens": self.progress.tokens,
            **figures,
            "lr": rate,
            "grad_norm": grad_norm,
            **self.timing.interval(),
            "seconds": self.progress.seconds,
        }
        self.log.write(values)
        self.job.watch(values)
        return " · ".join(f"{name} {value:.3f}" for name, value in figures.items() if "accuracy" not in name)

    def _evaluate(self, stop: StopRequest) -> dict[str, float]:
        """Evaluates, logs the figures and returns them; where a signal interrupts it, the progress notes that they are owed."""
        if self.job.evaluate is None:
            return {}
        began_at_s, self._is_evaluating = time.monotonic(), True
        try:
            whole = self.sharding.whole(self.module).eval()
            results = self.job.evaluate(whole, self.progress.step, lambda: self._leave_where_asked(stop))
        except BrokenOff:
            self.progress.owes_evaluation = True
            return {}
        finally:
            self._is_evaluating = False
            self.module.train()
        self.progress.owes_evaluation = False
        values = {"step": self.progress.step, **results}
        self.log.write(values)
        console.note(f"step {self.progress.step:,}: " + shown_figures(results))
        self.job.watch(values)
        seconds = self.timing.pause_since(began_at_s)
        if self.job.forecast is not None:
            self.job.forecast.evaluation_took(self.progress.step - 1, seconds)
        if self.job.better is not None and not self._logs_again:  # else the progress has counted it
            self._keep_best(self.job.better(results))
        self._logs_again = False
        return results

    def _leave_where_asked(self, stop: StopRequest) -> None:
        """Raises ``BrokenOff`` on all ranks where one was asked to stop; called between two batches of an evaluation."""
        mine = torch.tensor([stop.signal_number], device=self.accelerator.device)
        self._signal = int(self.accelerator.gather(mine).max())
        if self._signal:
            raise BrokenOff

    def _keep_best(self, figure: float) -> None:
        if self.progress.best is None or figure > self.progress.best:
            self.progress.best, self.progress.best_step = figure, self.progress.step
            self.progress.evaluations_without_gain = 0
            self._save()
        else:
            self.progress.evaluations_without_gain += 1

    def _has_stalled(self) -> bool:
        return self.job.patience is not None and self.progress.evaluations_without_gain >= self.job.patience

    def _save(self) -> None:
        """Writes a checkpoint, unless this step has one."""
        if self._saved_step == self.progress.step:
            return
        self._saved_step, began_at_s = self.progress.step, time.monotonic()
        whole: Any = self.sharding.whole(self.module)
        state = self.sharding.optimizer_state(self.module, self.optimizer)
        if self.accelerator.is_main_process:
            if self.accelerator.scaler is not None:
                state["scaler"] = self.accelerator.scaler.state_dict()
            checkpoint.save_checkpoint(
                self.job.out,
                self.progress,
                lambda where: self.job.save_model(whole.model, where),
                state,
                self.settings.save_total_limit,
                protected=self.progress.best_step,
            )
        self.accelerator.wait_for_everyone()
        seconds = self.timing.pause_since(began_at_s)
        if self.job.forecast is not None:
            self.job.forecast.save_took(seconds)

    def _load_optimizer(self, folder: Path) -> None:
        state = checkpoint.load_optimizer_state(folder)
        scaler = state.pop("scaler", None)
        self.sharding.load_optimizer_state(self.module, self.optimizer, state)
        if self.accelerator.scaler is not None and scaler is not None:
            self.accelerator.scaler.load_state_dict(scaler)

    def _evaluates_here(self) -> bool:
        """Whether an evaluation follows the last step that was made."""
        is_last = self.progress.step == self.job.plan.total_steps
        return self.job.evaluate is not None and (self._due(self.settings.eval_steps) or is_last)

    def _due(self, every: int) -> bool:
        return every > 0 and self.progress.step % every == 0

    def _interrupted(self) -> Interrupted:
        return Interrupted(
            f"stopped after step {self.progress.step:,} of {self.job.plan.total_steps:,}, "
            f"saved in {self.job.out / f'checkpoint-{self.progress.step}'}: {GO_ON}",
            exit_code=128 + self._signal,
        )


def recompute_activations(model: Any) -> None:
    """Switches gradient checkpointing on, whichever name the installed version of transformers has for it."""
    newer = getattr(model, "activation_checkpointing_enable", None)
    (newer or model.gradient_checkpointing_enable)()
