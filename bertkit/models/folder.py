"""A model's folder, looked at before anything is built: of what kind it is, and whether its files belong together.

All of it is read from config.json and from the header of model.safetensors, without importing torch: sizes that are not
in the weights are told before memory is taken for them.
"""

import json
import re
from pathlib import Path
from typing import Any

from bertkit.console import one_line
from bertkit.errors import BertkitError
from bertkit.io.hub import model_folder

WEIGHTS = "model.safetensors"
FEATURES = "bertkit_features"
"""What config.json says of a model that reads features (``models.features.Reading``)."""
FEATURE_WEIGHTS = "features.safetensors"
"""Where the weights of such a model are: transformers, which would make a new head for it, refuses a folder without others."""
_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
          "max_position_embeddings", "type_vocab_size")  # fmt: skip
# Where a size shows in the weights: the end of a weight's name, and which side of its shape.
_SHOWN = {
    "vocab_size": (".word_embeddings.weight", 0),
    "max_position_embeddings": (".position_embeddings.weight", 0),
    "type_vocab_size": (".token_type_embeddings.weight", 0),
    "hidden_size": (".layer.0.output.dense.weight", 0),
    "intermediate_size": (".layer.0.output.dense.weight", 1),
}
_FINE_TUNED = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")
_PRETRAINED = ("ForPreTraining", "ForMaskedLM", "ForNextSentencePrediction")
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.")
_ENDLESS = 10**9
# As many fp32 numbers take 40 MB.
_MANY = 10_000_000
_MANY_CLASSES = 100_000
# The longest header that the library safetensors reads.
_MOST_HEADER_BYTES = 100_000_000


def checked_folder(name_or_path: str, weights: bool = True, features: bool = False) -> Path:
    """The local folder of an encoder, fetched where the name is the hub's, once its files were held against each other.

    Args:
        weights: whether the weights are needed, or only configuration and tokenizer.
        features: whether it may be a model that reads features.

    Raises:
        BertkitError: it is not there, cannot be fetched, is of a kind that bertkit does not compute, or its config.json
            speaks of sizes that its weights have not.
    """
    folder = model_folder(name_or_path, weights)
    config = read_config(folder, name_or_path)
    if FEATURES in config and not features:
        raise BertkitError(
            f"{name_or_path} reads features of a BERT that was not trained with it, as bertkit predict and bertkit evaluate "
            "alone can: for all else give that BERT (base_model in run.json)"
        )
    if is_bert(config):
        _check_bert(config, name_or_path)
    if weights:
        _check_weights(folder, config, name_or_path)
    return folder


def bert_folder(name_or_path: str, weights: bool = True) -> Path:
    """As ``checked_folder``, of a BERT.

    Raises:
        BertkitError: as there; or it is no BERT.
    """
    folder = checked_folder(name_or_path, weights)
    config = read_config(folder, name_or_path)
    if not is_bert(config):
        raise BertkitError(
            f"{name_or_path} is a model of type '{config.get('model_type')}': bertkit works with 'bert' (a config.json "
            'without a type needs the line "model_type": "bert")'
        )
    return folder


def read_config(folder: Path, name: str = "") -> dict[str, Any]:
    """What config.json says; ``architectures`` is always a list of names.

    Args:
        name: of the model, for messages.

    Raises:
        BertkitError: there is none, or it is no JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        old = next((file.name for file in sorted(folder.glob("*.ckpt*.index"))), None)
        if old or (folder / "bert_config.json").is_file():
            raise BertkitError(
                f"{name or folder} is a TensorFlow checkpoint ({old or 'bert_config.json'}), which has to be converted: "
                f"bertkit import {name or folder} --out FOLDER"
            )
        raise BertkitError(f"{name or folder} is no model folder: it has no config.json")
    config = read_json(path)
    named = config.get("architectures")
    return config | {"architectures": [str(one) for one in named] if isinstance(named, list) else []}


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of a model.

    Raises:
        BertkitError: it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BertkitError(f"{path} is no model configuration: {one_line(error)}") from None
    if not isinstance(content, dict):
        raise BertkitError(f"{path} is no model configuration: it holds no JSON object")
    return content


def weights_path(folder: Path, config: dict[str, Any]) -> Path:
    """Where a model's weights are; those of a checkpoint are under their plain name whatever they are."""
    path = folder / FEATURE_WEIGHTS
    return path if FEATURES in config and path.is_file() else folder / WEIGHTS


def is_bert(config: dict[str, Any]) -> bool:
    """Whether a config.json is that of a BERT, also one of the first, which named the class alone, or nothing."""
    kind, named = config.get("model_type"), config.get("architectures")
    if kind is None and named:
        return str(named[0]).startswith("Bert")
    return kind == "bert" or (kind is None and config.keys() >= {*_SIZES})


def what_it_is(config: dict[str, Any], name: str) -> str:
    """What a model is for and which commands ask it, for a message where it was asked for something else; empty where
    config.json does not tell.

    Args:
        config: its config.json, as ``read_config`` gives it.
        name: as a person calls it.
    """
    kind = next(iter(config["architectures"]), "")
    if kind.endswith(_FINE_TUNED):
        return (
            f"it is fine-tuned (a {kind}): bertkit predict {name} TEXT, or bertkit evaluate {name} --validation FILE "
            "with labelled rows"
        )
    if kind.endswith(_PRETRAINED):
        return (
            f"it is pretrained (a {kind}), with no head of a task: bertkit finetune --model {name} first; as it is, bertkit "
            f"mask-fill --model {name} TEXT, or bertkit evaluate {name} --corpus FILE, or --cloze"
        )
    return ""


