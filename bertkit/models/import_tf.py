"""``bertkit import``: converts checkpoints of other programs into a plain Hugging Face folder.

It reads TensorFlow checkpoints of google-research/bert (with or without Adam's state, also classifiers) and of
TensorFlow's model garden (the encoder), and ``pytorch_model.bin`` with the names of pytorch-pretrained-bert (gamma, beta,
module.).
"""

import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.io.atomic import check_new_or_empty, new_folder, write_text
from bertkit.io.space import check_space
from bertkit.models.bert import save_model
from bertkit.models.card import CardFacts, model_card
from bertkit.models.folder import TIED
from bertkit.models.import_tf_config import built, check_decoder, check_heads, check_sizes, read_settings
from bertkit.models.import_tf_weights import old_pytorch_weights, tensorflow_weights
from bertkit.models.linear_heads import LINEAR_HEADS
from bertkit.models.tf_checkpoint import TensorFlowCheckpoint
from bertkit.models.tokenizer_loading import load_tokenizer

if TYPE_CHECKING:
    import torch

# The hub's names of what a model of a class is for; of all others, vectors.
_PIPELINE_TAGS = {
    "BertForPreTraining": "fill-mask",
    "BertForMaskedLM": "fill-mask",
    "BertForSequenceClassification": "text-classification",
    "BertForTokenClassification": "token-classification",
    "BertForMultipleChoice": "multiple-choice",
}
_CLASSIFIERS = [name for name, head in LINEAR_HEADS.items() if head.layer == "classifier"]
_POOLER = "bert.pooler."


@dataclass(frozen=True)
class Imported:
    """The result of an import.

    Attributes:
        folder: the new model folder.
        cls_name: the model's class in transformers.
        parameters: the number of its parameters.
        left_out: how many tensors of the checkpoint were left out, as they belong to the optimizer.
        missing: names of the parts that the checkpoint, and so the folder, lacks.
    """

    folder: Path
    cls_name: str
    parameters: int
    left_out: int
    missing: tuple[str, ...]


def import_checkpoint(checkpoint: Path, out: Path, config: Path | None = None, vocab: Path | None = None) -> Imported:
    """Writes a checkpoint as a plain Hugging Face folder.

    Args:
        checkpoint: a folder with one checkpoint; or a TensorFlow checkpoint by its prefix (the path without ".index");
            or a ``pytorch_model.bin``.
        out: a new or empty folder.
        config: bert_config.json (or config.json); None takes the one beside the checkpoint.
        vocab: vocab.txt; None takes the one beside the checkpoint. The rules of a tokenizer_config.json or a tokenizer.json
            beside it are followed.

    Raises:
        BertkitError: a file is missing or damaged, or the files do not fit each other. Nothing is written then.
    """
    began = time.monotonic()
    check_new_or_empty(out)
    source = _source(checkpoint)
    _check_are_there(source, {"--config": config, "--vocab": vocab})
    described = config or _beside(source, ("bert_config.json", "config.json"), "--config")
    settings, notes = read_settings(described)
    tokenizer = load_tokenizer(str(vocab or _beside(source, ("vocab.txt",), "--vocab")))
    if source.suffix == ".bin":
        weights, left_out = old_pytorch_weights(source), 0
    else:
        tensors = TensorFlowCheckpoint(source)
        check_heads(tensors.shapes, settings, source)
        weights, left_out = tensorflow_weights(tensors, settings.get("num_hidden_layers", 12))
    if len(tokenizer) > len(weights.get("bert.embeddings.word_embeddings.weight", ())):
        raise BertkitError(
            f"{source} has {len(weights.get('bert.embeddings.word_embeddings.weight', ())):,} rows for word pieces, and its "
            f"vocabulary {len(tokenizer):,}: give the vocab.txt that it was trained with (--vocab)"
        )
    model, missing = _model(weights, settings, source, described)
    check_space(out, 4 * model.num_parameters())
    for told in notes + _heads_notes(weights, settings, described):
        console.note(console.plain(told))
    asked = {"--out": out, "--config": config, "--vocab": vocab}
    command = ["bertkit", "import", str(checkpoint)]
    command += [part for flag, path in asked.items() if path is not None for part in (flag, str(path))]
    with new_folder(out) as fresh:
        save_model(model, tokenizer, fresh)
        write_text(fresh / "README.md", _card(model, source.name, out, shlex.join(command), time.monotonic() - began))
    return Imported(out, type(model).__name__, model.num_parameters(), left_out, tuple(missing))


