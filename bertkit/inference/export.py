"""A trained BERT in other forms: in half precision, or as one ONNX graph that onnxruntime runs without torch.

What was written is read back and compared with the model it came from, on real text, before the folder appears.
"""

import json
import logging
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit import console
from bertkit.assets import EMBEDDED_CORPUS
from bertkit.errors import BertkitError
from bertkit.io.atomic import disk_errors, new_folder
from bertkit.models.bert import left_out, load_for, own_tokenizer, save_model
from bertkit.models.folder import bert_folder
from bertkit.models.headed import LINEAR_HEADS, linear_class
from bertkit.models.tokenizer import save_tokenizer
from bertkit.runtime.base import Bert, Head
from bertkit.runtime.onnx_bert import CLASS_LOGITS, GRAPH, OUTPUTS, TOKEN_LOGITS, OnnxBert, import_extra
from bertkit.runtime.text import Encoding, Pieces, any_pieces

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

FORMATS = ("onnx", "half")
# Beside the weights: the card, and the recipe, from which `predict` knows the length and the columns of a classifier.
_COMPANIONS = ("README.md", "recipe.toml")
# Largest differences allowed, as shares of the largest number there is (or of 1, where all are smaller).
_TOLERANCES = {"onnx": 1e-4, "half": 1e-2}
# With 8-bit weights single numbers may be far off. What counts is that words come out in the same place, and for all
# else what share of the whole the differences make up. (BERT-Tiny: 88 % of the first words, shares below 4 %.)
_INT8_SAME_WORDS, _INT8_SHARE = 0.7, 0.15
_EVERY_MASKED = 7


@dataclass(frozen=True)
class Difference:
    """What an exported model says, beside what the original says, over all texts of the check."""

    what: str
    largest: float
    """Largest absolute difference of two numbers."""
    scale: float
    """Largest absolute number of the original, at least 1."""
    share: float
    """Root of the sum of squared differences, over that of the original's numbers."""
    same_choice: float | None
    """Share of the rows with the largest number at the same place; None for hidden states."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        texts: how many the check read.
        tokens: of the shortest and of the longest of them.
    """

    folder: Path
    weights: Path
    texts: int
    tokens: tuple[int, int]
    differences: list[Difference]


def export(model: str, form: str, out: Path, int8: bool = False) -> Exported:
    """Writes a model in another form into a new folder, checked against the original.

    Args:
        model: a folder, a name on the hub, or "embedded".
        form: "half": a Hugging Face folder with weights of 16 bits, half as large. "onnx": one graph for all that the
            model was trained for, see ``runtime/onnx_bert.py``.
        out: a folder that is not there yet, or is empty.
        int8: the graph's weights as 8-bit numbers, a quarter to a half as large.

    Raises:
        BertkitError: the model cannot be had; the folder is not empty; what was written says something else than the
            original. Nothing is left behind.
    """
    if form not in FORMATS:
        raise BertkitError(f"format must be one of {', '.join(FORMATS)}, got '{form}'")
    if int8 and form != "onnx":
        raise BertkitError("int8 is for the format onnx: leave it out, or give --format onnx")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise BertkitError(f"{out} is there already, and not empty: name another folder with --out")
    if form == "onnx":  # before seconds go into loading the model
        for name in ("onnx", "onnxruntime"):
            import_extra(name)
    folder = bert_folder(model)
    heads, loaded = _load(model, folder)
    tokenizer = own_tokenizer(folder, model)
    for told in left_out(folder, model):
        console.note(console.plain(told))
    check = _Check(
        any_pieces(folder, model), heads, loaded.config.max_position_embeddings, loaded.config.type_vocab_size > 1
    )
    # As the reader of torch sees it: the very numbers that the other commands give.
    expected = {head: check.answers(_torch_bert(model, head), head) for head in check.heads}
    with new_folder(out) as fresh:
        if form == "half":
            _write_half(loaded, tokenizer, fresh)
        else:
            _write_onnx(loaded, tokenizer, heads, fresh, int8)
        for name in _COMPANIONS:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, fresh / name)
        differences = []
        for head in check.heads:
            bert: Bert = OnnxBert(fresh, head) if form == "onnx" else _torch_bert(str(fresh), head)
            differences.append(_difference(head, check.answers(bert, head), expected[head]))
            _refuse_if_far(differences[-1], form, int8)
    lengths = [len(text.ids) for text in check.texts]
    weights = out / (GRAPH if form == "onnx" else "model.safetensors")
    return Exported(out, weights, len(lengths), (min(lengths), max(lengths)), differences)


