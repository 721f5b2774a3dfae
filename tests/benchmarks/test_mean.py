"""The mean of two models, by hand."""

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForPreTraining

from benchmarks.mean import mean


def test_a_mean_lies_between_two_models_and_keeps_the_precision_of_the_first(tiny_model, tmp_path):
    weights = load_file(tiny_model / "model.safetensors")
    other = tmp_path / "other"
    other.mkdir()
    save_file({name: torch.ones_like(one) for name, one in weights.items()}, other / "model.safetensors")
    mean(tiny_model, other, 0.75, tmp_path / "mean")
    for name, one in load_file(tmp_path / "mean" / "model.safetensors").items():
        assert one.dtype == weights[name].dtype
        torch.testing.assert_close(one, 0.25 * weights[name] + 0.75)
    assert AutoModelForPreTraining.from_pretrained(tmp_path / "mean").config.hidden_size == 16