def max_positions(name_or_path: str) -> int:
    """Tokens that a BERT reads at most, by its config.json."""
    return int(read_config(bert_folder(name_or_path), name_or_path).get("max_position_embeddings", 512))


def own_length(folder: Path) -> int | None:
    """Tokens that an encoder reads at most, by its config.json and its tokenizer; None where neither says it."""
    path = folder / "tokenizer_config.json"
    said = [read_config(folder).get("max_position_embeddings")]
    if path.is_file():
        said.append(read_json(path).get("model_max_length"))
    # transformers writes 10**30 where nothing is known.
    return min((length for length in said if isinstance(length, int) and 0 < length < _ENDLESS), default=None)


def check_rows(name: str, pieces: int, rows: int) -> None:
    """Raises a BertkitError where a tokenizer has more word pieces than its model has rows for them."""
    if pieces > rows:
        raise BertkitError(
            f"{name} has {pieces:,} word pieces in its tokenizer, and {rows:,} in its model: give it the tokenizer that it "
            "was trained with, or go on from it with bertkit pretrain --model, which gives them rows"
        )


def check_pairs(name_or_path: str) -> None:
    """Raises a BertkitError where a BERT knows one segment alone, and so cannot be trained on sentence pairs."""
    if read_config(bert_folder(name_or_path), name_or_path).get("type_vocab_size", 2) < 2:
        raise BertkitError(
            f"{name_or_path} knows one segment alone (type_vocab_size is 1), and cannot tell two sentences apart: add "
            "--set data.sentence_objective=none"
        )


def name_of_today(name: str) -> str:
    """The name of a BERT's weight as transformers writes it now, without what data-parallel training put before it."""
    name = name.removeprefix("module.")
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    return name if name.startswith(("bert.", "cls.", "classifier.", "qa_outputs.")) else f"bert.{name}"


def _check_bert(config: dict[str, Any], name: str) -> None:
    """Raises where a BERT is to be computed in a way that neither bertkit nor today's transformers does."""
    kind = config.get("position_embedding_type") or "absolute"
    if kind != "absolute":
        raise BertkitError(
            f"{name} has position_embedding_type {kind}: bertkit computes absolute positions, which it was not trained "
            "with; give another model"
        )
    for flag in ("is_decoder", "add_cross_attention"):
        if config.get(flag):
            raise BertkitError(
                f"{name} has {flag} in its config.json: bertkit reads texts from both sides, as an encoder does; give "
                "another model, or set it to false where it is a mistake"
            )
    for size in _SIZES:
        value = config.get(size, 1)
        if type(value) is not int or value < (size != "num_hidden_layers"):
            raise BertkitError(f"{name} has {size} {value!r} in its config.json: it has to be a positive whole number")


def _check_weights(folder: Path, config: dict[str, Any], name: str) -> None:
    """Raises where config.json speaks of other sizes than the weights have."""
    path = weights_path(folder, config)
    if not path.is_file():
        _check_bytes(folder, config, name)
        return
    shapes = _shapes(path, name)
    for size, (end, side) in _SHOWN.items():
        shape = next((shape for weight, shape in shapes.items() if weight.endswith(end)), None)
        if shape is not None and len(shape) == 2 and size in config and config[size] != shape[side]:
            _refuse(name, size, config[size], shape[side], path.name)
    labels = config.get("num_labels", 0)
    if isinstance(labels, int) and labels > _MANY_CLASSES:  # transformers gives each a name
        _refuse(name, "num_labels", labels, shapes.get("classifier.weight", [0])[0], path.name)
    layers = {int(number) for weight in shapes for number in _LAYER.findall(weight)}
    said = config.get("num_hidden_layers")
    if layers and said is not None and said != max(layers) + 1:
        _refuse(name, "num_hidden_layers", said, max(layers) + 1, path.name)


def _refuse(name: str, size: str, said: Any, there: Any, where: str) -> None:
    shown = f"{said:,}" if isinstance(said, int) else repr(said)
    raise BertkitError(
        f"the weights of {name} do not fit its config.json: {size} is {shown} in config.json, and {there:,} in {where}"
    )


def _shapes(path: Path, name: str) -> dict[str, list[int]]:
    """The shape of each weight, by its name of today, from the header of a safetensors file."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(_MOST_HEADER_BYTES, path.stat().st_size):
                raise ValueError("its header does not end")
            header = json.loads(file.read(length))
        return {name_of_today(key): [int(n) for n in header[key]["shape"]] for key in header if key != "__metadata__"}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BertkitError(f"cannot load the model {name}: {path.name} is damaged ({one_line(error)})") from None


def _check_bytes(folder: Path, config: dict[str, Any], name: str) -> None:
    """As ``_check_weights``, by the bytes of weights in parts or pickled: a number takes at least one."""
    files = [file for end in ("pytorch_model*.bin", "model-*.safetensors") for file in folder.glob(end)]
    if not files and not any(folder.glob("*.onnx")):
        other = next((file for file in ("tf_model.h5", "flax_model.msgpack") if (folder / file).is_file()), None)
        there = f"only {other}, which has to be converted to PyTorch" if other else "no model.safetensors"
        raise BertkitError(f"cannot load the model {name}: it has {there}")
    if not files or not is_bert(config):
        return
    words, width, layers, _, inner, places, _ = (config.get(size, 1) for size in _SIZES)
    numbers = (words + places) * width + layers * (4 * width**2 + 2 * width * inner)
    stored = sum(file.stat().st_size for file in files)
    if numbers > max(stored, _MANY):  # transformers names the weight where there are few
        raise BertkitError(
            f"the weights of {name} do not fit its config.json: {numbers:,} numbers by config.json, and {stored:,} "
            f"bytes in {files[0].name}{' and others' if len(files) > 1 else ''}"
        )
