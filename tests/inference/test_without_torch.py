"""Masks filled in numpy: the very probabilities and texts of torch and transformers, and a refusal where not."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertModel

from bertkit.inference.mask_fill import MaskFiller, reader_for
from bertkit.inference.numpy_bert import NumpyBert, UnsupportedError, erf
from bertkit.inference.with_torch import TorchReader
from bertkit.inference.without_torch import LightReader

TEXTS = ["The cats [MASK].", "[MASK]", "a b c d e f g h [MASK] j", "the cat ' s [MASK] , is n't it ?", "[MASK] [MASK]"]


def test_erf_is_that_of_the_standard_library():
    x = np.linspace(-6, 6, 20_001, dtype=np.float32)
    assert np.abs(erf(x) - [math.erf(value) for value in x.tolist()]).max() < 5e-7


def model_with(tiny_model, folder, kind=BertForPreTraining, std=0.3, **settings):
    """A model of another shape, beside the tokenizer of the tiny one."""
    shutil.copytree(tiny_model, folder)
    config = BertConfig.from_pretrained(tiny_model, **settings)
    torch.manual_seed(len(settings))
    model = kind(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=std)
    model.save_pretrained(folder)
    return folder


SHAPES = [
    {},
    {"hidden_act": "relu", "num_hidden_layers": 3},
    {"hidden_act": "gelu_new", "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 7},
    {"layer_norm_eps": 1e-3, "type_vocab_size": 1, "max_position_embeddings": 64},
    {"tie_word_embeddings": False},
]


@pytest.mark.parametrize("settings", SHAPES)
def test_probabilities_are_those_of_torch(tiny_model, tmp_path, settings):
    folder = model_with(tiny_model, tmp_path / "model", **settings)
    light, heavy = LightReader(folder), TorchReader(str(folder), "cpu")
    encoded = [light.encode(text) for text in TEXTS]
    assert encoded == [heavy.encode(text) for text in TEXTS]
    ours = light.mask_probabilities(encoded)
    assert ours.dtype == np.float32
    assert ours == pytest.approx(heavy.mask_probabilities(encoded), abs=2e-6)


def test_hidden_states_are_those_of_transformers(tiny_model):
    ids = [2, 7, 8, 9, 3]
    expected = BertModel.from_pretrained(tiny_model).eval()(torch.tensor([ids])).last_hidden_state[0]
    assert NumpyBert(tiny_model).hidden(ids) == pytest.approx(expected.detach().numpy(), abs=2e-6)


@pytest.mark.parametrize("change", ["old names", "no pooler", "half", "masked-word model alone"])
def test_checkpoints_of_other_times_and_types(tiny_model, tmp_path, change):
    kind = BertForMaskedLM if "alone" in change else BertForPreTraining
    folder = model_with(tiny_model, tmp_path / "model", kind)
    weights = load_file(folder / "model.safetensors")
    if change == "old names":
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        weights = {name.replace(new, old[new]): w for name, w in weights.items() for new in old if new in name} | {
            name: w for name, w in weights.items() if "LayerNorm" not in name
        }
    elif change == "no pooler":
        weights = {name: w for name, w in weights.items() if "pooler" not in name}
    elif change == "half":
        weights = {name: w.half() for name, w in weights.items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    light, heavy = LightReader(folder), TorchReader(str(folder), "cpu")
    heavy._model.float()
    encoded = [light.encode(text) for text in TEXTS]
    assert light.mask_probabilities(encoded) == pytest.approx(heavy.mask_probabilities(encoded), abs=2e-6)


def test_texts_are_decoded_as_transformers_does(tiny_model):
    light, heavy = LightReader(tiny_model), TorchReader(str(tiny_model), "cpu")
    assert light.vocab == heavy.vocab
    for text in [*TEXTS, "i do n't , he 's ' here ' . ok ! we 've 're 'm", "[CLS] a [SEP]", "ü 中文 cats"]:
        ids = light.encode(text)
        assert ids == heavy.encode(text)
        assert light.tokenize(text) == heavy.tokenize(text)
        for skip in (False, True):
            assert light.decode(ids, skip) == heavy.decode(ids, skip)
        assert [light.decode([id_]) for id_ in ids] == [heavy.decode([id_]) for id_ in ids]


def test_fills_are_the_same_from_both(tiny_model, tmp_path):
    folder = model_with(tiny_model, tmp_path / "model")
    light, heavy = MaskFiller(folder, texts=len(TEXTS)), MaskFiller(folder, "cpu")
    assert isinstance(light.reader, LightReader)
    assert isinstance(heavy.reader, TorchReader)
    for ours, theirs in zip(light.fill(TEXTS, top_k=4), heavy.fill(TEXTS, top_k=4), strict=True):
        for mask, expected in zip(ours, theirs, strict=True):
            assert [one.sequence for one in mask] == [one.sequence for one in expected]
            assert [one.score for one in mask] == pytest.approx([one.score for one in expected], abs=2e-6)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"hidden_act": "silu"}, "hidden_act is silu"),
        ({"model_type": "roberta"}, "model_type is roberta"),
        ({"is_decoder": True}, "is_decoder is True"),
        ({"hidden_size": 48}, r"\[64, 16\]"),
    ],
)
def test_what_it_cannot_compute_is_left_to_torch(tiny_model, tmp_path, settings, reason):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text()) | settings
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedError, match=reason):
        LightReader(folder)


@pytest.mark.parametrize("broken", ["bf16", "no head", "cut off", "another tokenizer class", "rules that differ"])
def test_files_it_cannot_read_are_left_to_torch(tiny_model, tmp_path, broken):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    path = folder / "model.safetensors"
    weights = load_file(path)
    if broken == "bf16":
        save_file({name: w.bfloat16() for name, w in weights.items()}, path)
    elif broken == "no head":
        save_file({name: w for name, w in weights.items() if not name.startswith("cls.")}, path)
    elif broken == "cut off":
        path.write_bytes(path.read_bytes()[:-10])
    else:
        told = {"tokenizer_class": "ElectraTokenizer"} if "class" in broken else {"do_lower_case": False}
        config = json.loads((folder / "tokenizer_config.json").read_text()) | told
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedError):
        LightReader(folder)


def test_much_text_or_a_device_is_for_torch(tiny_model):
    assert isinstance(reader_for(str(tiny_model), None, 32), LightReader)
    for device, texts in ((None, 33), (None, None), ("cpu", 1)):
        assert isinstance(reader_for(str(tiny_model), device, texts), TorchReader)
