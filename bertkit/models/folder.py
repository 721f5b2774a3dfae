"""Checks of a model's folder before the model is built: of what kind it is, and whether its files belong together.

They read config.json and the header of model.safetensors only, and import no torch. So sizes that the weights do not have
are refused before memory is allocated for them.
"""

import json
import re
from pathlib import Path
from typing import Any

from bertkit.console import one_line
from bertkit.errors import BertkitError
from bertkit.io.hub import model_folder
from bertkit.io.structured import read_json

WEIGHTS = "model.safetensors"
FEATURES = "bertkit_features"
"""The field of config.json that marks a feature-based model; it holds a ``models.features.Reading``."""
FEATURE_WEIGHTS = "features.safetensors"
"""The weights of such a model. transformers would load them with a new, random head; as it does not know this name, it
refuses the folder instead."""
TIED = {
    "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
"""The weights of the masked-word head that are others under a second name, unless tie_word_embeddings is false."""
_SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
          "max_position_embeddings", "type_vocab_size")  # fmt: skip
# The weight that shows a size: the end of its name, and the dimension of its shape.
_SHOWN = {
    "vocab_size": (".word_embeddings.weight", 0),
    "max_position_embeddings": (".position_embeddings.weight", 0),
    "type_vocab_size": (".token_type_embeddings.weight", 0),
    "hidden_size": (".layer.0.output.dense.weight", 0),
    "intermediate_size": (".layer.0.output.dense.weight", 1),
}
FINE_TUNED = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")
_PRETRAINED = ("ForPreTraining", "ForMaskedLM", "ForNextSentencePrediction")
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.")
_ENDLESS = 10**9
# Models below so many parameters (40 MB in fp32) may be built, and refused by transformers.
_MANY = 10_000_000
_MANY_CLASSES = 100_000
# The longest header that the safetensors library reads.
_MOST_HEADER_BYTES = 100_000_000


def checked_folder(name_or_path: str, weights: bool = True, features: bool = False) -> Path:
    """The local folder of an encoder, fetched from the hub if need be, after its files were checked.

    Args:
        name_or_path: a folder or a hub name.
        weights: whether the weights are needed, or only the configuration and the tokenizer.
        features: whether a feature-based model is allowed.

    Raises:
        BertkitError: there is no such model, it cannot be fetched, bertkit does not support its kind, or config.json
            gives other sizes than the weights have.
    """
    folder = model_folder(name_or_path, weights)
    config = read_config(folder, name_or_path)
    if FEATURES in config and not features:
        raise BertkitError(
            f"{name_or_path} reads features of a BERT that was not trained with it, as bertkit predict and bertkit evaluate "
            "alone can: for all else give that BERT (base_model in run.json)"
        )
    if is_bert(config):
        check_config(config, f"config.json of {name_or_path}", name_or_path)
    if weights:
        _check_weights(folder, config, name_or_path)
    return folder


def bert_folder(name_or_path: str) -> Path:
    """As ``checked_folder``, for a BERT.

    Raises:
        BertkitError: as there, or the model is no BERT.
    """
    folder = checked_folder(name_or_path)
    config = read_config(folder, name_or_path)
    if not is_bert(config):
        raise BertkitError(
            f"{name_or_path} is a model of type '{config.get('model_type')}': bertkit works with 'bert' (a config.json "
            'without a type needs the line "model_type": "bert")'
        )
    return folder


