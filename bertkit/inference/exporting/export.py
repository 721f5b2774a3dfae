"""Exports a trained BERT: in half precision, as one ONNX graph that onnxruntime runs without torch, or as a folder for
sentence-transformers.

Every export is read back and compared with its original, on real text, before the folder appears.
"""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.extras import import_extra
from bertkit.inference.exporting.compare import Check, Exported, difference, refuse_if_far
from bertkit.inference.exporting.graph import usage_of, write_onnx
from bertkit.inference.exporting.sentences import FORMAT, POOLINGS, export_sentences
from bertkit.io.atomic import check_new_or_empty, new_folder, write_text
from bertkit.io.space import check_space
from bertkit.models.bert import own_tokenizer, save_model
from bertkit.models.card import copy_credits, exported_card
from bertkit.models.folder import bert_folder, read_config
from bertkit.models.foreign_fields import left_out
from bertkit.models.linear_heads import check_problem_type, linear_class
from bertkit.models.loading import load_for
from bertkit.runtime.base import Bert, Head
from bertkit.runtime.onnx_bert import GRAPH, OnnxBert
from bertkit.runtime.text import any_text_encoder
from bertkit.training.record import write_export_record
from bertkit.training.run_folder import RECIPE

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

FORMATS = ("onnx", "half", FORMAT)
# Of a weight on the disk; one of 8 bits is written beside that of 32, which it then replaces.
_BYTES = {"half": 2, "onnx": 4}


def export(model: str, form: str, out: Path | None = None, int8: bool = False, pooling: str = "mean") -> Exported:
    """Exports a model into a new folder, and checks it against the original.

    Args:
        model: a folder, a name on the hub, or "embedded".
        form: "half", a Hugging Face folder with 16-bit weights, half as large; "onnx", one graph with all heads of the
            model (see ``runtime/onnx_bert.py``); or "sentence-transformers" (see ``exporting/sentences.py``).
        out: a new or empty folder; None adds the form to the name of the model's folder.
        int8: for "onnx", store the weights as 8-bit numbers, which take a quarter to a half of the space.
        pooling: for "sentence-transformers", how a text's vector is made: "mean" of all tokens, or "cls", the first one.

    Raises:
        BertkitError: the model cannot be loaded, the folder is not empty, or the outputs of the export are too far from
            the original's. Nothing is written then.
    """
    out = out or _folder_of(model, form)
    _check_request(form, out, int8, pooling)
    if form == FORMAT:
        return export_sentences(model, out, pooling)
    folder = bert_folder(model)
    heads, loaded = _load(model, folder)
    check_space(out, (_BYTES[form] + int8) * loaded.num_parameters())
    tokenizer = own_tokenizer(folder, model)
    for told in left_out(folder, model):
        console.note(console.plain(told))
    check = Check(
        any_text_encoder(folder, model), heads, loaded.config.max_position_embeddings, loaded.config.type_vocab_size > 1
    )
    # The outputs are those of the torch reader, and so the numbers that the other commands give.
    expected = {head: check.answers(_torch_bert(model, head), head) for head in check.heads}
    with new_folder(out) as fresh:
        if form == "half":
            _write_half(loaded, tokenizer, fresh)
        else:
            write_onnx(loaded, tokenizer, heads, fresh, int8)
        if (folder / RECIPE).is_file():  # from which `predict` knows the length and the columns of a classifier
            shutil.copyfile(folder / RECIPE, fresh / RECIPE)
        copy_credits(folder, fresh)
        _write_card(
            folder,
            fresh,
            out,
            _told(model, form, int8),
            usage_of(fresh, out.resolve().name, heads) if form == "onnx" else None,
        )
        write_export_record(folder, fresh, {"out": str(out), "exported_from": model})
        differences = []
        for head in check.heads:
            bert: Bert = OnnxBert(fresh, head) if form == "onnx" else _torch_bert(str(fresh), head)
            kind = _kind_of_outputs(loaded) if head == "task" else ""
            differences.append(difference(head, check.answers(bert, head), expected[head], kind))
            refuse_if_far(differences[-1], form, int8)
    lengths = [len(text.ids) for text in check.texts]
    weights = out / (GRAPH if form == "onnx" else "model.safetensors")
    return Exported(out, weights, len(lengths), (min(lengths), max(lengths)), differences)


