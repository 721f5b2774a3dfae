"""BERT's forward pass in plain numpy, on the weights of a safetensors file.

It is meant for a few texts on a CPU: importing torch and transformers takes seconds, and this a fraction of one. It
computes the same as ``transformers.models.bert.modeling_bert`` in fp32 without dropout. Texts of the same length are
computed together, so there is no padding. Shapes: B texts of L tokens, H the hidden size.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit.io.structured import parsed_json
from bertkit.models.folder import TIED, WEIGHTS, name_of_today
from bertkit.models.linear_heads import LINEAR_HEADS, LinearHead, linear_class
from bertkit.runtime.base import finite
from bertkit.runtime.batches import TOKENS_AT_ONCE
from bertkit.runtime.text import Encoding, UnsupportedError

if TYPE_CHECKING:
    from bertkit.runtime.base import Head


def erf(x: np.ndarray) -> np.ndarray:
    """The error function in fp32, accurate to about 4e-7 (the rational approximation that Eigen and XLA use)."""
    x = np.clip(x, -3.832506856900711, 3.832506856900711)
    square = x * x
    top = np.float32(-2.72614225801306e-10)
    for coefficient in (2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04,
                        -2.95459980854025e-03, -1.60960333262415e-02):  # fmt: skip
        top = top * square + np.float32(coefficient)
    bottom = np.float32(-1.45660718464996e-05)
    for coefficient in (-2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02):
        bottom = bottom * square + np.float32(coefficient)
    value: np.ndarray = x * top / bottom
    return value


def _gelu(x: np.ndarray) -> np.ndarray:
    value: np.ndarray = x * np.float32(0.5) * (1 + erf(x * np.float32(math.sqrt(0.5))))
    return value


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    tanh = np.tanh(np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3))
    value: np.ndarray = x * np.float32(0.5) * (1 + tanh)
    return value


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": lambda x: np.maximum(x, 0),
}


def softmax(x: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    shifted = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return shares


def log_softmax(x: np.ndarray) -> np.ndarray:
    """Along the last axis."""
    shifted = x - x.max(axis=-1, keepdims=True)
    logs: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logs


class NumpyBert:
    """A BERT in numpy (a ``base.Bert``).

    Args:
        folder: has config.json and model.safetensors, whose weights may have the names of old checkpoints (gamma, beta).
        head: the head that will be used.

    Raises:
        UnsupportedError: the model is of a kind that this class does not compute, or weights are missing.
    """

    def __init__(self, folder: Path, head: "Head") -> None:
        from safetensors import SafetensorError, safe_open

        try:
            self.config: dict[str, Any] = parsed_json((folder / "config.json").read_text(encoding="utf-8"))
            self._file = safe_open(folder / WEIGHTS, "np")
            self._names = {name_of_today(name): name for name in self._file.keys()}  # noqa: SIM118 (not a dictionary)
            self._loaded: dict[str, np.ndarray] = {}
            self._check_config()
            self._check_weights(head)
            self.heads = int(self.config["num_attention_heads"])
            self._activation = ACTIVATIONS[self.config.get("hidden_act", "gelu")]
            self._epsilon = np.float32(float(self.config.get("layer_norm_eps", 1e-12)))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:
            raise UnsupportedError(f"{folder} cannot be read ({error})") from error
        if self.heads < 1 or self.config["hidden_size"] % self.heads:
            raise UnsupportedError(f"{self.heads} attention heads")
        self.rows: int = self.config["vocab_size"]

    @finite
    def word_log_probabilities(self, texts: Sequence[Encoding], places: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """As in ``base.Bert``."""
        at_places = self._by_length(texts, lambda numbers, states: [
            state[list(places[number])] for number, state in zip(numbers, states[-1], strict=True)
        ])  # fmt: skip
        with _overflowing():
            return [log_softmax(self._word_logits(hidden)) for hidden in at_places]

    @finite
    def next_sentence_logits(self, texts: Sequence[Encoding]) -> np.ndarray:
        """As in ``base.Bert``."""
        return self._linear(self._pooled(texts), "cls.seq_relationship")

    @finite
    def head_logits(self, texts: Sequence[Encoding]) -> list[np.ndarray]:
        """As in ``base.Bert``."""
        head = self._task_head()
        if head.is_pooled:
            return list(self._linear(self._pooled(texts), head.layer))
        return self._by_length(texts, lambda _, states: list(self._linear(states[-1], head.layer)))

    @finite
    def hidden_states(self, texts: Sequence[Encoding], layers: Sequence[int]) -> list[np.ndarray]:
        """As in ``base.Bert``."""
        return self._by_length(texts, lambda _, states: list(
            np.stack([states[layer] for layer in layers], axis=1)
        ))  # fmt: skip

    def _pooled(self, texts: Sequence[Encoding]) -> np.ndarray:
        # Copies: a view of one token would keep the states of all tokens in memory.
        first = self._by_length(texts, lambda _, states: list(states[-1][:, 0].copy()))
        with _overflowing():
            pooled: np.ndarray = np.tanh(self._linear(np.stack(first), "bert.pooler.dense"))
            return pooled

    def _by_length(
        self, texts: Sequence[Encoding], taken: Callable[[list[int], list[np.ndarray]], list[np.ndarray]]
    ) -> list[np.ndarray]:
        """Computes texts of the same length together. ``taken`` gets their numbers and the states ``[B, L, H]`` of each
        layer, and returns what is kept for each text."""
        answers: list[np.ndarray] = [np.empty(0)] * len(texts)
        with _overflowing():
            for numbers in _of_one_length(texts):
                ids = np.array([texts[number].ids for number in numbers])
                types = np.array([texts[number].type_ids for number in numbers])
                for number, answer in zip(numbers, taken(numbers, self._states(ids, types)), strict=True):
                    answers[number] = answer
        return answers

    def _states(self, ids: np.ndarray, types: np.ndarray) -> list[np.ndarray]:
        """The states after the embeddings and after each layer, fp32 ``[B, L, H]``, for int64 ``[B, L]`` ids and segments."""
        places = self._weight("bert.embeddings.position_embeddings.weight")[: ids.shape[1]]
        segments = self._weight("bert.embeddings.token_type_embeddings.weight")[types]
        words = self._weight("bert.embeddings.word_embeddings.weight")[ids]
        states = [self._normed(words + segments + places, "bert.embeddings")]
        for number in range(self.config["num_hidden_layers"]):
            states.append(self._layer(states[-1], f"bert.encoder.layer.{number}"))
        return states

    def _word_logits(self, hidden: np.ndarray) -> np.ndarray:
        """The logits of the masked-word head: ``[places, H]`` → ``[places, rows]``."""
        head = "cls.predictions"
        transformed = self._activation(self._linear(hidden, f"{head}.transform.dense"))
        transformed = self._normed(transformed, f"{head}.transform")
        tied = self._is_tied()
        decoder = self._weight("bert.embeddings.word_embeddings.weight" if tied else f"{head}.decoder.weight")
        # With tied weights both biases are the same, and may be saved under either name; else the decoder's counts.
        names = [f"{head}.bias", f"{head}.decoder.bias"][:: 1 if tied else -1]
        bias = self._weight(next(name for name in names if name in self._names))
        logits: np.ndarray = transformed @ decoder.T + bias
        return logits

    def _layer(self, hidden: np.ndarray, name: str) -> np.ndarray:
        batch, length, width = hidden.shape
        size = width // self.heads
        query, key, value = (
            self._linear(hidden, f"{name}.attention.self.{part}")
            .reshape(batch, length, self.heads, size)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        shares = softmax(query @ key.transpose(0, 1, 3, 2) * np.float32(1 / math.sqrt(size)))
        context = (shares @ value).transpose(0, 2, 1, 3).reshape(hidden.shape)
        attended = self._normed(
            self._linear(context, f"{name}.attention.output.dense") + hidden, f"{name}.attention.output"
        )
        inner = self._activation(self._linear(attended, f"{name}.intermediate.dense"))
        return self._normed(self._linear(inner, f"{name}.output.dense") + attended, f"{name}.output")

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        # Flattened into one matrix product: numpy would make one for each text.
        flat = x.reshape(-1, x.shape[-1])
        y: np.ndarray = flat @ self._weight(f"{name}.weight").T + self._weight(f"{name}.bias")
        return y.reshape(*x.shape[:-1], y.shape[-1])

    def _normed(self, x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._epsilon)
        y: np.ndarray = scaled * self._weight(f"{name}.LayerNorm.weight") + self._weight(f"{name}.LayerNorm.bias")
        return y

    def _weight(self, name: str) -> np.ndarray:
        """A weight as fp32; it is read from the file once."""
        if name not in self._loaded:
            weight: np.ndarray = self._file.get_tensor(self._names[name])
            self._loaded[name] = weight.astype(np.float32, copy=False)
        return self._loaded[name]

    def _check_config(self) -> None:
        config = self.config
        for name, supported in (
            ("model_type", ("bert",)),
            ("hidden_act", tuple(ACTIVATIONS)),
            ("position_embedding_type", ("absolute",)),
            ("is_decoder", (False,)),
            ("add_cross_attention", (False,)),
        ):
            if config.get(name, supported[0]) not in supported:
                raise UnsupportedError(f"{name} is {config[name]}")

    def _check_weights(self, head: "Head") -> None:
        """Raises an UnsupportedError unless all weights for the head are there, with the right shape, in a type of numpy's."""
        for name, shape in (self._encoder_weights() | self._head_weights(head)).items():
            if name not in self._names:
                raise UnsupportedError(f"it has no {name}")
            stored = self._file.get_slice(self._names[name])
            if stored.get_shape() != shape or stored.get_dtype() not in ("F32", "F16", "F64"):
                raise UnsupportedError(f"{name} is {stored.get_dtype()} {stored.get_shape()}")
        if head == "words" and not {"cls.predictions.bias", "cls.predictions.decoder.bias"} & self._names.keys():
            raise UnsupportedError("it has no cls.predictions.bias")
        if head == "words" and self._is_tied():
            self._check_tied()

    def _is_tied(self) -> bool:
        return bool(self.config.get("tie_word_embeddings", True))

    def _check_tied(self) -> None:
        """Raises an UnsupportedError where the file has a decoder of its own, which torch keeps. (Most have none: that is
        checked in no time.)"""
        for name, source in TIED.items():
            if name in self._names and source in self._names:
                stored = self._file.get_tensor(self._names[name])
                if not np.array_equal(stored, self._weight(source)):
                    raise UnsupportedError(f"{name} is not {source}")

    def _encoder_weights(self) -> dict[str, list[int]]:
        size, inner = self.config["hidden_size"], self.config["intermediate_size"]
        wanted: dict[str, list[int]] = {
            "bert.embeddings.word_embeddings.weight": [self.config["vocab_size"], size],
            "bert.embeddings.position_embeddings.weight": [self.config["max_position_embeddings"], size],
            "bert.embeddings.token_type_embeddings.weight": [self.config.get("type_vocab_size", 2), size],
            **_normalisation("bert.embeddings", size),
        }
        for number in range(self.config["num_hidden_layers"]):
            layer = f"bert.encoder.layer.{number}"
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                wanted |= _dense(f"{layer}.attention.{part}", size, size)
            wanted |= _dense(f"{layer}.intermediate.dense", inner, size) | _dense(f"{layer}.output.dense", size, inner)
            wanted |= _normalisation(f"{layer}.attention.output", size) | _normalisation(f"{layer}.output", size)
        return wanted

    def _head_weights(self, head: "Head") -> dict[str, list[int]]:
        size = self.config["hidden_size"]
        if head == "words":
            transform = "cls.predictions.transform"
            return _dense(f"{transform}.dense", size, size) | _normalisation(transform, size) | self._decoder_weights()
        pooler = _dense("bert.pooler.dense", size, size)
        if head == "pairs":
            return pooler | _dense("cls.seq_relationship", 2, size)
        if head == "task":
            task = self._task_head()
            outputs = task.outputs or len(self.config.get("id2label", (0, 1)))
            return (pooler if task.is_pooled else {}) | _dense(task.layer, outputs, size)
        return {}

    def _decoder_weights(self) -> dict[str, list[int]]:
        """Those of the decoder that are in the file; its weight has to be, unless it is the embeddings."""
        head, rows = "cls.predictions", self.config["vocab_size"]
        decoder = {f"{head}.decoder.weight": [rows, self.config["hidden_size"]]}
        wanted = decoder | {f"{head}.bias": [rows], f"{head}.decoder.bias": [rows]}
        needed = set() if self._is_tied() else decoder.keys()
        return {name: shape for name, shape in wanted.items() if name in self._names or name in needed}

    def _task_head(self) -> LinearHead:
        name = linear_class(self.config)
        if name is None:
            raise UnsupportedError("it has no linear head of a task")
        return LINEAR_HEADS[name]


def _of_one_length(texts: Sequence[Encoding]) -> Iterator[list[int]]:
    """Batches of texts of the same length, as lists of their numbers; they are bounded, and so is the memory they take."""
    numbers: dict[int, list[int]] = {}
    for number, text in enumerate(texts):
        numbers.setdefault(len(text.ids), []).append(number)
    for length, alike in numbers.items():
        at_once = max(1, TOKENS_AT_ONCE["cpu"] // max(1, length))
        yield from (alike[begin : begin + at_once] for begin in range(0, len(alike), at_once))


def _overflowing() -> np.errstate:
    """Lets damaged weights give infinity and NaN without numpy's warnings, as in torch."""
    return np.errstate(over="ignore", invalid="ignore")


def _dense(name: str, rows: int, columns: int) -> dict[str, list[int]]:
    return {f"{name}.weight": [rows, columns], f"{name}.bias": [rows]}


def _normalisation(name: str, size: int) -> dict[str, list[int]]:
    return {f"{name}.LayerNorm.weight": [size], f"{name}.LayerNorm.bias": [size]}
