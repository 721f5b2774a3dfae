"""An interactive page about the attention of a BERT's heads in a text."""

import base64
from pathlib import Path
from typing import Any

from bertkit.errors import BertkitError
from bertkit.inference.attention import Attention
from bertkit.reporting.pages import render_page, write_page

MOST_WEIGHTS = 8_000_000
"""The most weights on one page. Each takes two bytes, or four thirds of that in base64; BERT-base reaches it at 235 tokens."""


def write_attention(attention: Attention, out: Path) -> None:
    """Writes a page on which a person chooses a layer and a head, and points at a token to see its links.

    Raises:
        BertkitError: the text is too long for one page, or the page cannot be written.
    """
    write_page(out, "attention.html", **_content(attention))


def attention_page(attention: Attention) -> str:
    """The HTML of the page that ``write_attention`` writes.

    Raises:
        BertkitError: the text is too long for one page.
    """
    return render_page("attention.html", **_content(attention))


def _content(attention: Attention) -> dict[str, Any]:
    import numpy as np

    weights = attention.weights
    if weights.size > MOST_WEIGHTS:
        raise BertkitError(
            f"{len(attention.tokens)} tokens in {weights.shape[0]} layers of {weights.shape[1]} heads are too much for "
            "one page: shorten the text, or choose one with --layer or --head"
        )
    whole = np.round(weights * 65_535).astype("<u2")
    data = {
        "tokens": attention.tokens,
        "special": attention.is_special,
        "layers": attention.layers,
        "heads": attention.heads,
        "weights": base64.b64encode(whole.tobytes()).decode(),
    }
    return {"title": _title(attention), "model": attention.model, "data": data}


def _title(attention: Attention) -> str:
    """The text without special tokens, cut to the length of a heading."""
    words = [token for token, special in zip(attention.tokens, attention.is_special, strict=True) if not special]
    return " ".join(words if len(words) <= 30 else [*words[:30], "…"]).replace(" ##", "")
