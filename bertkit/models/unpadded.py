"""A BERT's encoder over texts laid end to end, so that no padding is computed. Shapes: B texts, T tokens in all.

transformers' own ways to do this want a GPU and lose the second text's ``[CLS]``: its pooler takes the first token of a
row, and there is but one row. Here the first token of every text is handed out beside the hidden states.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.bert.modeling_bert import eager_attention_forward

if TYPE_CHECKING:
    from transformers import BertModel, PreTrainedModel

_PREFIX = "unpadded_"


class Layout(NamedTuple):
    """Where texts lie that were a padded batch ``[B, longest]``."""

    places: torch.Tensor
    """int64 ``[T]``: the place of each token in the flattened batch."""
    mask: torch.Tensor
    """bool ``[B, longest]``: where there is a token."""
    ends: torch.Tensor
    """int32 ``[B + 1]``: 0, and the end of each text among the tokens."""


class Encoded(NamedTuple):
    """Hidden states of the last layer."""

    hidden: torch.Tensor
    """Float ``[T, hidden_size]``, text after text."""
    first: torch.Tensor
    """Float ``[B, hidden_size]``: of each text's first token, ``[CLS]``."""
    layout: Layout


def encode(
    bert: "BertModel", input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
) -> Encoded:
    """What ``bert(…)`` computes for a padded batch, at its tokens alone.

    Args:
        bert: of a model that ``attend_unpadded`` has seen.
        input_ids, attention_mask, token_type_ids: int64 ``[B, longest]``, padded on the right.
    """
    mask = attention_mask.bool()
    places = mask.flatten().nonzero().squeeze(1)
    lengths = attention_mask.sum(dim=1, dtype=torch.int32)
    layout = Layout(places, mask, torch.nn.functional.pad(lengths.cumsum(0, dtype=torch.int32), (1, 0)))
    states = bert(
        input_ids=input_ids.flatten()[places].unsqueeze(0),
        token_type_ids=token_type_ids.flatten()[places].unsqueeze(0),
        position_ids=(places % input_ids.shape[1]).unsqueeze(0),
        layout=layout,
    )
    hidden = states.last_hidden_state.squeeze(0)
    return Encoded(hidden, hidden[layout.ends[:-1].long()], layout)


def attend_unpadded(model: "PreTrainedModel") -> None:
    """Lets ``encode`` run a model. Its own attention, "sdpa" or "eager", still reads padded batches as before, and
    serves inside each text where there is no kernel for texts of several lengths."""
    within = str(model.config._attn_implementation)  # noqa: SLF001 (its only name)
    if not within.startswith(_PREFIX):
        model.set_attn_implementation(_PREFIX + within)


def _attention(within: str) -> Any:
    inner = eager_attention_forward if within == "eager" else ALL_ATTENTION_FUNCTIONS[within]

    def attend(
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        layout: Layout | None = None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        """Query, key and value ``[1, heads, T, size]`` → ``[1, T, heads, size]``."""
        if layout is None:
            return inner(module, query, key, value, attention_mask, **options)[0], None
        if _has_kernel(query) and not options.get("dropout"):
            return _attend_by_kernel(query, key, value, layout, options.get("scaling")), None
        mask = layout.mask[:, None, None, :]
        if within == "eager":
            mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, torch.finfo(query.dtype).min)
        padded = (_padded(one, layout) for one in (query, key, value))
        attended = inner(module, *padded, mask, **options)[0]
        return _Gathered.apply(attended.flatten(0, 1), layout.places).unsqueeze(0), None

    return attend


def _has_kernel(query: torch.Tensor) -> bool:
    """Whether torch attends within texts of several lengths here (flash attention: half precision, from Ampere on)."""
    half = query.is_cuda and query.dtype in (torch.bfloat16, torch.float16)
    return half and torch.cuda.get_device_capability() >= (8, 0) and find_spec("torch.nn.attention.varlen") is not None


def _attend_by_kernel(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: Layout, scaling: float | None
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    longest = layout.mask.shape[1]
    q, k, v = (one.squeeze(0).transpose(0, 1).contiguous() for one in (query, key, value))
    attended = varlen_attn(q, k, v, layout.ends, layout.ends, longest, longest, scale=scaling)
    assert isinstance(attended, torch.Tensor)
    return attended.unsqueeze(0)


def _padded(states: torch.Tensor, layout: Layout) -> torch.Tensor:
    """``[1, heads, T, size]`` → ``[B, heads, longest, size]``."""
    flat = _Scattered.apply(states.squeeze(0).transpose(0, 1), layout.places, layout.mask.numel())
    return flat.unflatten(0, layout.mask.shape).transpose(1, 2)


class _Gathered(torch.autograd.Function):
    """``rows[places]`` for places that occur once: its gradient is copied, where torch's own adds row by row."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(places)
        ctx.num_rows = len(rows)
        return rows[places]

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        (places,) = ctx.saved_tensors
        return _scattered(grad, places, ctx.num_rows), None


class _Scattered(torch.autograd.Function):
    """The other way round: rows at their places among zeros."""

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, places: torch.Tensor, num_rows: int) -> torch.Tensor:
        ctx.save_for_backward(places)
        return _scattered(rows, places, num_rows)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (places,) = ctx.saved_tensors
        return grad[places], None, None


def _scattered(rows: torch.Tensor, places: torch.Tensor, num_rows: int) -> torch.Tensor:
    return rows.new_zeros(num_rows, *rows.shape[1:]).index_copy_(0, places, rows)


for _within in ("eager", "sdpa"):
    AttentionInterface.register(_PREFIX + _within, _attention(_within))
    # Padded batches, as in evaluation, need the mask that their attention knows.
    AttentionMaskInterface.register(_PREFIX + _within, ALL_MASK_ATTENTION_FUNCTIONS[_within])
