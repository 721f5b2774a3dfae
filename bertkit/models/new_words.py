"""Adds whole words, and signs, to a WordPiece tokenizer, so that all other text keeps its ids.

The words become added tokens, which match whole words only. As entries of the WordPiece vocabulary they would also match
the beginnings of longer words, and change their ids. What BERT's rules cut out wherever it stands, as a punctuation mark or
a Chinese character, matches there, too; so does a mark at which they do not cut, which made all of its word unknown.

A word that takes over the row of an ``[unusedN]`` piece needs an entry in the vocabulary all the same, to have that id.
The entry is written with a word joiner (U+2060) in front. BERT's cleaning removes that character from every text, so the
entry itself never matches; `tokenizers` shows the word without it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.models.tokenizer import JOINER, UNUSED, save_tokenizer
from bertkit.models.tokenizer_loading import load_tokenizer

if TYPE_CHECKING:
    from transformers import BertForPreTraining, PreTrainedTokenizerFast

_MATCHING = {"lstrip": False, "rstrip": False, "normalized": True, "special": False}


def save_with_words(tokenizer: "PreTrainedTokenizerFast", words: Sequence[str], folder: Path) -> None:
    """Writes a tokenizer with added words; they take the rows of ``[unusedN]`` pieces first, and then new rows at the end.

    Args:
        tokenizer: a WordPiece tokenizer with BERT's rules (``corpus.words.is_word_by_word``).
        words: the words and signs as these rules normalise them; none of them is a token yet.
        folder: an empty folder for the files.
    """
    save_tokenizer(tokenizer, folder)
    path = folder / "tokenizer.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    vocab: dict[str, int] = content["model"]["vocab"]
    free = _unused(content)[: len(words)]
    for word, piece in zip(words, free, strict=False):
        vocab[JOINER + word] = vocab.pop(piece)
    contents = [JOINER + word for word in words[: len(free)]] + list(words[len(free) :])
    ids = [vocab[one] for one in contents[: len(free)]] + list(range(len(tokenizer), len(tokenizer) + len(words)))
    added = [
        {"id": id_, "content": one, "single_word": _stands_alone(word, tokenizer), **_MATCHING}
        for word, one, id_ in zip(words, contents, ids, strict=False)
    ]
    content["model"]["vocab"] = dict(sorted(vocab.items(), key=lambda item: item[1]))
    content["added_tokens"] = sorted([*content["added_tokens"], *added], key=lambda token: token["id"])
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    # Saved once more in the usual way, so that vocab.txt has the words as well.
    grown = load_tokenizer(str(folder))
    read = grown.backend_tokenizer.encode_batch_fast(list(words), add_special_tokens=False)
    assert [one.ids for one in read] == [[id_] for id_ in ids[: len(words)]], "a new word has another id"
    save_tokenizer(grown, folder)


def _unused(content: dict[str, Any]) -> list[str]:
    """The ``[unusedN]`` pieces, ordered by id; none where the tokenizer does not remove the word joiner from texts."""
    if not content["normalizer"]["clean_text"]:
        return []
    named = {token["content"] for token in content["added_tokens"]}
    pieces = sorted(content["model"]["vocab"].items(), key=lambda item: item[1])
    return [piece for piece, _ in pieces if UNUSED.fullmatch(piece) and piece not in named]


def new_words(tokenizer: "PreTrainedTokenizerFast", own: "PreTrainedTokenizerFast") -> dict[int, str]:
    """The words that ``tokenizer`` has in addition to ``own``, by id, ascending."""
    known = own.added_tokens_decoder
    added = {
        id_: token.content.removeprefix(JOINER)
        for id_, token in sorted(tokenizer.added_tokens_decoder.items())
        if not token.special and (id_ not in known or known[id_].content != token.content)
    }
    # Another's added tokens that match within words are not of this kind.
    by_id = tokenizer.added_tokens_decoder
    return {id_: word for id_, word in added.items() if by_id[id_].single_word or not _stands_alone(word, tokenizer)}


def _stands_alone(word: str, tokenizer: "PreTrainedTokenizerFast") -> bool:
    """Whether it is a word only where no letter, mark or digit stands beside it: no sign, nor what the rules cut out anywhere."""
    rules = tokenizer.backend_tokenizer
    parts = rules.pre_tokenizer.pre_tokenize_str(rules.normalizer.normalize_str(f"a{word}a"))
    return any(map(str.isalpha, word)) and [part for part, _ in parts] != ["a", word, "a"]


def begin_as_means(model: "BertForPreTraining", words: dict[int, str], own: "PreTrainedTokenizerFast") -> None:
    """Sets the rows of new words to the mean of the rows of their former word pieces: input and output embedding, and bias.

    Args:
        model: the BERT; it has rows for the words already.
        words: the words by id, as ``new_words`` gives them.
        own: the tokenizer that the model was trained with.
    """
    import torch

    tables = [model.get_input_embeddings().weight, model.get_output_embeddings().weight, model.cls.predictions.bias]
    with torch.no_grad():
        for id_, word in words.items():
            pieces = own.backend_tokenizer.encode(word, add_special_tokens=False).ids
            # Tied tables are written twice with the same values, for none of the former pieces is a new word.
            for table in tables:
                table[id_] = table[pieces].mean(0)
