"""WordPiece tokenizers: built from a vocabulary and saved, and what their pieces are."""

import re
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bertkit.errors import BertkitError

if TYPE_CHECKING:
    from transformers import BertTokenizer, PreTrainedTokenizerFast

SPECIAL_TOKENS = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
CODE_OF_OTHERS = ("auto_map", "trust_remote_code", "custom_pipelines", "chat_template")
"""Fields of a tokenizer_config.json that are, or lead to, foreign programs; they are never saved."""
CONTINUATION = "##"
"""The prefix of WordPiece's pieces that continue a word."""
JOINER = "\u2060"
"""The word joiner, which BERT's cleaning removes from every text."""
UNUSED = re.compile(r"\[unused\d+\]")
"""Pieces that stand for nothing, with which vocabularies keep rows free for later."""


def build_tokenizer(
    vocab: Sequence[str],
    lowercase: bool,
    strip_accents: bool | None = None,
) -> "BertTokenizer":
    """Builds a BERT tokenizer.

    Args:
        vocab: the word pieces in the order of their ids, with BERT's five special tokens among them.
        lowercase: lower-case the text.
        strip_accents: remove all nonspacing marks; None does so if ``lowercase``, as Google's first BERTs do.

    Raises:
        BertkitError: a special token is missing, or a piece is listed twice.
    """
    from transformers import BertTokenizer

    ids = numbered(vocab, "the vocabulary")
    check_special_tokens(ids, SPECIAL_TOKENS, "the vocabulary")
    return BertTokenizer(vocab=ids, do_lower_case=lowercase, strip_accents=strip_accents)


def save_tokenizer(tokenizer: "PreTrainedTokenizerFast", folder: Path) -> None:
    """Writes tokenizer.json, tokenizer_config.json and vocab.txt (one piece per line, by id), without foreign programs."""
    if tokenizer.model_input_names != type(tokenizer).model_input_names:  # which is written only if it is among these
        tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names
    without_programs(tokenizer).save_pretrained(folder)
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    added = tokenizer.added_tokens_decoder
    with (Path(folder) / "vocab.txt").open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{as_written(piece, id_ in added)}\n" for id_, piece in enumerate(pieces))


def as_written(piece: str, is_added: bool) -> str:
    """A piece as vocab.txt has it: one that was added without the blanks by which the rules set apart a Chinese character, and
    without a word joiner (see ``models.new_words``)."""
    return (piece.strip(f" {JOINER}") or piece) if is_added else piece


def without_programs(tokenizer: "PreTrainedTokenizerFast") -> "PreTrainedTokenizerFast":
    """The tokenizer, after all that leads to foreign programs was taken out of it, so that it is saved nowhere."""
    for name in CODE_OF_OTHERS:
        tokenizer.init_kwargs.pop(name, None)
    tokenizer.chat_template = None
    return tokenizer


def special_ids(tokenizer: "PreTrainedTokenizerFast") -> list[int]:
    """The ids of all special tokens, ascending."""
    added = (id_ for id_, token in tokenizer.added_tokens_decoder.items() if token.special)
    return sorted({*tokenizer.all_special_ids, *added})


def replacement_ids(tokenizer: "PreTrainedTokenizerFast") -> np.ndarray:
    """The ids that masking may put in as random tokens: all but special and ``[unusedN]`` ones; int64, ascending."""
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(special_ids(tokenizer))
    kept = [id_ for id_, piece in enumerate(pieces) if id_ not in special and not UNUSED.fullmatch(piece)]
    return np.array(kept, dtype=np.int64)


def marks_words(tokenizer: "PreTrainedTokenizerFast") -> bool:
    """Whether a piece shows if it continues a word: by a prefix (``##``), or because every word is a single piece."""
    model = tokenizer.backend_tokenizer.model
    return bool(getattr(model, "continuing_subword_prefix", None)) or type(model).__name__ == "WordLevel"


def continuation_mask(tokenizer: "PreTrainedTokenizerFast") -> np.ndarray:
    """For every id, whether its piece continues a word (as ``##ing`` does): bool ``[len(tokenizer)]``."""
    prefix: str = getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None) or ""
    special = set(special_ids(tokenizer))
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    marks = [
        bool(prefix) and id_ not in special and len(piece) > len(prefix) and piece.startswith(prefix)
        for id_, piece in enumerate(pieces)
    ]
    return np.array(marks, dtype=np.bool_)


def numbered(vocab: Sequence[str], where: str) -> dict[str, int]:
    """The word pieces with their ids, which follow their order.

    Raises:
        BertkitError: a piece is listed twice, ``where`` being the name of the list.
    """
    ids: dict[str, int] = {}
    for id_, piece in enumerate(vocab):
        if ids.setdefault(piece, id_) != id_:
            raise BertkitError(f"{where}: piece '{piece}' stands in lines {ids[piece] + 1} and {id_ + 1}")
    return ids


def check_special_tokens(pieces: Container[str], names: Mapping[str, str], where: str) -> None:
    """Raises a BertkitError if pieces lack one of the special tokens, which ``names`` gives by transformers' names for them."""
    missing = [token for token in names.values() if token not in pieces]
    if missing:
        raise BertkitError(
            f"{where} has no {', '.join(missing)}: a BERT's vocabulary holds {', '.join(names.values())}"
        )
