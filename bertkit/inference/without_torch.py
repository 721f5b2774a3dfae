"""A BERT that fills masks without torch and transformers: for a few texts, in a fraction of a second."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bertkit.errors import is_library_failure
from bertkit.inference.numpy_bert import NumpyBert, UnsupportedError

# What transformers' `clean_up_tokenization` does to a decoded text.
_CLEANED = ((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
            (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"))  # fmt: skip


class LightReader:
    """A model and its tokenizer (a ``mask_fill.Reader``) in numpy and ``tokenizers``.

    Args:
        folder: with config.json, model.safetensors, tokenizer.json and tokenizer_config.json.

    Raises:
        UnsupportedError: the model, or the tokenizer, is one that only transformers reads rightly.
    """

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self._bert = NumpyBert(folder)
        self.rows, self.max_position_embeddings = self._bert.rows, self._bert.max_position_embeddings
        try:
            config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
            content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
            self._check(config, content)
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self.mask_token, self.unk_token = str(config["mask_token"]), str(config["unk_token"])
            self.mask_token_id = self.vocab[self.mask_token]
            self.pad_token_id = self.vocab[config["pad_token"]]
            self.encode(self.mask_token)
        except UnsupportedError:
            raise
        except BaseException as error:  # whatever a broken file makes the library raise: the other reader says it well
            if not is_library_failure(error):
                raise
            raise UnsupportedError(f"its tokenizer ({error})") from error
        if len(self.vocab) > self.rows:
            raise UnsupportedError("it has fewer rows than its tokenizer has word pieces")
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    @cached_property
    def vocab(self) -> dict[str, int]:
        """Word piece → id."""
        ids: dict[str, int] = self._tokenizer.get_vocab()
        return ids

    def encode(self, text: str) -> list[int]:
        """Ids with special tokens."""
        ids: list[int] = self._tokenizer.encode(text).ids
        return ids

    def tokenize(self, text: str) -> list[str]:
        """Word pieces without special tokens."""
        pieces: list[str] = self._tokenizer.encode(text, add_special_tokens=False).tokens
        return pieces

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of some ids."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
        for spaced, joined in _CLEANED:
            text = text.replace(spaced, joined)
        return text

    def mask_probabilities(self, encoded: Sequence[list[int]]) -> np.ndarray:
        """At all masks, text by text, fp32 ``[masks, rows]``."""
        found = []
        for ids in encoded:
            masks = np.array(ids) == self.mask_token_id
            found.append(self._bert.word_probabilities(self._bert.hidden(ids)[masks]))
        return np.concatenate(found)

    @staticmethod
    def _check(config: dict[str, Any], content: dict[str, Any]) -> None:
        """Only a plain BERT tokenizer, whose two files agree."""
        rules = content["normalizer"]
        told = {
            "do_lower_case": rules["lowercase"],
            "strip_accents": rules["strip_accents"],
            "tokenize_chinese_chars": rules["handle_chinese_chars"],
            "clean_up_tokenization_spaces": True,
            "tokenizer_class": "BertTokenizer",
        }
        for name, value in told.items():
            if config.get(name, value) != value:
                raise UnsupportedError(f"its tokenizer: {name} is {config[name]}")
        if rules["type"] != "BertNormalizer" or content["post_processor"]["type"] != "TemplateProcessing":
            raise UnsupportedError("its tokenizer is not a plain BERT tokenizer")