def _load(model: str, folder: Path) -> "tuple[list[Head], PreTrainedModel]":
    """What a model was trained for, and the model as the class of transformers that has just that."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if (task := linear_class(config)) is not None:
        return ["task"], load_for(task, model)[0]
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


def _write_onnx(
    loaded: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", heads: Sequence[Head], folder: Path, int8: bool
) -> None:
    loaded.config.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    path = folder / GRAPH
    with warnings.catch_warnings(), disk_errors(folder):
        # The older exporter, which needs no further library: it warns that it is not the default any more, and where
        # transformers looks at a shape; that shapes stay free is checked below, on texts of many lengths.
        warnings.simplefilter("ignore")
        _trace(loaded, heads, path)
        if int8:
            _quantize(path)


def _trace(loaded: "PreTrainedModel", heads: Sequence[Head], path: Path) -> None:
    """Writes the graph that ``runtime/onnx_bert.py`` describes."""
    import torch

    # Plain matrix products, which onnxruntime fuses by itself.
    loaded.set_attn_implementation("eager")
    layers = loaded.config.num_hidden_layers + 1
    types = torch.zeros(2, 6, dtype=torch.int64)
    mask = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]])
    inputs = {"input_ids": torch.zeros_like(types), "attention_mask": mask, "token_type_ids": types}
    if "words" in heads:
        inputs["places"] = torch.tensor([1, 7, 8])
    outputs = [*(_output(head, loaded) for head in heads), *(f"{OUTPUTS['none']}{layer}" for layer in range(layers))]
    text = {0: "batch", 1: "length"}
    free: dict[str, dict[int, str]] = dict.fromkeys((*inputs, *outputs), text)
    free |= {"places": {0: "places"}, "word_logits": {0: "places"}}
    free |= dict.fromkeys((OUTPUTS["pairs"], CLASS_LOGITS), {0: "batch"})
    torch.onnx.export(
        _all_outputs(loaded, heads).eval(),
        tuple(inputs.values()),
        str(path),
        dynamo=False,
        opset_version=17,  # the first with layer normalisation in one piece
        input_names=list(inputs),
        output_names=outputs,
        dynamic_axes={name: axes for name, axes in free.items() if name in (*inputs, *outputs)},
    )


def _output(head: Head, loaded: "PreTrainedModel") -> str:
    """The name of the graph's output for what is asked of a model."""
    if head != "task":
        return OUTPUTS[head]
    return CLASS_LOGITS if LINEAR_HEADS[type(loaded).__name__].is_pooled else TOKEN_LOGITS


def _all_outputs(loaded: Any, heads: Sequence[Head]) -> Any:
    import torch

    class AllOutputs(torch.nn.Module):
        """A BERT as a function of the graph's inputs that gives all of the graph's outputs."""

        def __init__(self) -> None:
            super().__init__()
            self.model = loaded

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor,
            places: torch.Tensor | None = None,
        ) -> tuple[torch.Tensor, ...]:
            encoder = getattr(self.model, "bert", self.model)
            read = encoder(input_ids, attention_mask, token_type_ids, output_hidden_states=True)
            outputs = []
            for head in heads:
                if head == "words":
                    hidden = read.last_hidden_state.flatten(0, 1).index_select(0, places)
                    outputs.append(self.model.cls.predictions(hidden))
                elif head == "pairs":
                    outputs.append(self.model.cls.seq_relationship(read.pooler_output))
                else:
                    layer, is_pooled, _ = LINEAR_HEADS[type(self.model).__name__]
                    outputs.append(getattr(self.model, layer)(read.pooler_output if is_pooled else read[0]))
            return (*outputs, *read.hidden_states)

    return AllOutputs()


