"""Computes the states of a frozen encoder once and keeps them, if they fit."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bertkit.finetuning.batches import batches_in_order
from bertkit.finetuning.features import Features
from bertkit.finetuning.heads.base import Head

if TYPE_CHECKING:
    import torch

MOST_BYTES = 4_000_000_000
"""The most bytes for the states of all splits. It is a fixed number, so that a resume does the same as its run."""


def with_states(
    model: Any, head: Head, splits: Sequence[Features], pad_id: int, device: "torch.device"
) -> tuple[list[Features], str]:
    """Adds to the features of all splits the states at the tokens that the head reads, fp32; not if they take too much.

    Args:
        model: a model with a frozen encoder.
        head: knows which tokens it reads.
        splits: the features.
        pad_id: the id of the padding token.
        device: where to compute.

    Returns:
        The features, and a line that counts the states, or says why they are not kept.
    """
    import torch

    from bertkit.models.features import reading_of, states_of
    from bertkit.models.linear_heads import LINEAR_HEADS

    if type(model).__name__ not in LINEAR_HEADS:
        return list(splits), f"the encoder reads the rows anew in each epoch: a {type(model).__name__} is no BERT"
    tokens = sum(
        int(head.read(batch).sum()) for made in splits for _, batch in batches_in_order(made, head, pad_id, "cpu")
    )
    size = tokens * reading_of(model).numbers(model) * torch.finfo(torch.float32).bits // 8
    if size > MOST_BYTES:
        return list(splits), (
            f"the encoder reads the rows anew in each epoch: its states of {tokens:,} tokens take {size / 1e9:,.1f} GB, over "
            f"the {MOST_BYTES / 1e9:.0f} GB that are kept"
        )
    model.to(device).eval()
    with_states = []
    for made in splits:
        states: list[torch.Tensor] = [torch.empty(0)] * len(made.ids)
        for units, batch in batches_in_order(made, head, pad_id, device):
            wanted = head.read(batch)
            with torch.no_grad():
                said = states_of(model, batch, wanted).cpu().split(wanted.sum(dim=1).tolist())
            for number, one in zip(made.of(units), said, strict=True):
                states[number] = one
        with_states.append(replace(made, states=states))
    note = f"the encoder reads the rows once: its states of {tokens:,} tokens are kept, {size / 1e6:,.0f} MB"
    return with_states, note
