"""Writes a BERT as one ONNX graph, which ``runtime/onnx_bert.py`` describes and runs without torch."""

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.extras import import_extra
from bertkit.io.atomic import disk_errors
from bertkit.io.structured import read_json
from bertkit.models.card import python_text
from bertkit.models.linear_heads import LINEAR_HEADS
from bertkit.models.tokenizer import save_tokenizer
from bertkit.runtime.base import Head
from bertkit.runtime.onnx_bert import CLASS_LOGITS, GRAPH, ONE_BY_ONE, OUTPUTS, TOKEN_LOGITS
from bertkit.signals import held_back

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_USAGE = {
    "words": """
bert = bertkit.load({name})
print(bert.fill("she opened the [MASK] ."))
""",
    "task": """
predict = bertkit.load_predictor({name})
rows = [{row}]  # or dictionaries with the columns that the model was fine-tuned on
print(predict(rows))
""",
    "none": """
bert = bertkit.load({name})
print(bert.embed(["what a lovely day"]))
""",
}


def write_onnx(
    loaded: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", heads: Sequence[Head], folder: Path, int8: bool
) -> None:
    """Writes the graph, its configuration and its tokenizer into a folder.

    Args:
        loaded: the model.
        tokenizer: its tokenizer.
        heads: the heads whose outputs the graph has, beside hidden states.
        folder: the folder to write into.
        int8: store the weights as 8-bit numbers.
    """
    loaded.config.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    path = folder / GRAPH
    with warnings.catch_warnings(), disk_errors(folder):
        # The older exporter needs no further library. It warns that it is no longer the default, and wherever
        # transformers looks at a shape. That shapes stay free is checked later, on texts of many lengths.
        warnings.simplefilter("ignore")
        _trace(loaded, heads, path)
        if int8:
            _quantize(path)


def usage_of(folder: Path, name: str, heads: Sequence[Head]) -> str:
    """Lines of Python for the card that use a graph.

    Args:
        folder: has the graph.
        name: what the folder will be called.
        heads: the heads whose outputs the graph has.
    """
    row = json.dumps(_row_for(read_json(folder / "config.json")))
    usage = _USAGE[next((head for head in heads if head in _USAGE), "none")].format(name=python_text(name), row=row)
    return f"import bertkit  # pip install 'bertkit[onnx]'; torch is not needed\n{usage}"


def _row_for(config: dict[str, Any]) -> Any:
    """A text or a row that a model of this config.json predicts, as an example."""
    kind = next(iter(config.get("architectures") or ()), "")
    if kind.endswith("QuestionAnswering"):
        return {"question": "Where did Ana move?", "context": "Ana moved to Oslo."}
    if kind.endswith("MultipleChoice"):
        return {"question": "he was hungry .", "choices": ["he slept .", "he ate an apple ."]}
    if config.get("bertkit_texts") == 2:
        return {"sentence1": "he was hungry .", "sentence2": "he ate an apple ."}
    return "what a lovely day"


def _trace(loaded: "PreTrainedModel", heads: Sequence[Head], path: Path) -> None:
    """Writes the graph that ``runtime/onnx_bert.py`` describes."""
    import torch

    # Plain matrix products: onnxruntime fuses them by itself.
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
    # The exporter's C++ calls Python, and an exception that a signal raises there would be a segmentation fault.
    with held_back("finishing the ONNX graph, then ending …"):
        torch.onnx.export(
            _all_outputs(loaded, heads).eval(),
            tuple(inputs.values()),
            str(path),
            dynamo=False,
            opset_version=17,  # the first version with layer normalisation as one operation
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes={name: axes for name, axes in free.items() if name in (*inputs, *outputs)},
        )


def _output(head: Head, loaded: "PreTrainedModel") -> str:
    """The name of the graph's output for a head."""
    if head != "task":
        return OUTPUTS[head]
    return CLASS_LOGITS if LINEAR_HEADS[type(loaded).__name__].is_pooled else TOKEN_LOGITS


def _all_outputs(loaded: Any, heads: Sequence[Head]) -> Any:
    import torch

    class AllOutputs(torch.nn.Module):
        """A BERT as a function from the graph's inputs to its outputs."""

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
    """Replaces a graph by one with 8-bit weights; activations are rounded to 8 bits as they are computed."""
    quantization = import_extra("onnxruntime.quantization", "onnx")
    small = path.with_name("int8.onnx")
    logging.disable(logging.WARNING)  # it recommends a step that only other graphs need
    try:
        # Unsigned, for signed products overflow on x86 processors without VNNI.
        quantization.quantize_dynamic(path, small, weight_type=quantization.QuantType.QUInt8, per_channel=True)
    finally:
        logging.disable(logging.NOTSET)
    onnx = import_extra("onnx", "onnx")
    graph = onnx.load(small)
    onnx.helper.set_model_props(graph, {ONE_BY_ONE: "8-bit activations"})
    onnx.save(graph, small)
    small.replace(path)
