"""A BERT's encoder that computes no padding, and the last layer only at the tokens that a head reads.

The texts of a batch lie end to end in one row. transformers can do this as well, but only on a GPU, and its pooler, which
takes the first token of each row, then misses the ``[CLS]`` of all texts but the first. Shapes: B texts with T tokens
together, W of them wanted by the head; H the hidden size.
"""

import inspect
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import BertModel
from transformers.models.bert.modeling_bert import BertLayer

from bertkit.models.fast.dropout import drop
from bertkit.models.fast.layout import Layout, Wanted, gathered, scattered
from bertkit.models.fast.products import projected

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LONGEST_PLAIN_ATTENTION = 128


def _kernel_of_torch() -> Any:
    """Attention over texts of several lengths; None in a torch that has none, or one that takes no scale, as that of 2.10."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn if "scale" in inspect.signature(varlen_attn).parameters else None


# Looked up once, and where torch.compile does not see it.
_KERNEL = _kernel_of_torch()


def choose_attention(model: "PreTrainedModel", device: str, precision: str, longest: int) -> None:
    """Switches to attention by plain matrix products where torch's fused kernel is slower: short bf16 texts on a CPU.

    Measured on two cores with AVX-512 bf16, forward and backward at length 128, beside the fused kernel: BERTs of 2
    layers, 128 wide, and 4 layers, 256 wide, read 11 % and 22 % more tokens per second. At length 512 it is 25 % fewer,
    in fp32 4 % fewer.
    """
    if device == "cpu" and precision == "bf16" and longest <= _LONGEST_PLAIN_ATTENTION:
        model.set_attn_implementation("eager")


def encode(
    bert: BertModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    token_type_ids: torch.Tensor | None,
    wanted: torch.Tensor,
) -> torch.Tensor:
    """The last hidden states at some tokens, ``[W, H]``, text after text: those that ``bert(…)`` computes.

    In the last layer only keys and values are computed for all tokens; its queries, feed-forward part and normalisation are
    computed at the wanted tokens only. Of the ``12 H^2`` multiplications per token in a layer (query, key, value and output
    ``H^2`` each, feed-forward ``H * 4H`` twice) these are ten.

    Args:
        bert: the encoder of a model prepared by ``attend_unpadded``.
        input_ids: int64 ``[B, longest]``, padded on the right.
        attention_mask: int64 ``[B, longest]``.
        token_type_ids: int64 ``[B, longest]``; None is segment 0 throughout.
        wanted: bool ``[B, longest]``: the tokens, all within the mask.
    """
    return encode_layers(bert, input_ids, attention_mask, token_type_ids, wanted, 1)[0]


def encode_layers(
    bert: BertModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    token_type_ids: torch.Tensor | None,
    wanted: torch.Tensor,
    depth: int,
) -> list[torch.Tensor]:
    """As ``encode``, for the last ``depth`` layers: ``[W, H]`` each, in the order of the layers."""
    tokens = Layout.of(attention_mask.bool())
    chosen = Wanted.of(wanted, tokens)
    embedded = bert.embeddings(
        input_ids=_laid_out(input_ids, tokens),
        token_type_ids=None if token_type_ids is None else _laid_out(token_type_ids, tokens),
        position_ids=(tokens.places % input_ids.shape[1]).unsqueeze(0),
    )
    *layers, last = bert.encoder.layer
    hidden, states = embedded.squeeze(0), []
    for number, layer in enumerate(layers):
        hidden = layer(hidden, tokens=tokens)
        if len(layers) - number < depth:
            states.append(gathered(hidden, chosen.rows))
    return [*states, gathered(last(hidden, tokens=tokens, wanted=chosen), chosen.places)]


def _laid_out(batch: torch.Tensor, layout: Layout) -> torch.Tensor:
    """``[B, longest]`` → ``[1, T]``."""
    return batch.flatten()[layout.places].unsqueeze(0)


def attend_unpadded(model: "PreTrainedModel") -> None:
    """Prepares a BERT for ``encode``; it still reads padded batches as before. Any other model is left as it is."""
    if not isinstance(model.base_model, BertModel):
        return
    for layer in model.base_model.encoder.layer:
        # ``__call__`` stays as it is, and so do the hooks of FSDP and gradient checkpointing.
        layer.forward = MethodType(_layer, layer)


def _layer(
    layer: Any,
    hidden: torch.Tensor,
    *arguments: Any,
    tokens: Layout | None = None,
    wanted: Wanted | None = None,
    **options: Any,
) -> torch.Tensor:
    """``BertLayer.forward`` without padding: ``[T, H]`` → ``[T, H]``, or → ``[B * most, H]`` at the ``wanted`` tokens."""
    if tokens is None:
        padded: torch.Tensor = BertLayer.forward(layer, hidden, *arguments, **options)
        return padded
    parts = layer.attention.self
    if wanted is None:
        asking, (query, key, value) = hidden, projected(parts, hidden, "query", "key", "value")
    else:
        # Queries of a text lie side by side in a grid [B, most], so that attention can take them as B padded texts.
        texts, most = wanted.shape
        asking = scattered(gathered(hidden, wanted.rows), wanted.places, texts * most)
        (query,), (key, value) = projected(parts, asking, "query"), projected(parts, hidden, "key", "value")
    query, key, value = (one.unflatten(1, (-1, parts.attention_head_size)) for one in (query, key, value))
    context = _attended(parts, query, key, value, tokens, wanted.shape if wanted else None)
    states: torch.Tensor = layer.feed_forward_chunk(layer.attention.output(context.flatten(1), asking))
    return states


def _attended(
    parts: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    tokens: Layout,
    grid: tuple[int, int] | None,
) -> torch.Tensor:
    """Attention within each text.

    Args:
        parts: the layer's self-attention, for its dropout and its scaling.
        query: ``[T, heads, size]``; or, with a grid, ``[B * most, heads, size]``.
        key, value: ``[T, heads, size]``.
        tokens: which rows belong to which text.
        grid: ``(B, most)``, where the last layer's queries lie in a grid (see ``Wanted``).

    Returns:
        As the query.
    """
    rate = parts.dropout.p if parts.training else 0.0
    if _has_kernel(query) and not rate and len(query):  # where nothing is wanted, the kernel has no texts to tell apart
        return _attend_by_kernel(query, key, value, tokens, grid, parts.scaling)
    mask = tokens.mask[:, None, None, :] if tokens.is_padded else None
    asking = query.unflatten(0, grid).transpose(1, 2) if grid else _padded(query, tokens)
    padded = asking, _padded(key, tokens), _padded(value, tokens), mask
    # On a CPU torch's fused attention draws the random numbers of dropout one by one.
    if parts.config._attn_implementation == "eager" or (rate and query.device.type == "cpu"):  # noqa: SLF001
        attended = _attend_plainly(*padded, parts.scaling, rate)
    else:
        attended = scaled_dot_product_attention(*padded, rate, scale=parts.scaling)
    attended = attended.transpose(1, 2).flatten(0, 1)
    return attended if grid or tokens.is_whole else gathered(attended, tokens.places)


def _has_kernel(query: torch.Tensor) -> bool:
    """Whether torch has a kernel here for texts of several lengths: flash attention, half precision, Ampere or later."""
    half = query.is_cuda and query.dtype in (torch.bfloat16, torch.float16)
    return half and torch.cuda.get_device_capability() >= (8, 0) and _KERNEL is not None


def _attend_by_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    tokens: Layout,
    grid: tuple[int, int] | None,
    scaling: float,
) -> torch.Tensor:
    ends, (texts, longest) = tokens.ends, grid or tokens.mask.shape
    asking = torch.arange(0, texts * longest + 1, longest, dtype=ends.dtype, device=ends.device) if grid else ends
    q, k, v = (one.contiguous() for one in (query, key, value))
    attended = _KERNEL(q, k, v, asking, ends, longest, tokens.mask.shape[1], scale=scaling)
    assert isinstance(attended, torch.Tensor)
    return attended


def _attend_plainly(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    rate: float,
) -> torch.Tensor:
    """The ``eager_attention_forward`` of transformers, with ``drop`` for dropout.

    Query, key and value are ``[B, heads, longest, size]``, the mask ``[B, 1, 1, longest]``.
    """
    scores = query @ key.transpose(2, 3) * scaling
    if mask is not None:
        scores = scores.masked_fill_(~mask, torch.finfo(scores.dtype).min)
    shares = scores.softmax(dim=-1)
    return (drop(shares, rate) if rate else shares) @ value


def _padded(rows: torch.Tensor, layout: Layout) -> torch.Tensor:
    """``[T, heads, size]`` → ``[B, heads, longest, size]``."""
    flat = rows if layout.is_whole else scattered(rows, layout.places, layout.mask.numel())
    padded: torch.Tensor = flat.unflatten(0, layout.mask.shape).transpose(1, 2)
    return padded
