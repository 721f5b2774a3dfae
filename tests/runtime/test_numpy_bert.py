"""BERT in numpy: the very numbers and texts of torch and transformers, and a refusal where not."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
)

from bertkit.assets import EMBEDDED_MODEL
from bertkit.errors import BertkitError
from bertkit.inference.mask_filling.filler import MaskFiller
from bertkit.runtime.load import open_reader
from bertkit.runtime.numpy_bert import NumpyBert, erf
from bertkit.runtime.text import UnsupportedError, any_text_encoder, light_text_encoder
from bertkit.runtime.torch_bert import TorchBert

TEXTS = ["The cats [MASK].", "[MASK]", "a b c d e f g h [MASK] j", "the cat ' s [MASK] , is n't it ?", "[MASK] [MASK]"]

INPUTS = ("input_ids", "token_type_ids")


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


def masked(pieces):
    """The texts as ids, and where their masks are."""
    encoded = [pieces.encode(text) for text in TEXTS]
    return encoded, [[place for place, id_ in enumerate(one.ids) if id_ == pieces.mask_id] for one in encoded]


def assert_same_words(folder):
    light, heavy = light_text_encoder(folder), any_text_encoder(folder)
    encoded, places = masked(light)
    assert (encoded, places) == masked(heavy)
    ours = NumpyBert(folder, "words").word_log_probabilities(encoded, places)
    theirs = TorchBert(str(folder), "words", "cpu").word_log_probabilities(encoded, places)
    for one, expected in zip(ours, theirs, strict=True):
        assert one.dtype == np.float32
        assert np.exp(one) == pytest.approx(np.exp(expected), abs=2e-6)


SHAPES = [
    {},
    {"hidden_act": "relu", "num_hidden_layers": 3},
    {"hidden_act": "gelu_new", "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 7},
    {"layer_norm_eps": 1e-3, "type_vocab_size": 1, "max_position_embeddings": 64},
    {"tie_word_embeddings": False},
]


@pytest.mark.parametrize("settings", SHAPES)
def test_probabilities_are_those_of_torch(tiny_model, tmp_path, settings):
    assert_same_words(model_with(tiny_model, tmp_path / "model", **settings))


def test_torch_gives_what_transformers_gives(tiny_model, tmp_path):
    folder = model_with(tiny_model, tmp_path / "model")
    pieces = any_text_encoder(folder)
    model = BertForPreTraining.from_pretrained(folder).eval()
    encoded = [pieces.encode("the cats"), pieces.encode("a b [MASK] d", "the cat sat .")]
    words = TorchBert(str(folder), "words", "cpu").word_log_probabilities(encoded, [[1], [3, 7]])
    pairs = TorchBert(str(folder), "pairs", "cpu").next_sentence_logits(encoded)
    states = TorchBert(str(folder), "none", "cpu").hidden_states(encoded, [0, -2, -1])
    for number, (one, places) in enumerate(zip(encoded, [[1], [3, 7]], strict=True)):
        inputs = {"input_ids": torch.tensor([one.ids]), "token_type_ids": torch.tensor([one.type_ids])}
        with torch.no_grad():
            expected = model(**inputs, output_hidden_states=True)
        assert words[number] == pytest.approx(expected.prediction_logits[0, places].log_softmax(-1).numpy(), abs=1e-5)
        assert pairs[number] == pytest.approx(expected.seq_relationship_logits[0].numpy(), abs=1e-5)
        for layer, found in zip((0, -2, -1), states[number], strict=True):
            assert found == pytest.approx(expected.hidden_states[layer][0].numpy(), abs=1e-5)


def test_pairs_classes_and_hidden_states_are_those_of_torch(tiny_model, tmp_path):
    pieces = light_text_encoder(tiny_model)
    encoded = [pieces.encode(text) for text in TEXTS] + [
        pieces.encode("a cat", "the cats sat."),
        pieces.encode("a", "b"),
    ]
    assert {type_id for one in encoded for type_id in one.type_ids} == {0, 1}
    for head, kind, ask in (
        ("pairs", BertForPreTraining, lambda bert: bert.next_sentence_logits(encoded)),
        ("task", BertForSequenceClassification, lambda bert: np.stack(bert.head_logits(encoded))),
    ):
        folder = model_with(tiny_model, tmp_path / head, kind, num_labels=3 if head == "task" else 2)
        ours, theirs = ask(NumpyBert(folder, head)), ask(TorchBert(str(folder), head, "cpu"))
        assert ours.shape == (len(encoded), 3 if head == "task" else 2)
        assert ours == pytest.approx(theirs, abs=1e-5)
    folder = model_with(tiny_model, tmp_path / "none", BertModel)
    ours = NumpyBert(folder, "none").hidden_states(encoded, [0, -1])
    theirs = TorchBert(str(folder), "none", "cpu").hidden_states(encoded, [0, -1])
    for one, expected, text in zip(ours, theirs, encoded, strict=True):
        assert one.shape == (2, len(text.ids), 16)
        assert one == pytest.approx(expected, abs=1e-5)


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
    assert_same_words(folder)


DECODER = "cls.predictions.decoder"


@pytest.mark.parametrize("part", ["weight", "bias"])
@pytest.mark.parametrize("apart", [0, 1])
def test_a_decoder_beside_tied_weights_counts_as_in_torch(tiny_model, tmp_path, part, apart):
    """torch keeps it where it differs: then the model is left to torch."""
    folder = model_with(tiny_model, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    same = "bert.embeddings.word_embeddings.weight" if part == "weight" else "cls.predictions.bias"
    weights[f"{DECODER}.{part}"] = weights[same].flip(0).clone() if apart else weights[same].clone()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    if not apart:
        assert_same_words(folder)
        return
    with pytest.raises(UnsupportedError, match=f"{DECODER}.{part} is not {same}"):
        NumpyBert(folder, "words")
    for head in ("pairs", "none"):  # which read no decoder
        NumpyBert(folder, head)
    assert isinstance(open_reader(str(folder), "words", None, 1).bert, TorchBert)
    expected = MaskFiller(folder, "cpu").fill(["the cats [MASK]"], top_k=4)
    assert MaskFiller(folder, texts=1).fill(["the cats [MASK]"], top_k=4) == expected


@pytest.mark.parametrize("change", ["not there", "of another shape", "in another type"])
def test_an_untied_decoder_that_cannot_be_read_is_left_to_torch(tiny_model, tmp_path, change):
    folder = model_with(tiny_model, tmp_path / "model", tie_word_embeddings=False)
    weights = load_file(folder / "model.safetensors")
    decoder = weights.pop(f"{DECODER}.weight")
    if change != "not there":
        weights[f"{DECODER}.weight"] = decoder.bfloat16() if "type" in change else decoder[:, :8].clone()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UnsupportedError, match=f"{DECODER}.weight"):
        NumpyBert(folder, "words")
    if change != "in another type":
        with pytest.raises(BertkitError, match="has no masked-word head|do not fit"):
            open_reader(str(folder), "words", None, 1)


def test_texts_are_decoded_as_transformers_does(tiny_model):
    theirs = BertTokenizer.from_pretrained(tiny_model)
    for ours in (light_text_encoder(tiny_model), any_text_encoder(tiny_model)):
        assert ours.vocab == theirs.get_vocab()
        for text in [*TEXTS, "i do n't , he 's ' here ' . ok ! we 've 're 'm", "[CLS] a [SEP]", "ü 中文 cats"]:
            ids = ours.encode(text).ids
            assert ids == theirs(text)["input_ids"]
            assert ours.encode(text, "the cat")[:2] == tuple(theirs(text, "the cat")[name] for name in INPUTS)
            assert ours.spelt(text) == theirs(text, add_special_tokens=False)["input_ids"]
            for skip in (False, True):
                assert ours.decode(ids, skip) == theirs.decode(ids, skip_special_tokens=skip)
            assert [ours.decode([id_]) for id_ in ids] == [theirs.decode([id_]) for id_ in ids]


def test_apostrophes_are_joined_whoever_reads_the_tokenizer():
    for pieces in (light_text_encoder(EMBEDDED_MODEL), any_text_encoder(EMBEDDED_MODEL)):
        assert pieces.decode(pieces.encode("I don't know, it's fine.").ids, True) == "i don't know, it's fine."


def test_fills_are_the_same_from_both(tiny_model, tmp_path):
    folder = model_with(tiny_model, tmp_path / "model")
    light, heavy = MaskFiller(folder, texts=len(TEXTS)), MaskFiller(folder, "cpu")
    assert isinstance(light.reader.bert, NumpyBert)
    assert isinstance(heavy.reader.bert, TorchBert)
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
        ({"layer_norm_eps": "x"}, "could not convert"),
        ({"layer_norm_eps": [1]}, "cannot be read"),
    ],
)
def test_what_it_cannot_compute_is_left_to_torch(tiny_model, tmp_path, settings, reason):
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text()) | settings
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedError, match=reason):
        NumpyBert(folder, "words")


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
        (light_text_encoder(folder), NumpyBert(folder, "words"))


@pytest.mark.parametrize(("head", "lacking"), [("pairs", "bert.pooler.dense"), ("task", "no linear head")])
def test_a_head_that_is_not_there_is_left_to_torch(tiny_model, tmp_path, head, lacking):
    folder = model_with(tiny_model, tmp_path / "model", BertForMaskedLM)
    with pytest.raises(UnsupportedError, match=lacking):
        NumpyBert(folder, head)
    with pytest.raises(BertkitError, match="has no"):
        open_reader(str(folder), head, None, 1)


def test_much_text_or_a_device_is_for_torch(tiny_model):
    assert isinstance(open_reader(str(tiny_model), "words", None, 32).bert, NumpyBert)
    for device, texts in ((None, 33), (None, None), ("cpu", 1)):
        assert isinstance(open_reader(str(tiny_model), "words", device, texts).bert, TorchBert)
