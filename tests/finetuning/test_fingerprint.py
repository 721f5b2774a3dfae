"""The hash of labelled rows."""

from types import SimpleNamespace
from typing import Any

from bertkit.finetuning.fingerprint import data_fingerprint

TOKENIZER = SimpleNamespace(backend_tokenizer=SimpleNamespace(to_str=lambda: "{}"))


def of(texts: list[Any]) -> str:
    data: Any = SimpleNamespace(train=SimpleNamespace(texts=texts, labels=None), validation=[])
    return data_fingerprint(data, TOKENIZER)


def test_texts_with_half_a_character_have_a_hash_of_their_own() -> None:
    """Rows from memory may hold them, as may names in their objects."""
    texts = [[{"context": one}] for one in ("a", "a\ud83d", "a\ud83e", "a?", "a\ufffd")]
    assert len({of(one) for one in texts}) == 5
    assert of(texts[1]) == of([{"context": "a\ud83d"}])