def _kind_of_outputs(loaded: "PreTrainedModel") -> str:
    """What the outputs of a head for a task are, as ``difference`` takes it."""
    name = type(loaded).__name__
    if name in ("BertForQuestionAnswering", "BertForMultipleChoice"):
        return "parts"
    return "numbers" if name == "BertForSequenceClassification" and loaded.config.num_labels == 1 else ""


def _told(model: str, form: str, int8: bool) -> str:
    """What an export is, for its card."""
    if form == "half":
        return f"Exported by bertkit from {model}: the same model with weights of 16 bits."
    weights = ", its weights as 8-bit numbers" if int8 else ""
    return f"Exported by bertkit from {model}: one ONNX graph{weights}, which bertkit runs, and which transformers does not load."


def _write_card(original: Path, fresh: Path, out: Path, told: str, usage: str | None) -> None:
    """Writes the card of an export from that of its original, if it has one, or if there are lines that use it."""
    card = original / "README.md"
    if card.is_file() or usage is not None:
        text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
        write_text(fresh / "README.md", exported_card(text, out.as_posix(), told, usage))


def _folder_of(model: str, form: str) -> Path:
    """The default folder: beside the model, or in the current folder where the model is on the hub or embedded."""
    is_folder = os.path.isdir(model)
    # Resolved, for "." and ".." have no name of their own.
    path = Path(model).resolve() if is_folder and Path(model).name in ("", "..") else Path(model)
    return path.with_name(f"{path.name}-{form}") if is_folder else Path(f"{path.name}-{form}")


def _check_request(form: str, out: Path, int8: bool, pooling: str) -> None:
    """Checks the arguments of ``export`` before seconds are spent on loading the model."""
    if form not in FORMATS:
        raise BertkitError(f"format must be one of {', '.join(FORMATS)}, got '{form}'")
    if int8 and form != "onnx":
        raise BertkitError("int8 is for the format onnx: leave it out, or give --format onnx")
    if pooling not in POOLINGS:
        raise BertkitError(
            f"sentence-transformers holds one vector a text: pooling must be mean or cls, got '{pooling}'"
        )
    if pooling != "mean" and form != FORMAT:
        raise BertkitError(f"pooling is for the format {FORMAT}: leave it out, or give --format {FORMAT}")
    check_new_or_empty(out)
    if form == "onnx":
        for name in ("onnx", "onnxruntime"):
            import_extra(name, "onnx")


def _load(model: str, folder: Path) -> "tuple[list[Head], PreTrainedModel]":
    """The heads that a model was trained with, and the model as the class of transformers that has just these."""
    config = read_config(folder, model)
    check_problem_type(config, model)
    if (task := linear_class(config)) is not None:
        loaded = load_for(task, model)[0]
        # Fields that bertkit's heads store there, such as a threshold for "no answer".
        loaded.config.update({name: value for name, value in config.items() if name.startswith("bertkit_")})
        return ["task"], loaded
    parts = ("cls.predictions.", "cls.seq_relationship.", "bert.pooler.")
    loaded, new = load_for("BertForPreTraining", model, optional=parts)
    words, pairs = "masked-word head" not in new, not {"next-sentence head", "pooler"} & {*new}
    if words and pairs:
        return ["words", "pairs"], loaded
    if words:
        return ["words"], load_for("BertForMaskedLM", model)[0]
    if pairs:
        return ["pairs"], load_for("BertForNextSentencePrediction", model)[0]
    encoder: Any = loaded.bert
    if "pooler" in new:
        encoder.pooler = None
    return [], encoder


def _torch_bert(model: str, head: Head) -> Bert:
    from bertkit.runtime.torch_bert import TorchBert

    return TorchBert(model, head, "cpu")


def _write_half(loaded: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", folder: Path) -> None:
    for name, weight in loaded.half().named_parameters():
        if not bool(weight.isfinite().all()):
            raise BertkitError(
                f"as half the model says something else than the original: {name} has numbers over 65,504, the largest "
                "that 16 bits hold; keep the original, or export it in another form"
            )
    save_model(loaded, tokenizer, folder)
