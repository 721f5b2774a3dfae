"""Feature-based classifiers: a linear layer or a BiLSTM on the hidden states of a BERT that is not trained itself.

See Devlin et al. 2018, section 5.3 and Table 7. Shapes: B texts, with W tokens that are classified, text after text; H the
hidden size; S the numbers stored per token: H for a single layer or a sum, 4 H where the last four layers stand side by
side, and H times the number of layers where all layers are weighted.
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
from bertkit.models.fast.attention import encode_layers
from bertkit.models.folder import FEATURES, read_config, weights_path
from bertkit.models.linear_heads import LINEAR_HEADS
from bertkit.models.loading import check_finite, configuration, seeded

_LAST = {"last": 1, "sum-last-4": 4, "concat-last-4": 4}


class Reading(NamedTuple):
    """Which hidden states are read, and by which classifier: the settings ``data.layers`` and ``train.classifier``."""

    layers: str = "last"
    classifier: str = "linear"

    def depth(self, model: Any) -> int:
        """How many layers are read, counted from the last.

        Raises:
            BertkitError: the model has fewer layers.
        """
        there: int = model.config.num_hidden_layers
        wanted = _LAST.get(self.layers, there)
        if wanted > there:
            raise BertkitError(
                f"data.layers {self.layers} reads {wanted} layers, and the model has {there}: use weighted"
            )
        return wanted

    def numbers(self, model: Any) -> int:
        """The numbers that are stored per token: S."""
        width: int = model.config.hidden_size
        return width * (1 if self.layers == "sum-last-4" else self.depth(model))


class FeatureClassifier(nn.Module):
    """The classifier on the hidden states, in the place of a BERT's linear layer.

    Args:
        reading: which hidden states are read, and by which classifier.
        layers: how many layers are read.
        width: the hidden size H; each direction of the BiLSTM's two layers is as wide.
        outputs: logits per token.
        dropout: the rate for the states, between the BiLSTM's layers, and for its outputs.
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
        """The logits, ``[W, outputs]``.

        Args:
            states: ``[W, S]``, as ``states_of`` gives them.
            counts: int64 ``[B]``: how many of the tokens belong to each text.
        """
        if self.shares is not None and self.scale is not None:  # a weighted mean as in ELMo (Peters et al. 2018, 3.2)
            layers = states.unflatten(1, (len(self.shares), -1))
            states = self.scale * torch.einsum("n,wnh->wh", self.shares.softmax(dim=0), layers)
        states = self.dropout(states)
        if self.lstm is not None:
            states = self.dropout(self._in_context(states, counts))
        logits: torch.Tensor = self.linear(states)
        return logits

    def _in_context(self, states: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
        assert self.lstm is not None
        texts = [text for text in states.split(counts.tolist()) if len(text)]
        if not texts:
            return states.new_zeros(0, 2 * self.lstm.hidden_size)
        packed, _ = self.lstm(pack_sequence(texts, enforce_sorted=False))
        return torch.cat(unpack_sequence(packed))


def read_features(model: Any, reading: Reading, seed: int) -> None:
    """Replaces the linear layer of a BERT by a new ``FeatureClassifier``, and notes it in the model's configuration.

    Raises:
        BertkitError: the model is no BERT or has too few layers, or a BiLSTM is asked for with a head on ``[CLS]`` alone.
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
    """Loads a feature-based model that `bertkit finetune` has written.

    Args:
        auto_class: the auto class of transformers for the task.
        folder: the model's folder.
        name: the model's name, for messages.

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
    """The hidden states of a BERT at some tokens, ``[W, S]``.

    Args:
        model: prepared by ``attend_unpadded``.
        batch: ids, mask and segments, int64 ``[B, L]`` each. Where it has "states", these are returned: they were
            computed before, as a frozen encoder gives the same each time.
        wanted: bool ``[B, L]``: the tokens, all within the mask.
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
    """Which hidden states of a model its classifier reads, by the model's configuration."""
    return Reading(**(getattr(model.config, FEATURES, None) or {}))