def _source(checkpoint: Path) -> Path:
    """The path of the one checkpoint that is meant: a file, or a prefix of TensorFlow's."""
    if checkpoint.suffix == ".index":
        return checkpoint.with_suffix("")
    if not checkpoint.is_dir():
        return checkpoint
    prefixes = sorted(path.with_suffix("") for path in checkpoint.glob("*.index"))
    newest = _named_newest(checkpoint)
    if newest in prefixes:
        return newest
    prefixes += [path for path in (checkpoint / "pytorch_model.bin",) if path.is_file()]
    if len(prefixes) != 1:
        several = (
            f"several checkpoints, {', '.join(one.name for one in prefixes)}: name one"
            if prefixes
            else ("no checkpoint: it needs bert_model.ckpt.index with its .data files, or pytorch_model.bin")
        )
        raise BertkitError(f"{checkpoint} has {several}")
    return prefixes[0]


def _check_are_there(source: Path, given: dict[str, Path | None]) -> None:
    """Raises a BertkitError where a path that was given leads nowhere, before others are looked for beside it."""
    if not source.is_file() and not source.with_name(f"{source.name}.index").is_file():
        raise BertkitError(
            f"no checkpoint {source}: there is no {source.name}.index beside it, and no such file; give a folder with a "
            "checkpoint, a checkpoint of TensorFlow by its name without .index, or a pytorch_model.bin"
        )
    for flag, path in given.items():
        if path is not None and not path.exists():
            raise BertkitError(
                f"no file {path}: give {flag} one that is there, or leave it out to take that beside {source}"
            )


def _named_newest(folder: Path) -> Path | None:
    """The newest checkpoint by TensorFlow's file ``checkpoint``; None where there is no such file."""
    try:
        named = re.search(r'^model_checkpoint_path: "([^"]+)"', (folder / "checkpoint").read_text("utf-8"), re.M)
    except (OSError, UnicodeDecodeError):
        return None
    return folder / Path(named[1]).name if named else None


def _beside(source: Path, names: tuple[str, ...], flag: str) -> Path:
    for name in names:
        if (source.parent / name).is_file():
            return source.parent / name
    raise BertkitError(f"there is no {names[0]} beside {source}: give it with {flag}")


def _classes(weights: "dict[str, torch.Tensor]", settings: dict[str, Any]) -> Iterator[str]:
    """Names of the classes of transformers that the weights may belong to; those with the most parts come first."""
    if "classifier.weight" in weights:
        yield _named_classifier(settings) or "BertForSequenceClassification"
    words, pairs = "cls.predictions.bias" in weights, "cls.seq_relationship.weight" in weights
    if words:
        yield "BertForPreTraining" if pairs else "BertForMaskedLM"
    elif pairs:
        yield "BertForNextSentencePrediction"
    yield "BertModel"


def _named_classifier(settings: dict[str, Any]) -> str | None:
    """The class with a layer ``classifier`` that a configuration names; the weights of such classes have the same names."""
    return next((name for name in settings["architectures"] if name in _CLASSIFIERS), None)


def _heads_notes(weights: "dict[str, torch.Tensor]", settings: dict[str, Any], described: Path) -> list[str]:
    """Lines that say for what a classifier was taken, and what of the checkpoint its class does not read."""
    notes, cls_name = [], next(_classes(weights, settings))
    if "classifier.weight" in weights and _named_classifier(settings) is None:
        notes.append(
            f"the checkpoint has a classifier, and {described} does not name its class: taken for one of whole texts; for "
            f'another add the line "architectures": ["NAME"] there, NAME one of {", ".join(_CLASSIFIERS)}'
        )
    if not _reads_pooler(cls_name) and any(name.startswith(_POOLER) for name in weights):
        notes.append(f"left out: the pooler, which a {cls_name} does not read")
    return notes


