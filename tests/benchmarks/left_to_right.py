"""A BERT that reads from left to right, for the paper's ablation (Devlin et al. 2018, 5.1): kept out of the package."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import BertModel
from transformers.models.bert.modeling_bert import BertLayer

from bertkit.models import features, headed
from bertkit.models.fast import attention


@contextmanager
def left_to_right() -> Iterator[None]:
    """Within it each token sees itself and those before it, and a classifier reads the last token in place of ``[CLS]``,
    which sees nothing.

    Training and evaluation with torch only: what fills masks in numpy does not know of it.
    """
    places = ((attention, "encode_layers"), (features, "encode_layers"), (headed, "first_tokens"))
    before = [getattr(place, name) for place, name in places]
    for (place, name), change in zip(places, (_encode_layers, _encode_layers, _last_tokens), strict=True):
        setattr(place, name, change)
    try:
        yield
    finally:
        for (place, name), kept in zip(places, before, strict=True):
            setattr(place, name, kept)


def _encode_layers(
    bert: BertModel,
    input_ids: torch.Tensor,
    attention_mask: torch.Tensor,
    token_type_ids: torch.Tensor | None,
    wanted: torch.Tensor,
    depth: int,
) -> list[torch.Tensor]:
    """As ``attention.encode_layers``, padding and all. Padding stands on the right, where nothing looks at it."""
    length = input_ids.shape[1]
    seen = torch.ones(length, length, dtype=torch.bool, device=input_ids.device).tril()
    seen = seen & attention_mask.bool()[:, None, None, :]
    states = [bert.embeddings(input_ids=input_ids, token_type_ids=token_type_ids)]
    for layer in bert.encoder.layer:
        states.append(BertLayer.forward(layer, states[-1], seen))
    return [one[wanted] for one in states[-depth:]]


def _last_tokens(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """bool ``[B, L]``."""
    mask = batch["attention_mask"]
    last = torch.zeros_like(mask, dtype=torch.bool)
    last[torch.arange(len(mask)), mask.sum(dim=1) - 1] = True
    return last
