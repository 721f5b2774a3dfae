"""Evaluations while a classifier is trained: left where a signal comes, and repeated by the resume to the bit."""

import json
import signal

import pytest
import torch

from bertkit.errors import Interrupted
from bertkit.finetuning import batches
from bertkit.finetuning.request import FinetuneRequest
from bertkit.finetuning.run import finetune
from bertkit.settings.recipes import Override
from bertkit.training.metrics_log import read_metrics

SETTINGS = {"epochs": 3, "dropout": 0.1, "save_steps": 2, "logging_steps": 1, "data.validation_split": 0.3,
            "data.max_seq_length": 16}  # fmt: skip


def request_for(folder, tiny_model, name, resume=False):
    rows = folder / "rows.csv"
    rows.write_text(
        "text,label\n" + "".join(f"{'the cat' if i % 2 else 'a'} {'abcdefgh'[i % 8]},{i % 2}\n" for i in range(40))
    )
    overrides = [Override(key, value, f"--set {key}={value}") for key, value in SETTINGS.items()]
    return FinetuneRequest(None, None, str(rows), None, overrides, str(tiny_model), folder / name, "cpu", resume)


def left_by(out):
    clocks = ("seconds", "tokens_per_second", "data_wait")
    lines = [{name: value for name, value in line.items() if name not in clocks} for line in read_metrics(out)]
    return (out / "model.safetensors").read_bytes(), json.loads((out / "eval_results.json").read_text()), lines


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="signals of POSIX")
@pytest.mark.parametrize(("evaluation_number", "step"), [(1, 1), (3, 3), (4, None)])  # the fourth: after the last step
def test_an_evaluation_is_left_at_its_next_batch_and_repeated(
    tmp_path, tiny_model, monkeypatch, capsys, evaluation_number, step
):
    monkeypatch.setitem(batches.TOKENS_AT_ONCE, "cpu", 16)
    collate, calls = batches.collate, []

    def counted(*arguments):
        if torch.is_inference_mode_enabled():  # else of a batch to train on
            calls.append(arguments)
            if len(calls) == stop_at:
                signal.raise_signal(signal.SIGUSR1)
        return collate(*arguments)

    monkeypatch.setattr(batches, "collate", counted)
    stop_at = 0
    finetune(request_for(tmp_path, tiny_model, "whole"))
    each = len(calls) // 4
    assert each > 2
    calls.clear()
    stop_at = (evaluation_number - 1) * each + 2
    with pytest.raises(Interrupted) as ending:
        finetune(request_for(tmp_path, tiny_model, "stopped"))
    assert (ending.value.exit_code, len(calls)) == (138, stop_at)
    said = f"stopped after step {step} of 3, saved in " if step else "stopped by SIGUSR1: nothing half-made was kept"
    assert said in str(ending.value)
    assert (f"leaving the evaluation of step {step}, saving …" in capsys.readouterr().err) == bool(step)
    stop_at = 0
    finetune(request_for(tmp_path, tiny_model, "stopped", resume=True))
    assert left_by(tmp_path / "stopped") == left_by(tmp_path / "whole")
