"""BERT's forward pass in plain numpy, over a safetensors file.

For a few texts on a CPU: importing torch and transformers takes seconds, and this a fraction of one. It computes what
``transformers.models.bert.modeling_bert`` computes in fp32, dropout off, one text at a time and so without padding.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS = "model.safetensors"


class UnsupportedError(Exception):
    """This model needs torch; the message says why."""


def erf(x: np.ndarray) -> np.ndarray:
    """The error function of fp32 numbers, to about 4e-7 (the rational approximation of Eigen and XLA)."""
    x = np.clip(x, -3.832506856900711, 3.832506856900711)
    square = x * x
    top = np.float32(-2.72614225801306e-10)
    for coefficient in (2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04,
                        -2.95459980854025e-03, -1.60960333262415e-02):  # fmt: skip
        top = top * square + np.float32(coefficient)
    bottom = np.float32(-1.45660718464996e-05)
    for coefficient in (-2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02):
        bottom = bottom * square + np.float32(coefficient)
    return x * top / bottom


def _gelu(x: np.ndarray) -> np.ndarray:
    return x * np.float32(0.5) * (1 + erf(x * np.float32(math.sqrt(0.5))))


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    return x * np.float32(0.5) * (1 + np.tanh(np.float32(math.sqrt(2 / math.pi)) * (x + np.float32(0.044715) * x**3)))


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu": _gelu,
    "gelu_new": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "relu": lambda x: np.maximum(x, 0),
}


def softmax(x: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    shifted = np.exp(x - x.max(axis=-1, keepdims=True))
    shares: np.ndarray = shifted / shifted.sum(axis=-1, keepdims=True)
    return shares


class NumpyBert:
    """A BERT with a masked-word head.

    Args:
        folder: with config.json and model.safetensors, also with the names of old checkpoints (gamma, beta).

    Raises:
        UnsupportedError: what this cannot compute, or cannot find.
    """

    def __init__(self, folder: Path) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            self.config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self._file = safe_open(folder / WEIGHTS, "np")
            self._names = {_name_of_today(name): name for name in self._file.keys()}  # noqa: SIM118 (not a dictionary)
            self._check_config()
            self._check_weights()
            self.heads = int(self.config["num_attention_heads"])
        except (OSError, ValueError, TypeError, KeyError, AttributeError, SafetensorError) as error:
            raise UnsupportedError(f"{folder} cannot be read ({error})") from error
        if self.heads < 1 or self.config["hidden_size"] % self.heads:
            raise UnsupportedError(f"{self.heads} attention heads")
        self._activation = ACTIVATIONS[self.config.get("hidden_act", "gelu")]
        self._epsilon = np.float32(self.config.get("layer_norm_eps", 1e-12))
        self._embeddings = self._weight("bert.embeddings.word_embeddings.weight")

    @property
    def rows(self) -> int:
        """Rows of the vocabulary, those that pad it included."""
        return len(self._embeddings)

    @property
    def max_position_embeddings(self) -> int:
        """Tokens that it reads at most."""
        return int(self.config["max_position_embeddings"])

    def hidden(self, ids: list[int]) -> np.ndarray:
        """Hidden states of the last layer, fp32 ``[tokens, hidden_size]``, of one text that is one segment."""
        with np.errstate(over="ignore", invalid="ignore"):  # damaged weights give what they give in torch: nan
            return self._hidden(ids)

    def _hidden(self, ids: list[int]) -> np.ndarray:
        places = self._weight("bert.embeddings.position_embeddings.weight")[: len(ids)]
        segment = self._weight("bert.embeddings.token_type_embeddings.weight")[0]
        hidden = self._normed(self._embeddings[ids] + segment + places, "bert.embeddings")
        for number in range(self.config["num_hidden_layers"]):
            hidden = self._layer(hidden, f"bert.encoder.layer.{number}")
        return hidden

    def word_probabilities(self, hidden: np.ndarray) -> np.ndarray:
        """Of each word piece at some places: ``[places, hidden_size]`` → fp32 ``[places, rows]``."""
        with np.errstate(over="ignore", invalid="ignore"):
            return softmax(self._word_logits(hidden))

    def _word_logits(self, hidden: np.ndarray) -> np.ndarray:
        head = "cls.predictions"
        transformed = self._activation(self._linear(hidden, f"{head}.transform.dense"))
        transformed = self._normed(transformed, f"{head}.transform")
        tied = self.config.get("tie_word_embeddings", True) or f"{head}.decoder.weight" not in self._names
        decoder = self._embeddings if tied else self._weight(f"{head}.decoder.weight")
        # Tied, the two biases are one, and saved under either name; untied, that of the decoder counts.
        names = [f"{head}.bias", f"{head}.decoder.bias"][:: 1 if tied else -1]
        bias = self._weight(next(name for name in names if name in self._names))
        logits: np.ndarray = transformed @ decoder.T + bias
        return logits

    def _layer(self, hidden: np.ndarray, name: str) -> np.ndarray:
        size = hidden.shape[1] // self.heads
        query, key, value = (
            self._linear(hidden, f"{name}.attention.self.{part}").reshape(-1, self.heads, size).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        shares = softmax(query @ key.transpose(0, 2, 1) * np.float32(1 / math.sqrt(size)))
        context = (shares @ value).transpose(1, 0, 2).reshape(hidden.shape)
        attended = self._normed(
            self._linear(context, f"{name}.attention.output.dense") + hidden, f"{name}.attention.output"
        )
        inner = self._activation(self._linear(attended, f"{name}.intermediate.dense"))
        return self._normed(self._linear(inner, f"{name}.output.dense") + attended, f"{name}.output")

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        y: np.ndarray = x @ self._weight(f"{name}.weight").T + self._weight(f"{name}.bias")
        return y

    def _normed(self, x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._epsilon)
        y: np.ndarray = scaled * self._weight(f"{name}.LayerNorm.weight") + self._weight(f"{name}.LayerNorm.bias")
        return y

    def _weight(self, name: str) -> np.ndarray:
        """A weight as fp32."""
        weight: np.ndarray = self._file.get_tensor(self._names[name])
        return weight.astype(np.float32, copy=False)

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

    def _check_weights(self) -> None:
        """Every weight there, of the right shape, in a type that numpy has."""
        size, inner = self.config["hidden_size"], self.config["intermediate_size"]
        wanted: dict[str, list[int]] = {
            "bert.embeddings.word_embeddings.weight": [self.config["vocab_size"], size],
            "bert.embeddings.position_embeddings.weight": [self.config["max_position_embeddings"], size],
            "bert.embeddings.token_type_embeddings.weight": [self.config.get("type_vocab_size", 2), size],
            **_normalisation("bert.embeddings", size),
            **_dense("cls.predictions.transform.dense", size, size),
            **_normalisation("cls.predictions.transform", size),
        }
        for number in range(self.config["num_hidden_layers"]):
            layer = f"bert.encoder.layer.{number}"
            for part in ("self.query", "self.key", "self.value", "output.dense"):
                wanted |= _dense(f"{layer}.attention.{part}", size, size)
            wanted |= _dense(f"{layer}.intermediate.dense", inner, size) | _dense(f"{layer}.output.dense", size, inner)
            wanted |= _normalisation(f"{layer}.attention.output", size) | _normalisation(f"{layer}.output", size)
        for name, shape in wanted.items():
            if name not in self._names:
                raise UnsupportedError(f"it has no {name}")
            found = self._file.get_slice(self._names[name])
            if found.get_shape() != shape or found.get_dtype() not in ("F32", "F16", "F64"):
                raise UnsupportedError(f"{name} is {found.get_dtype()} {found.get_shape()}")
        if not {"cls.predictions.bias", "cls.predictions.decoder.bias"} & self._names.keys():
            raise UnsupportedError("it has no cls.predictions.bias")


def _dense(name: str, rows: int, columns: int) -> dict[str, list[int]]:
    return {f"{name}.weight": [rows, columns], f"{name}.bias": [rows]}


def _normalisation(name: str, size: int) -> dict[str, list[int]]:
    return {f"{name}.LayerNorm.weight": [size], f"{name}.LayerNorm.bias": [size]}


def _name_of_today(name: str) -> str:
    """The name of a weight as transformers writes it now."""
    name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
    return name if name.startswith(("bert.", "cls.")) else f"bert.{name}"
