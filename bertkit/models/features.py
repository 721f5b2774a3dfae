"""What reads the states of a BERT that is not trained: of one layer or several, by a linear layer or a BiLSTM.

Devlin et al. 2018, 5.3 and Table 7. Shapes: W tokens that are read, text after text, of B texts; H the hidden size; S the
numbers kept of a token: H, four of them where the last four layers stand side by side, all layers' where they are weighted.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn.utils.rnn import pack_sequence, unpack_sequence

from bertkit.console import one_line
from bertkit.errors import BertkitError
from bertkit.models.bert import check_finite, configuration, seeded
from bertkit.models.fast.attention import encode_layers
from bertkit.models.folder import FEATURES, read_config, weights_path
from bertkit.models.headed import LINEAR_HEADS

_LAST = {"last": 1, "sum-last-4": 4, "concat-last-4": 4}


class Reading(NamedTuple):
    """Which states are read and by what, as ``data.layers`` and ``train.classifier`` say it."""

    layers: str = "last"
    classifier: str = "linear"

    def depth(self, model: Any) -> int:
        """How many layers are read, counted from the last.

        Raises:
            BertkitError: the model has fewer.
        """
        there: int = model.config.num_hidden_layers
        wanted = _LAST.get(self.layers, there)
        if wanted > there:
            raise BertkitError(
                f"data.layers {self.layers} reads {wanted} layers, and the model has {there}: use weighted"
            )
        return wanted

    def numbers(self, model: Any) -> int:
        """How many are kept of a token: S."""
        width: int = model.config.hidden_size
        return width * (1 if self.layers == "sum-last-4" else self.depth(model))


class FeatureClassifier(nn.Module):
    """Stands where a BERT has its linear layer.

    Args:
        reading: what of the states is read, and how.
        layers: how many are read.
        width: H. A direction of each of the BiLSTM's two layers is as wide.
        outputs: numbers said of a token.
        dropout: of the states, between the BiLSTM's layers, and of what it says.
    """

    def __init__(self, reading: Reading, layers: int, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        is_weighted, has_lstm = reading.layers == "weighted", reading.classifier == "bilstm"
        self.shares = nn.Parameter(torch.zeros(layers)) if is_weighted else None
        self.scale = nn.Parameter(torch.ones(1)) if is_weighted else None
        read = width * (layers if reading.layers == "concat-last-4" else 1)
        self.lstm = nn.LSTM(read, width, num_layers=2, dropout=dropout, bidirectional=True) if has_lstm else None
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(2 * width if has_lstm else read, outputs)

    def forward(self, states: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        """``[W, S]`` → ``[W, outputs]``.

        Args:
            counts: int64 ``[B]``: how many of the tokens are of each text.
        """
        if self.shares is not None and self.scale is not None:  # as ELMo's (Peters et al. 2018, 3.2)
            layers = states.unflatten(1, (len(self.shares), -1))
            states = self.scale * torch.einsum("n,wnh->wh", self.shares.softmax(dim=0), layers)
        states = self.dropout(states)
        if self.lstm is not None:
            states = self.dropout(self._in_context(states, counts))
        said: torch.Tensor = self.linear(states)
        return said

    def _in_context(self, states: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        assert self.lstm is not None
        texts = [text for text in states.split(counts.tolist()) if len(text)]
        if not texts:
            return states.new_zeros(0, 2 * self.lstm.hidden_size)
        found, _ = self.lstm(pack_sequence(texts, enforce_sorted=False))
        return torch.cat(unpack_sequence(found))


def read_features(model: Any, reading: Reading, seed: int) -> None:
    """Puts a new ``FeatureClassifier`` in the place of a BERT's linear layer; its config.json will say so.

    Raises:
        BertkitError: the model is no BERT, has too few layers, or reads no word after word, as a BiLSTM does.
    """
    head = LINEAR_HEADS.get(type(model).__name__)
    if head is None:
        raise BertkitError(f"data.layers and train.classifier are of a BERT, and the model is a {type(model).__name__}")
    if head.is_pooled and reading.classifier == "bilstm":
        raise BertkitError(
            'train.classifier = "bilstm" reads word after word, for the heads token and span; this one reads [CLS] alone: '
            'use "linear"'
        )
    config = model.config
    outputs = head.outputs or config.num_labels
    with seeded(seed):
        new = FeatureClassifier(
            reading, reading.depth(model), config.hidden_size, outputs, float(config.hidden_dropout_prob)
        )
    setattr(model, head.layer, new)
    model.bert.pooler = None
    model.config.update({FEATURES: reading._asdict()})


def load_features(auto_class: Any, folder: Path, name: str) -> Any:
    """A model that reads features, as `bertkit finetune` has written it.

    Args:
        auto_class: of transformers.
        name: of the model, for messages.

    Raises:
        BertkitError: its files do not belong together.
    """
    config = read_config(folder, name)
    try:
        with seeded(0):
            model = auto_class.from_config(configuration(folder, {}))
        read_features(model, Reading(**config[FEATURES]), 0)
        model.load_state_dict(load_file(weights_path(folder, config)))
    except (OSError, RuntimeError, TypeError, ValueError, SafetensorError) as error:
        raise BertkitError(f"cannot load the model {name}: {one_line(error)}") from error
    check_finite(model, name)
    return model


def states_of(model: Any, batch: dict[str, torch.Tensor], wanted: torch.Tensor) -> torch.Tensor:
    """``[W, S]``: what a BERT says at some tokens, or has said before: the batch's "states", where it has them.

    Args:
        model: that ``attend_unpadded`` has seen.
        batch: ids, mask and segments, int64 ``[B, L]`` each.
        wanted: bool ``[B, L]``, within the mask.
    """
    if "states" in batch:
        assert len(batch["states"]) == wanted.sum(), "the head reads other tokens than it says (Head.read)"
        return batch["states"]
    reading = reading_of(model)
    inputs = batch["input_ids"], batch["attention_mask"], batch.get("token_type_ids"), wanted
    layers = encode_layers(model.bert, *inputs, reading.depth(model))
    if reading.layers == "sum-last-4":
        return torch.stack(layers).sum(dim=0)
    return layers[0] if len(layers) == 1 else torch.cat(layers, dim=1)


def reading_of(model: Any) -> Reading:
    """Which states of a model are read, by its configuration."""
    return Reading(**(getattr(model.config, FEATURES, None) or {}))
