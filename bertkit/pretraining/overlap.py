"""How many held-out sentences the training text has, too: they say nothing about how a model does on new text."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from bertkit import console
from bertkit.draws import GOLDEN
from bertkit.pretraining.texts import Prepared, RunText

_LEAST_TOKENS = 8
"""Shorter sentences ("what did he say ?") occur twice by chance."""
_SOUGHT = 2_000
"""Held-out sentences that are looked for: a share of a tenth is then known to 1.3 points (1.96 · sqrt(0.1 · 0.9 / 2,000))."""
_TOLD_FROM = 0.1
"""Were all of these predicted perfectly, the held-out loss would be lower by this share."""
_AT_ONCE = 2**20
"""Sentences that are compared at a time."""
_FACTOR = np.uint64(GOLDEN)  # odd, so that multiplying by it loses nothing


def say_overlap(corpus: Prepared, is_deduplicated: bool) -> None:
    """Warns where a tenth of the held-out sentences, or more, are in the training text."""
    found, sought = held_out_and_trained_on(corpus.training, corpus.validation, corpus.tokenizer.unk_token_id)
    if not sought or found < _TOLD_FROM * sought:
        return
    to_do = "hold out other text with --validation FILE"
    if not corpus.has_own_validation and not is_deduplicated:
        to_do = f"leave repeated text out with --set data.deduplicate=lines (or documents), or {to_do}"
    console.warn(
        f"{found:,} of {sought:,} held-out sentences of {_LEAST_TOKENS} tokens or more are in the training text, too "
        f"({found / sought:.0%}): held-out figures say the less about new text; {to_do}"
    )


def held_out_and_trained_on(
    training: Sequence[RunText], held_out: Sequence[RunText], unknown: int | None
) -> tuple[int, int]:
    """How many held-out sentences are in the training text, token by token, and how many were looked for.

    Only sentences of 8 tokens or more are looked for, of many 2,000 at equal distances; and none with an ``unknown`` token,
    which may stand for any word.
    """
    most = -(-_SOUGHT // len(held_out)) if held_out else 0
    sought = Counter(sentence for text in held_out for sentence in _sample(text, most, unknown))
    total, missing = sought.total(), dict(sought)
    for text in training:
        for begin, end in _sentences(text):
            if not missing:
                break
            ids = text.store.ids
            alike = np.isin(_keys(ids, begin, end), _keys_of(list(missing), ids.dtype))
            for first, after in zip(begin[alike].tolist(), end[alike].tolist(), strict=True):
                missing.pop(ids[first:after].tobytes(), None)
    return total - sum(missing.values()), total


def _sample(text: RunText, most: int, unknown: int | None) -> list[bytes]:
    """The tokens of up to ``most`` of a text's sentences, without those that have an unknown one."""
    both = [np.stack(ends) for ends in _sentences(text)]
    begin, end = np.concatenate(both, axis=1) if both else np.empty((2, 0), np.int64)
    picked = np.unique(np.linspace(0, len(begin) - 1, min(most, len(begin)), dtype=np.int64))
    sentences = (text.store.ids[begin[n] : end[n]] for n in picked)
    return [one.tobytes() for one in sentences if unknown not in one]


def _sentences(text: RunText) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Where the sentences of a text begin and end, int64, in tokens, some at a time; short ones are left out."""
    store, starts = text.store, np.asarray(text.documents.starts)
    for first in range(0, store.info.sentences, _AT_ONCE):
        bounds = np.asarray(store.sentence_starts[first : first + _AT_ONCE + 1])
        begin, end = bounds[:-1], bounds[1:]
        document = np.searchsorted(starts, np.arange(first, first + len(begin)), side="right") - 1
        is_read = np.asarray(text.documents.mine)[document] & (end - begin >= _LEAST_TOKENS)
        yield begin[is_read], end[is_read]


def _keys_of(sentences: Sequence[bytes], dtype: np.dtype) -> np.ndarray:
    ends = np.cumsum([len(one) // dtype.itemsize for one in sentences])
    return _keys(np.frombuffer(b"".join(sentences), dtype), np.concatenate([[0], ends[:-1]]), ends)


def _keys(ids: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """A number for each sentence, uint64, that is the same for the same sentence: of its length and three of its tokens."""
    keys = np.zeros(len(begin), np.uint64)
    for known in (end - begin, ids[begin], ids[(begin + end) // 2], ids[end - 1]):
        keys = keys * _FACTOR + known.astype(np.uint64)
    return keys
