"""The attention of a BERT's heads in a text: the weights, and the strongest links."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bertkit.errors import BertkitError
from bertkit.models.folder import bert_folder, own_length
from bertkit.models.headed import encoder_tokenizer
from bertkit.models.loading import load_for
from bertkit.runtime.base import finite
from bertkit.runtime.text import sound

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Attention:
    """The attention of a BERT in a text.

    Attributes:
        model: the model's name.
        tokens: the word pieces, with special tokens.
        is_special: for each token, whether it is [CLS] or [SEP], which every text has.
        weights: float32 ``[layers, heads, from, to]``; each row of ``to`` adds up to 1.
        layers, heads: the numbers, from 1, of the layers and heads in ``weights``.
    """

    model: str
    tokens: list[str]
    is_special: list[bool]
    weights: "np.ndarray"
    layers: list[int]
    heads: list[int]


@dataclass(frozen=True, slots=True)
class Link:
    """The share of its attention that a token gives to another one. Tokens count from 0, layers and heads from 1."""

    layer: int
    head: int
    from_token: str
    to_token: str
    from_index: int
    to_index: int
    weight: float


def read_attention(
    model: str, text: str, text_b: str | None = None, layer: int | None = None, head: int | None = None
) -> Attention:
    """Computes the attention in a text or a pair of texts.

    Args:
        model: a folder or a hub name.
        text: the text.
        text_b: the second text of a pair.
        layer: compute only this layer, counted from 1.
        head: compute only this head of each layer, counted from 1.

    Raises:
        BertkitError: the model cannot be loaded, has no such layer or head, or answers with NaN; or the text is empty or too
            long for it.
    """
    if not text.strip() or (text_b is not None and not text_b.strip()):
        raise BertkitError("the text is empty: give a sentence")

    # The cheap checks come first, as importing torch takes seconds.
    tokenizer = encoder_tokenizer(bert_folder(model), model)
    texts = [sound(one) for one in (text, text_b) if one is not None]
    encoded = tokenizer(*texts, verbose=False)
    loaded, _ = load_for("BertModel", model, optional=("pooler.",))
    config: Any = loaded.config
    longest, ids = own_length(bert_folder(model)) or config.max_position_embeddings, encoded["input_ids"]
    if len(ids) > longest:
        raise BertkitError(f"the text has {len(ids)} tokens, and {model} reads {longest} at most: shorten it")
    layers = _chosen("layer", layer, config.num_hidden_layers, model)
    heads = _chosen("head", head, config.num_attention_heads, model)
    # A model of one segment has a tokenizer without them, or with more segments than it knows.
    types = encoded.get("token_type_ids") if config.type_vocab_size > 1 else None
    every = _weights(loaded, ids, types or [0] * len(ids))
    return Attention(
        model,
        list(tokenizer.convert_ids_to_tokens(ids)),
        [id_ in (tokenizer.cls_token_id, tokenizer.sep_token_id) for id_ in ids],
        every[[number - 1 for number in layers]][:, [number - 1 for number in heads]],
        layers,
        heads,
    )


def _chosen(what: str, number: int | None, count: int, model: str) -> list[int]:
    if number is not None and not 1 <= number <= count:
        raise BertkitError(f"{model} has no {what} {number}: it has {what}s 1 to {count}")
    return list(range(1, count + 1)) if number is None else [number]


@finite
def _weights(model: Any, ids: Sequence[int], token_type_ids: Sequence[int]) -> "np.ndarray":
    """The attention weights of all layers and heads, float32 ``[layers, heads, from, to]``."""
    import torch

    # The fused kernels never form the weights.
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        read = model.eval()(
            input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([token_type_ids]), output_attentions=True
        )
    weights: np.ndarray = torch.cat(read.attentions).numpy()
    return weights


def strongest_links(attention: Attention, most: int, every: bool = False) -> list[Link]:
    """The links with the greatest weights, the strongest first.

    Args:
        attention: the attention in a text.
        most: the most links to return.
        every: also return links that most heads have in any text: to and from special tokens, and from a token to itself.
    """
    import numpy as np

    weights = attention.weights
    if not every:
        trivial = np.eye(len(attention.tokens), dtype=bool)
        trivial |= np.logical_or.outer(attention.is_special, attention.is_special)
        weights = np.where(trivial, -1.0, weights)
    flat = weights.ravel()
    count = min(most, int((flat >= 0).sum()))
    best = np.sort(np.argpartition(flat, flat.size - count)[flat.size - count :]) if count else np.array([], dtype=int)
    best = best[np.argsort(-flat[best], kind="stable")]
    places = zip(*(axis.tolist() for axis in np.unravel_index(best, weights.shape)), strict=True)
    return [
        Link(
            attention.layers[layer],
            attention.heads[head],
            attention.tokens[begin],
            attention.tokens[end],
            begin,
            end,
            float(weights[layer, head, begin, end]),
        )
        for layer, head, begin, end in places
    ]
