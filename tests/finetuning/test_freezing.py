"""Runs that train some of a model, or each layer at a rate of its own."""

import pytest
import torch
from helpers.interrupted import cut_off
from safetensors.torch import load_file

from bertkit.errors import BertkitError
from bertkit.finetuning.request import FinetuneRequest
from bertkit.finetuning.run import finetune
from bertkit.io.memory import memory_rows
from bertkit.settings.recipes import Override

WORDS = ["the", "cat", "sat", "a", "b", "c", "."]
ROWS = [
    {"text": " ".join(WORDS[(number * step) % 7] for step in range(1, 2 + number % 6)), "label": "xy"[number % 2]}
    for number in range(40)
]


def run(model, out, resume=False, **settings):
    given = {"train.max_steps": 6, "train.eval_steps": 2, "train.save_steps": 2, "train.save_total_limit": 9,
             "data.max_seq_length": 32, "data.validation_split": 0.25, "train.batch_size": 8, "train.dropout": 0.1,
             "train.mixed_precision": "no", "train.learning_rate": 1e-2}  # fmt: skip
    given |= {f"train.{name}": value for name, value in settings.items()}
    overrides = [Override(name, value, name) for name, value in given.items()]
    rows = memory_rows("rows", ROWS)
    return finetune(
        FinetuneRequest(train=rows, model=str(model), out=out, device="cpu", overrides=overrides, resume=resume)
    )


@pytest.mark.parametrize("settings", [{"layerwise_lr_decay": 0.5}, {"encoder": "frozen"}, {"frozen_layers": 1}])
def test_a_resumed_run_ends_in_the_same_bytes(tiny_model, tmp_path, settings):
    run(tiny_model, tmp_path / "run", **settings)
    whole = cut_off(tmp_path / "run", after=2)
    run(tiny_model, tmp_path / "run", resume=True, **settings)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == whole


@pytest.mark.parametrize("settings", [{"encoder": "frozen"}, {"frozen_layers": 0}, {"frozen_layers": 1}])
def test_what_is_frozen_is_the_model_s_to_the_bit_and_all_else_learns(tiny_model, tmp_path, settings, capsys):
    run(tiny_model, tmp_path / "run", **settings)
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_model, tmp_path / "run"))
    same = {name for name in after if name in before and torch.equal(before[name], after[name])}
    layers = settings.get("frozen_layers", 2)
    below = ("bert.embeddings.", *(f"bert.encoder.layer.{number}." for number in range(layers)))
    assert same == {name for name in after if name.startswith(below)}
    told = capsys.readouterr().err
    count = sum(after[name].numel() for name in same)
    assert f"{count:,} of {sum(one.numel() for one in after.values()):,} parameters stay as they are" in " ".join(
        told.split()
    )


def test_a_lower_rate_below_moves_the_embeddings_less(tiny_model, tmp_path):
    moved = {}
    for decay in (1.0, 0.5):
        run(tiny_model, tmp_path / str(decay), layerwise_lr_decay=decay, max_steps=1)
        before, after = (load_file(folder / "model.safetensors") for folder in (tiny_model, tmp_path / str(decay)))
        name = "bert.embeddings.LayerNorm.bias"  # without weight decay Adam's first step is the rate
        moved[decay] = float((after[name] - before[name]).abs().max())
    assert moved[0.5] == pytest.approx(moved[1.0] / 8, rel=0.05)  # two layers and the embeddings


def test_what_excludes_each_other_is_refused(tiny_model, tmp_path):
    for other in ({"frozen_layers": 1}, {"layerwise_lr_decay": 0.9}):
        with pytest.raises(BertkitError, match="leave"):
            run(tiny_model, tmp_path / "run", encoder="frozen", **other)
