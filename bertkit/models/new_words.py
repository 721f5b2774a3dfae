"""Words that a WordPiece tokenizer is given beside its own, so that every other text keeps its ids.

They are added tokens that stand for whole words: an entry of the vocabulary itself would also begin longer words, and
change their ids. A word that takes the row of an ``[unusedN]`` has to have an entry there all the same, or the row would
not be its own: it is written with a word joiner (U+2060) in front, which BERT's cleaning takes out of every text, so that
no text is ever matched with the entry; `tokenizers` shows the word without it.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.models.tokenizer import UNUSED, load_tokenizer, save_tokenizer

if TYPE_CHECKING:
    from transformers import BertForPreTraining, PreTrainedTokenizerFast

_JOINER = "\u2060"
_WHOLE_WORD = {"single_word": True, "lstrip": False, "rstrip": False, "normalized": True, "special": False}


def save_with_words(tokenizer: "PreTrainedTokenizerFast", words: Sequence[str], folder: Path) -> None:
    """Writes a tokenizer that has more words: in ``[unusedN]`` rows as far as there are any, then behind all others.

    Args:
        tokenizer: a WordPiece with BERT's rules (``corpus.words.is_word_by_word``).
        words: as these rules write them; none is a token yet.
        folder: empty, for the files.
    """
    save_tokenizer(tokenizer, folder)
    path = folder / "tokenizer.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    vocab: dict[str, int] = content["model"]["vocab"]
    free = _unused(content)[: len(words)]
    for word, piece in zip(words, free, strict=False):
        vocab[_JOINER + word] = vocab.pop(piece)
    contents = [_JOINER + word for word in words[: len(free)]] + list(words[len(free) :])
    ids = [vocab[one] for one in contents[: len(free)]] + list(range(len(tokenizer), len(tokenizer) + len(words)))
    added = [{"id": id_, "content": one, **_WHOLE_WORD} for one, id_ in zip(contents, ids, strict=False)]
    content["model"]["vocab"] = dict(sorted(vocab.items(), key=lambda item: item[1]))
    content["added_tokens"] = sorted([*content["added_tokens"], *added], key=lambda token: token["id"])
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    # Once more as every other tokenizer is saved: vocab.txt names the words, too.
    grown = load_tokenizer(str(folder))
    read = grown.backend_tokenizer.encode_batch_fast(list(words), add_special_tokens=False)
    assert [one.ids for one in read] == [[id_] for id_ in ids[: len(words)]], "a new word has another id"
    save_tokenizer(grown, folder)


def _unused(content: dict[str, Any]) -> list[str]:
    """The ``[unusedN]`` pieces by id, where a joiner before a word is cleaned away."""
    if not content["normalizer"]["clean_text"]:
        return []
    named = {token["content"] for token in content["added_tokens"]}
    pieces = sorted(content["model"]["vocab"].items(), key=lambda item: item[1])
    return [piece for piece, _ in pieces if UNUSED.fullmatch(piece) and piece not in named]


def new_words(tokenizer: "PreTrainedTokenizerFast", own: "PreTrainedTokenizerFast") -> dict[int, str]:
    """The words that a tokenizer was given beside those of another one, by id, ascending."""
    known = own.added_tokens_decoder
    return {
        id_: token.content.removeprefix(_JOINER)
        for id_, token in sorted(tokenizer.added_tokens_decoder.items())
        if not token.special and token.single_word and (id_ not in known or known[id_].content != token.content)
    }


def begin_as_means(model: "BertForPreTraining", words: dict[int, str], own: "PreTrainedTokenizerFast") -> None:
    """Gives new words the mean of the rows of the word pieces that they were: input, output and bias.

    Args:
        words: by id, as ``new_words`` gives them; the model has rows for them.
        own: the tokenizer that the model was trained with.
    """
    import torch

    tables = [model.get_input_embeddings().weight, model.get_output_embeddings().weight, model.cls.predictions.bias]
    with torch.no_grad():
        for id_, word in words.items():
            pieces = own.backend_tokenizer.encode(word, add_special_tokens=False).ids
            # Tied tables are written twice, with the same: no word piece of a known word is new.
            for table in tables:
                table[id_] = table[pieces].mean(0)
