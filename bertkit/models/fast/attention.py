"""A BERT's encoder without what is thrown away: no padding, and the last layer at the tokens that a head reads alone.

Texts lie end to end. transformers' own ways to do this want a GPU and lose the second text's ``[CLS]``: its pooler takes
the first token of a row, and there is but one row. Shapes: B texts, T tokens in all, W of them wanted, H the hidden size.
"""

from importlib.util import find_spec
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import BertModel
from transformers.models.bert.modeling_bert import BertLayer

from bertkit.models.fast.dropout import drop
from bertkit.models.fast.layout import Layout, Wanted, gathered, scattered

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def encode(
    bert: BertModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    token_type_ids: torch.Tensor | None,
    wanted: torch.Tensor,
) -> torch.Tensor:
    """The last hidden states that ``bert(…)`` computes for a padded batch, ``[W, H]``, text after text.

    The last layer's keys and values are computed at all tokens; its queries, feed-forward and normalisation only where they
    are wanted. Of the ``12 H^2`` multiplications a token that a layer makes (query, key, value and output ``H^2`` each, the
    feed-forward ``H * 4H`` twice) these are ten.

    Args:
        bert: of a model that ``attend_unpadded`` has seen.
        input_ids, attention_mask, token_type_ids: int64 ``[B, longest]``, padded on the right.
        wanted: bool ``[B, longest]``, within the mask.
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
    """As ``encode``, of so many of the last layers, ``[W, H]`` each, the last one last."""
    tokens = Layout.of(attention_mask.bool())
    chosen = Wanted.of(wanted, tokens)
    embedded = bert.embeddings(
        input_ids=_laid_out(input_ids, tokens),
        token_type_ids=None if token_type_ids is None else _laid_out(token_type_ids, tokens),
        position_ids=(tokens.places % input_ids.shape[1]).unsqueeze(0),
    )
    *layers, last = bert.encoder.layer
    hidden, found = embedded.squeeze(0), []
    for number, layer in enumerate(layers):
        hidden = layer(hidden, tokens=tokens)
        if len(layers) - number < depth:
            found.append(gathered(hidden, chosen.rows))
    return [*found, gathered(last(hidden, tokens=tokens, wanted=chosen), chosen.places)]


def _laid_out(batch: torch.Tensor, layout: Layout) -> torch.Tensor:
    """``[B, longest]`` → ``[1, T]``."""
    return batch.flatten()[layout.places].unsqueeze(0)


def attend_unpadded(model: "PreTrainedModel") -> None:
    """Lets ``encode`` run a BERT, which reads padded batches as before; another model is left as it is."""
    if not isinstance(model.base_model, BertModel):
        return
    for layer in model.base_model.encoder.layer:
        # The layers' ``__call__`` stays, and with it what FSDP and gradient checkpointing hang on to it.
        layer.forward = MethodType(_layer, layer)


def _layer(
    layer: Any,
    hidden: torch.Tensor,
    *arguments: Any,
    tokens: Layout | None = None,
    wanted: Wanted | None = None,
    **options: Any,
) -> torch.Tensor:
    """``BertLayer.forward`` at the tokens: ``[T, H]`` → ``[T, H]``, or ``[B * most, H]`` where something is wanted."""
    if tokens is None:
        padded: torch.Tensor = BertLayer.forward(layer, hidden, *arguments, **options)
        return padded
    parts = layer.attention.self
    if wanted is None:
        asking, (query, key, value) = hidden, _projected(hidden, parts.query, parts.key, parts.value)
    else:
        # Queries of a text lie side by side in a grid [B, most], so that attention can take them as B padded texts.
        texts, most = wanted.shape
        asking = scattered(gathered(hidden, wanted.rows), wanted.places, texts * most)
        (query,), (key, value) = _projected(asking, parts.query), _projected(hidden, parts.key, parts.value)
    query, key, value = (one.unflatten(1, (-1, parts.attention_head_size)) for one in (query, key, value))
    context = _attended(parts, query, key, value, tokens, wanted.shape if wanted else None)
    states: torch.Tensor = layer.feed_forward_chunk(layer.attention.output(context.flatten(1), asking))
    return states


def _projected(states: torch.Tensor, *parts: torch.nn.Linear) -> tuple[torch.Tensor, ...]:
    """``states`` through several layers, as one matrix product."""
    weight, bias = (torch.cat([getattr(part, name) for part in parts]) for name in ("weight", "bias"))
    return torch.nn.functional.linear(states, weight, bias).chunk(len(parts), dim=-1)


def _attended(
    parts: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    tokens: Layout,
    grid: tuple[int, int] | None,
) -> torch.Tensor:
    """Key and value ``[T, heads, size]``; query the same, or ``[B * most, heads, size]`` of a grid; answers as it."""
    rate = parts.dropout.p if parts.training else 0.0
    if _has_kernel(query) and not rate:
        return _attend_by_kernel(query, key, value, tokens, grid, parts.scaling)
    mask = tokens.mask[:, None, None, :] if tokens.is_padded else None
    asking = query.unflatten(0, grid).transpose(1, 2) if grid else _padded(query, tokens)
    padded = asking, _padded(key, tokens), _padded(value, tokens), mask
    # torch's fused attention draws dropout's numbers one by one on a CPU.
    if parts.config._attn_implementation == "eager" or (rate and query.device.type == "cpu"):  # noqa: SLF001
        attended = _attend_plainly(*padded, parts.scaling, rate)
    else:
        attended = scaled_dot_product_attention(*padded, rate, scale=parts.scaling)
    attended = attended.transpose(1, 2).flatten(0, 1)
    return attended if grid or tokens.is_whole else gathered(attended, tokens.places)


def _has_kernel(query: torch.Tensor) -> bool:
    """Whether torch attends within texts of several lengths here (flash attention: half precision, from Ampere on)."""
    half = query.is_cuda and query.dtype in (torch.bfloat16, torch.float16)
    return half and torch.cuda.get_device_capability() >= (8, 0) and find_spec("torch.nn.attention.varlen") is not None


def _attend_by_kernel(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    tokens: Layout,
    grid: tuple[int, int] | None,
    scaling: float,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    ends, (texts, longest) = tokens.ends, grid or tokens.mask.shape
    asking = torch.arange(0, texts * longest + 1, longest, dtype=ends.dtype, device=ends.device) if grid else ends
    q, k, v = (one.contiguous() for one in (query, key, value))
    attended = varlen_attn(q, k, v, asking, ends, longest, tokens.mask.shape[1], scale=scaling)
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
    """transformers' ``eager_attention_forward``, with ``drop``: ``[B, heads, longest, size]`` all, under ``[B, 1, 1,
    longest]``."""
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
