"""BERT's forward pass by onnxruntime, on the graph that ``bertkit export`` writes; needs neither torch nor transformers.

One graph has all heads of a model, so that no weight is stored twice. Shapes: B texts of L tokens, H the hidden size, N
places, V rows of the vocabulary.

- Inputs, int64: ``input_ids``, ``attention_mask`` and ``token_type_ids``, each ``[B, L]``. A model with a masked-word head
  also has ``places`` ``[N]``: the tokens to guess, counted through the batch (text · L + token). It may be empty.
- Outputs, fp32: of ``word_logits`` ``[N, V]``, ``pair_logits`` ``[B, 2]`` and, for the head of a task, ``class_logits``
  ``[B, outputs]`` or ``token_logits`` ``[B, L, outputs]`` those that the model has; and ``hidden_0`` (the embeddings) and
  ``hidden_1`` … (the layers), each ``[B, L, H]``.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.errors import BertkitError
from bertkit.extras import import_extra
from bertkit.models.folder import has_weights
from bertkit.runtime.base import finite
from bertkit.runtime.batches import TOKENS_AT_ONCE, of_like_length, padded
from bertkit.runtime.numpy_bert import log_softmax
from bertkit.runtime.text import Encoding

if TYPE_CHECKING:
    from bertkit.runtime.base import Head

GRAPH = "model.onnx"
OUTPUTS: "dict[Head, str]" = {
    "words": "word_logits",
    "pairs": "pair_logits",
    "none": "hidden_",
}
"""The graph's outputs by head; the names of hidden states end with the number of the layer."""
CLASS_LOGITS, TOKEN_LOGITS = "class_logits", "token_logits"
"""The outputs of the head of a task, which reads either the pooled state or each token."""
_PARTS = {"words": "masked-word head", "pairs": "next-sentence head", "task": "head of a task"}
_TOKENS_AT_ONCE = TOKENS_AT_ONCE["cpu"]
ONE_BY_ONE = "bertkit_one_by_one"
"""A property of graphs that read a text at a time."""


def is_exported(folder: Path) -> bool:
    """Whether a folder holds a graph, but no weights for torch."""
    return (folder / GRAPH).is_file() and not has_weights(folder)


class OnnxBert:
    """A BERT by onnxruntime (a ``base.Bert``), on the CPU.

    Args:
        folder: has config.json and model.onnx.
        head: the head that will be used.

    Raises:
        BertkitError: onnxruntime is not installed, or the graph cannot be read or lacks the head.
    """

    def __init__(self, folder: Path, head: "Head") -> None:
        onnxruntime = import_extra("onnxruntime", "onnx")
        self._path = folder / GRAPH
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # no log: errors are raised, and bertkit says them in its own words
        try:
            self.config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self._layers = int(self.config["num_hidden_layers"]) + 1
            self._session = onnxruntime.InferenceSession(str(self._path), options, ["CPUExecutionProvider"])
        except Exception as error:  # the files come from outside, and may make the library raise anything
            raise BertkitError(f"cannot load {self._path}: {type(error).__name__}: {error}") from error
        # Activations are rounded in steps of the largest in their batch: texts that were read together would change each other.
        one_by_one = ONE_BY_ONE in self._session.get_modelmeta().custom_metadata_map
        self._tokens_at_once = 1 if one_by_one else _TOKENS_AT_ONCE
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        self._takes_places = "places" in {wanted.name for wanted in self._session.get_inputs()}
        if self._layers != sum(name.startswith(OUTPUTS["none"]) for name in shapes):
            raise BertkitError(f"{self._path} is not what bertkit exports for its config.json: export the model again")
        self._outputs = set(shapes)
        named = {CLASS_LOGITS, TOKEN_LOGITS} if head == "task" else {OUTPUTS[head]}
        if head != "none" and not named & self._outputs:
            raise BertkitError(f"the model {folder} has no {_PARTS[head]}: export a model that was trained with it")
        self.rows: int = shapes[OUTPUTS["words"]][1] if head == "words" else self.config["vocab_size"]

    @finite
    def word_log_probabilities(self, texts: Sequence[Encoding], places: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """As in ``base.Bert``."""
        answers: list[np.ndarray] = [np.empty(0)] * len(texts)
        for numbers, (logits,) in self._runs(texts, [OUTPUTS["words"]], places):
            ends = np.cumsum([len(places[number]) for number in numbers])
            for number, logs in zip(numbers, np.split(log_softmax(logits), ends[:-1]), strict=True):
                answers[number] = logs
        return answers

    @finite
    def next_sentence_logits(self, texts: Sequence[Encoding]) -> np.ndarray:
        """As in ``base.Bert``."""
        return self._by_text(texts, OUTPUTS["pairs"])

    @finite
    def head_logits(self, texts: Sequence[Encoding]) -> list[np.ndarray]:
        """As in ``base.Bert``."""
        if CLASS_LOGITS in self._outputs:
            return list(self._by_text(texts, CLASS_LOGITS))
        answers: list[np.ndarray] = [np.empty(0)] * len(texts)
        for numbers, (logits,) in self._runs(texts, [TOKEN_LOGITS]):
            for row, number in enumerate(numbers):
                answers[number] = logits[row, : len(texts[number].ids)]
        return answers

    @finite
    def hidden_states(self, texts: Sequence[Encoding], layers: Sequence[int]) -> list[np.ndarray]:
        """As in ``base.Bert``."""
        answers: list[np.ndarray] = [np.empty(0)] * len(texts)
        names = [f"{OUTPUTS['none']}{range(self._layers)[layer]}" for layer in layers]
        for numbers, states in self._runs(texts, names):
            for row, number in enumerate(numbers):
                answers[number] = np.stack([state[row, : len(texts[number].ids)] for state in states])
        return answers

    def _by_text(self, texts: Sequence[Encoding], output: str) -> np.ndarray:
        rows: dict[int, np.ndarray] = {}
        for numbers, (logits,) in self._runs(texts, [output]):
            rows |= dict(zip(numbers, logits, strict=True))
        return np.stack([rows[number] for number in range(len(texts))])

    def _runs(
        self, texts: Sequence[Encoding], outputs: Sequence[str], places: Sequence[Sequence[int]] | None = None
    ) -> Iterator[tuple[list[int], list[np.ndarray]]]:
        """Runs the graph batch by batch; for each the numbers of its texts, and the outputs that were asked for."""
        for numbers in of_like_length(texts, self._tokens_at_once):
            batch = padded([texts[number] for number in numbers], self.config.get("pad_token_id") or 0)
            length = batch["input_ids"].shape[1]
            if self._takes_places:
                asked = [] if places is None else [places[number] for number in numbers]
                flat = [row * length + place for row, of_text in enumerate(asked) for place in of_text]
                batch["places"] = np.array(flat, dtype=np.int64)
            try:
                results = self._session.run(list(outputs), batch)
            except Exception as error:  # a graph from outside that does not fit its config.json or tokenizer
                raise BertkitError(f"cannot run {self._path}: {error}") from error
            yield numbers, results