def _quantize(path: Path) -> None:
    """Replaces a graph by one with 8-bit weights; what flows between them is rounded to 8 bits as it comes."""
    quantization = import_extra("onnxruntime.quantization")
    small = path.with_name("int8.onnx")
    logging.disable(logging.WARNING)  # it would recommend a step that graphs from elsewhere need
    try:
        # Unsigned: signed products overflow on x86 processors without VNNI.
        quantization.quantize_dynamic(path, small, weight_type=quantization.QuantType.QUInt8, per_channel=True)
    finally:
        logging.disable(logging.NOTSET)
    small.replace(path)


class _Check:
    """The texts of the check, and what a model says of them: lone sentences, pairs, and texts up to the longest."""

    def __init__(self, pieces: Pieces, heads: Sequence[Head], longest: int, has_segments: bool) -> None:
        self.heads: list[Head] = [*heads, "none"]
        lines = [line for line in EMBEDDED_CORPUS.read_text(encoding="utf-8").splitlines() if line]
        encoded = [pieces.encode(line) for line in lines[:32]]
        encoded += [pieces.encode(" ".join(lines[50 : 50 + number])) for number in (4, 12, 50, 100)]
        if has_segments:
            encoded += [pieces.encode(*lines[begin : begin + 2]) for begin in range(32, 48, 2)]
        self.texts = [Encoding(one.ids[:longest], one.type_ids[:longest]) for one in encoded]
        self.places = [list(range(1, len(one.ids) - 1, _EVERY_MASKED)) or [0] for one in self.texts]
        self._masked = [
            Encoding([pieces.mask_id if i in places else id_ for i, id_ in enumerate(one.ids)], one.type_ids)
            for one, places in zip(self.texts, self.places, strict=True)
        ]

    def answers(self, bert: Bert, head: Head) -> np.ndarray:
        """What a model says of all texts, a row a place, a text, or a token: float32 ``[rows, columns]``."""
        if head == "words":
            return np.concatenate(bert.word_log_probabilities(self._masked, self.places))
        if head == "pairs":
            return bert.next_sentence_logits(self.texts)
        if head == "task":
            return np.concatenate([np.atleast_2d(one) for one in bert.head_logits(self.texts)])
        layers = range(bert.config["num_hidden_layers"] + 1)
        states = bert.hidden_states(self.texts, layers)
        return np.concatenate([one.transpose(1, 0, 2).reshape(one.shape[1], -1) for one in states])


_NAMES: dict[Head, str] = {
    "words": "word log-probabilities",
    "pairs": "next-sentence logits",
    "task": "class logits",
    "none": "hidden states",
}


def _difference(head: Head, found: np.ndarray, expected: np.ndarray) -> Difference:
    apart = np.abs(found - expected)
    same = (found.argmax(axis=1) == expected.argmax(axis=1)).mean()
    return Difference(
        _NAMES[head],
        float(apart.max()),
        max(1.0, float(np.abs(expected).max())),
        float(np.linalg.norm(apart) / max(float(np.linalg.norm(expected)), 1e-30)),
        None if head == "none" else float(same),
    )


def _refuse_if_far(difference: Difference, form: str, int8: bool) -> None:
    """Raises a BertkitError where an exported model says something else than the original. NaN is something else."""
    if not int8:
        fits = difference.largest <= _TOLERANCES[form] * difference.scale
        found = f"differ by up to {difference.largest:.2g} (largest number: {difference.scale:.3g})"
    elif difference.what == _NAMES["words"]:
        fits = difference.same_choice is not None and difference.same_choice >= _INT8_SAME_WORDS
        found = f"put another word first at {1 - (difference.same_choice or 0):.0%} of the masks"
    else:
        fits = difference.share <= _INT8_SHARE
        found = f"differ by {difference.share:.0%} of their size"
    if not fits:
        raise BertkitError(
            f"as {'int8' if int8 else form} the model says something else than the original, so nothing was written: "
            f"its {difference.what} {found}; keep the original, or export it in another form"
        )
