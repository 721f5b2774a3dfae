import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.languages import PARAGRAPHS
from tokenizers import AddedToken, Tokenizer
from transformers import AutoTokenizer, BertTokenizer

from bertkit.corpus.vocabulary import train_vocabulary
from bertkit.models.tokenizer import (
    build_tokenizer,
    continuation_mask,
    replacement_ids,
    save_tokenizer,
    special_ids,
)
from bertkit.models.tokenizer_loading import load_tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def test_a_saved_tokenizer_loads_with_plain_transformers(tmp_path: Path) -> None:
    pieces = [*SPECIAL, "The", "\u2028", "cat", "##s", "é"]
    ours = build_tokenizer(pieces, lowercase=False)
    ours.model_max_length = 99
    save_tokenizer(ours, tmp_path)
    assert (tmp_path / "vocab.txt").read_bytes().decode() == "".join(f"{piece}\n" for piece in pieces)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    text = "The cats é [MASK] the"
    assert theirs(text)["input_ids"] == ours(text)["input_ids"] == [2, 5, 7, 8, 9, 4, 1, 3]
    assert type(theirs).__name__ == "BertTokenizer"
    assert theirs.model_max_length == 99


@pytest.fixture(scope="module")
def pieces_of_all_languages() -> list[str]:
    return train_vocabulary(lambda: [*PARAGRAPHS.values()] * 2, None, lowercase=True, strip_accents=False)


@pytest.mark.parametrize("strip_accents", [False, True])
def test_text_in_any_language_loses_no_letter_and_transformers_reads_the_same_ids(
    tmp_path: Path, pieces_of_all_languages: list[str], strip_accents: bool
) -> None:
    ours = build_tokenizer(pieces_of_all_languages, True, strip_accents=strip_accents)
    save_tokenizer(ours, tmp_path / "whole")
    (tmp_path / "vocab").mkdir()
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(tmp_path / "whole" / name, tmp_path / "vocab" / name)
    readers = [
        load_tokenizer(str(tmp_path / "whole")),
        load_tokenizer(str(tmp_path / "vocab")),
        AutoTokenizer.from_pretrained(tmp_path / "whole"),
        AutoTokenizer.from_pretrained(tmp_path / "vocab"),
        BertTokenizer.from_pretrained(tmp_path / "vocab"),
    ]
    backend = Tokenizer.from_file(str(tmp_path / "whole" / "tokenizer.json"))
    for text in PARAGRAPHS.values():
        ids = ours(text)["input_ids"]
        assert [reader(text)["input_ids"] for reader in readers] == [ids] * len(readers)
        assert backend.encode(text).ids == ids
        if not strip_accents:
            read = "".join(piece.removeprefix("##") for piece in ours.convert_ids_to_tokens(ids[1:-1]))
            # Of each letter by itself, as Python's lower() of a word knows the final sigma.
            assert read == "".join(letter.lower() for letter in text if not letter.isspace())


def test_ids_by_their_use() -> None:
    tokenizer = build_tokenizer([*SPECIAL, "[unused0]", "cat", "##s", "##", "[x]"], lowercase=True)
    tokenizer.add_special_tokens({"extra_special_tokens": ["[DOC]"]})
    assert special_ids(tokenizer) == [0, 1, 2, 3, 4, 10]
    assert replacement_ids(tokenizer).tolist() == [6, 7, 8, 9]
    assert replacement_ids(tokenizer).dtype == np.int64
    assert np.flatnonzero(continuation_mask(tokenizer)).tolist() == [7]
    assert continuation_mask(tokenizer).shape == (11,)


def test_a_special_token_without_a_role_is_special() -> None:
    """As those of a tokenizer.json are that its configuration does not list."""
    tokenizer = build_tokenizer([*SPECIAL, "cat"], lowercase=True)
    tokenizer.add_tokens([AddedToken("[DOC]", special=True), AddedToken("dog")])
    assert special_ids(tokenizer) == [0, 1, 2, 3, 4, 6]
    assert replacement_ids(tokenizer).tolist() == [5, 7]
