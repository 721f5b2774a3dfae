"""The same step as one batch and as four micro-batches: transformers' Trainer beside our loop.

    pytest tests/training/test_against_trainer.py -s      prints the table of the README

BERT's forward takes ``**kwargs``, so the Trainer trusts it to divide by ``num_items_in_batch`` and divides no more
itself; BERT ignores it. The loss and the gradient come out multiplied by the accumulation steps.
"""

import pytest
from accelerate import Accelerator
from helpers.toy import toy_job
from training.test_loop import training_lines
from transformers import Trainer, TrainerCallback, TrainingArguments

from bertkit.training.loop import fit


class FirstStep(TrainerCallback):
    def on_log(self, _args, _state, _control, logs=None, **_kwargs):
        if "grad_norm" in logs:
            self.figures = logs["loss"], logs["grad_norm"]


def trainer_step(tmp_path, micro_batch):
    job = toy_job(tmp_path / "store", tmp_path / "t", Accelerator(cpu=True), steps=1)
    rows = [job.plan.example(reference)._asdict() for reference in job.plan.examples(0)]
    first = FirstStep()
    arguments = TrainingArguments(
        tmp_path / "t", per_device_train_batch_size=micro_batch, gradient_accumulation_steps=16 // micro_batch,
        max_steps=1, logging_steps=1, remove_unused_columns=False, report_to=[], use_cpu=True, disable_tqdm=True,
        max_grad_norm=1e9, save_strategy="no",
    )  # fmt: skip
    Trainer(
        job.objective.model, arguments, data_collator=job.plan._collate, train_dataset=rows, callbacks=[first]
    ).train()
    return first.figures


def our_step(tmp_path, micro_batch):
    accelerator = Accelerator(cpu=True)
    job = toy_job(tmp_path / "store", tmp_path / f"ours-{micro_batch}", accelerator, micro_batch=micro_batch, steps=1)
    fit(job, accelerator, None)
    line = training_lines(job.out)[0]
    return line["loss"], line["grad_norm"]


def test_four_micro_batches_are_one_batch_here_and_four_times_as_much_there(tmp_path):
    ours = [our_step(tmp_path, 16), our_step(tmp_path, 4)]
    theirs = [trainer_step(tmp_path, 16), trainer_step(tmp_path, 4)]
    print("\n| 16 sequences as | Trainer loss | Trainer gradient norm | bertkit loss | bertkit gradient norm |")
    for name, (loss, norm), (our_loss, our_norm) in zip(("1 × 16", "4 × 4"), theirs, ours, strict=True):
        print(f"| {name} | {loss:.2f} | {norm:.2f} | {our_loss:.2f} | {our_norm:.2f} |")
    assert ours[1] == pytest.approx(ours[0], rel=1e-5)
    assert theirs[0] == pytest.approx(ours[0], rel=1e-3)
    assert theirs[1] == pytest.approx([4 * figure for figure in theirs[0]], rel=0.1)