def _reads_pooler(cls_name: str) -> bool:
    head = LINEAR_HEADS.get(cls_name)
    return head.is_pooled if head is not None else cls_name != "BertForMaskedLM"


def _model(
    weights: "dict[str, torch.Tensor]", settings: dict[str, Any], source: Path, described: Path
) -> tuple[Any, list[str]]:
    """The model of the first class that has a place for every weight, and the names of the parts without weights."""
    cls_name = next(_classes(weights, settings))
    head = LINEAR_HEADS.get(cls_name)
    if head is not None and head.outputs is None:
        settings = settings | {"num_labels": len(weights["classifier.weight"])}
    if not _reads_pooler(cls_name):
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith(_POOLER)}
    rows = weights.get("bert.embeddings.word_embeddings.weight")
    told = settings.get("vocab_size")
    if rows is None or (told is not None and told != len(rows)):
        there = "none" if rows is None else f"{len(rows):,}"
        raise BertkitError(f"{source} has {there} rows for word pieces, and its configuration {told}")
    check_sizes({name: tuple(tensor.shape) for name, tensor in weights.items()}, settings, source)
    model = built(cls_name, settings, described)
    wanted = model.state_dict()
    if cls_name == "BertModel":
        weights = {name.removeprefix("bert."): tensor for name, tensor in weights.items()}
    unknown = sorted(weights.keys() - wanted.keys())
    lacking = sorted(wanted.keys() - weights.keys() - TIED.keys())
    pooler = [name for name in lacking if cls_name == "BertModel" and name.startswith("pooler.")]
    wrong = [name for name in lacking if name not in pooler]
    if unknown or wrong:
        what = f"'{unknown[0]}' has no place in a BERT" if unknown else f"it has no '{wrong[0]}'"
        raise BertkitError(f"{source} is no checkpoint of a BERT of {model.config.num_hidden_layers} layers: {what}")
    for name in sorted(weights):
        if not bool(weights[name].isfinite().all()):
            raise BertkitError(
                f"{source}: {name} has numbers that are not finite: it is damaged, give another checkpoint"
            )
        if weights[name].shape != wanted[name].shape:
            raise BertkitError(
                f"{source}: {name} is {list(weights[name].shape)}, and by the configuration {list(wanted[name].shape)}"
            )
    check_decoder(weights, wanted.keys(), model.config.tie_word_embeddings, source, described)
    model.load_state_dict(weights, strict=False)
    model.tie_weights()
    if pooler:
        model.pooler = None
    return model.eval(), ["pooler"] if pooler else []


def _card(model: Any, source: str, out: Path, command: str, seconds: float) -> str:
    """The card that the folder is pushed with; what only the checkpoint's author knows is left to be filled in."""
    import torch
    import transformers

    cls_name, name = type(model).__name__, out.resolve().name
    return model_card(
        CardFacts(
            name=name,
            pipeline_tag=_PIPELINE_TAGS.get(cls_name, "feature-extraction"),
            what=f"A {cls_name} of {model.num_parameters() / 1e6:,.1f} million parameters: the checkpoint {source}, with the "
            "names and the files of transformers, its numbers as they were. What it was trained on, and how it may be used, "
            "is told where the checkpoint comes from.",
            usage=f"from transformers import AutoTokenizer, {cls_name}\n\n"
            f'tokenizer = AutoTokenizer.from_pretrained("{name}")\nmodel = {cls_name}.from_pretrained("{name}")',
            command=command,
            device="CPU",
            seconds=seconds,
            versions={"torch": torch.__version__, "transformers": transformers.__version__},
        )
    )