def read_config(folder: Path, name: str = "") -> dict[str, Any]:
    """The contents of a model's config.json; ``architectures`` is always a list of names, maybe an empty one.

    Args:
        folder: the model's folder.
        name: the model's name, for messages.

    Raises:
        BertkitError: there is no config.json, or it holds no JSON object.
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
    return config | {"architectures": architectures(config)}


def architectures(config: dict[str, Any]) -> list[str]:
    """The classes of transformers that a configuration names; old ones name none."""
    named = config.get("architectures")
    return [str(one) for one in named] if isinstance(named, list) else []


def class_names(config: dict[str, Any]) -> list[str]:
    """The classes that a configuration names, by id; as in transformers "LABEL_0" and so on where it names none.

    Raises:
        BertkitError: the ids are not 0, 1, 2 and so on, or two classes have one name.
    """
    unnamed = {number: f"LABEL_{number}" for number in range(config.get("num_labels", 2))}
    names = {int(id_): name for id_, name in (config.get("id2label") or unnamed).items()}
    if sorted(names) != list(range(len(names))) or len({*names.values()}) < len(names):
        raise BertkitError(
            f"the model's config.json names the classes {names}: number them from 0 on, and give each a name of its own"
        )
    return [names[id_] for id_ in range(len(names))]


def weights_path(folder: Path, config: dict[str, Any]) -> Path:
    """The file with a model's weights. In a run's checkpoints even those of a feature-based model have the usual name."""
    path = folder / FEATURE_WEIGHTS
    return path if FEATURES in config and path.is_file() else folder / WEIGHTS


def is_bert(config: dict[str, Any]) -> bool:
    """Whether a config.json is that of a BERT. The oldest ones have no ``model_type``, and some no ``architectures``."""
    kind, named = config.get("model_type"), config.get("architectures")
    if kind is None and named:
        return str(named[0]).startswith("Bert")
    return kind == "bert" or (kind is None and config.keys() >= {*_SIZES})


def what_it_is(config: dict[str, Any], name: str) -> str:
    """What a model is for, and which commands use it: for messages where a command was given the wrong kind of model.

    Args:
        config: its config.json, as ``read_config`` gives it.
        name: the model as the person called it.

    Returns:
        The text; empty where config.json does not tell.
    """
    kind = next(iter(config["architectures"]), "")
    if kind.endswith(FINE_TUNED):
        # A question with its context or its choices does not fit into one argument.
        read = "FILE" if kind.endswith(("ForQuestionAnswering", "ForMultipleChoice")) else "TEXT"
        return (
            f"it is fine-tuned (a {kind}): bertkit predict {name} {read}, or bertkit evaluate {name} --validation FILE "
            "with labelled rows"
        )
    if kind.endswith(_PRETRAINED):
        told = f"it is pretrained (a {kind}), with no head of a task: bertkit finetune --model {name} first"
        if not is_bert(config):
            return told
        if kind.endswith("ForNextSentencePrediction"):
            return f"{told}; as it is, bertkit score --model {name} --next TEXT_A TEXT_B"
        return f"{told}; as it is, bertkit mask-fill --model {name} TEXT, or bertkit evaluate {name} --corpus FILE, or --cloze"
    return ""


def max_positions(name_or_path: str) -> int:
    """The most tokens that a BERT can read, by its config.json."""
    return int(read_config(bert_folder(name_or_path), name_or_path).get("max_position_embeddings", 512))


def own_length(folder: Path) -> int | None:
    """The most tokens that an encoder can read, by its config.json and its tokenizer; None where neither says it."""
    path = folder / "tokenizer_config.json"
    said = [read_config(folder).get("max_position_embeddings")]
    if path.is_file():
        said.append(read_json(path).get("model_max_length"))
    # transformers writes 10**30 where it does not know the length.
    return min((length for length in said if isinstance(length, int) and 0 < length < _ENDLESS), default=None)


def check_rows(name: str, pieces: int, rows: int) -> None:
    """Raises a BertkitError where a tokenizer has more word pieces than its model has rows."""
    if pieces > rows:
        raise BertkitError(
            f"{name} has {pieces:,} word pieces in its tokenizer, and {rows:,} in its model: give it the tokenizer that it "
            "was trained with, or go on from it with bertkit pretrain --model, which gives them rows"
        )


def check_pairs(name_or_path: str) -> None:
    """Raises a BertkitError where a BERT has one segment only, and so cannot be trained on sentence pairs."""
    if read_config(bert_folder(name_or_path), name_or_path).get("type_vocab_size", 2) < 2:
        raise BertkitError(
            f"{name_or_path} knows one segment alone (type_vocab_size is 1), and cannot tell two sentences apart: add "
            "--set data.sentence_objective=none"
        )


def name_of_today(name: str) -> str:
    """The name that transformers gives a BERT's weight today, without the prefix of data-parallel training."""
    name = name.removeprefix("module.")
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    return name if name.startswith(("bert.", "cls.", "classifier.", "qa_outputs.")) else f"bert.{name}"


def check_known_type(config: dict[str, Any]) -> None:
    """Raises a BertkitError where transformers does not know a kind of model: it would ask at the terminal whether it may run
    code that comes with it."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if not is_bert(config) and config.get("model_type") not in CONFIG_MAPPING:
        raise BertkitError(
            f"a model of type '{config.get('model_type')}' is unknown to transformers, and code that comes with a model is not "
            "run: give a model of a known type"
        )


def has_weights(folder: Path) -> bool:
    """Whether a folder has weights for torch, in one file or several."""
    return any(file.is_file() for end in ("*.safetensors", "pytorch_model*.bin") for file in folder.glob(end))


def check_no_export(folder: Path, name: str) -> None:
    """Raises a BertkitError where a folder has an ONNX graph alone, and its weights are wanted."""
    if not has_weights(folder) and any(folder.glob("*.onnx")):
        raise BertkitError(
            f"{name} is an ONNX export: it answers, but has no weights to train or to look into; give the model that it was "
            "exported from"
        )


def check_kind(config: dict[str, Any], name: str) -> None:
    """Raises a BertkitError where a configuration asks for a kind of BERT that bertkit does not compute.

    Args:
        config: its fields.
        name: what has it, for messages: a model, or the path of a file.
    """
    kind = config.get("position_embedding_type") or "absolute"
    if kind != "absolute":
        raise BertkitError(
            f"{name} has position_embedding_type {kind}: bertkit computes absolute positions, which it was not trained "
            "with; give another model"
        )
    for flag in ("is_decoder", "add_cross_attention"):
        if config.get(flag):
            raise BertkitError(
                f"{name} has {flag} in its configuration: bertkit reads texts from both sides, as an encoder does; give "
                "another model, or set it to false there where it is a mistake"
            )


def check_config(config: dict[str, Any], where: str, name: str) -> None:
    """Raises a BertkitError where a configuration asks for a kind of BERT that bertkit does not compute, or has no sizes."""
    check_kind(config, name)
    for size in _SIZES:
        value = config.get(size, 1)
        if type(value) is not int or value < 1:
            raise BertkitError(f"{where}: {size} must be a whole number above 0, and is {value!r}")


def _check_weights(folder: Path, config: dict[str, Any], name: str) -> None:
    """Raises a BertkitError where config.json gives other sizes than the weights have."""
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
    if isinstance(labels, int) and labels > _MANY_CLASSES:  # transformers makes a name for each
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
    """The shape of each weight in a safetensors file, from its header, by the name that the weight has today."""
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
    """As ``_check_weights``, for weights in several files or pickled: their bytes must be at least their number."""
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
    if numbers > max(stored, _MANY):  # transformers itself refuses a small model, and names the weight
        raise BertkitError(
            f"the weights of {name} do not fit its config.json: {numbers:,} numbers by config.json, and {stored:,} "
            f"bytes in {files[0].name}{' and others' if len(files) > 1 else ''}"
        )
