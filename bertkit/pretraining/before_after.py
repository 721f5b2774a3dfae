"""Measures what a model has gained and forgotten by further pretraining: the same words are hidden from it before and after.

The figures are bits per character, so that models with different vocabularies can be compared. Whole words are hidden, the
same for both models; the loss of a word is the sum over its word pieces, which are all hidden at once.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bertkit import console
from bertkit.assets import EMBEDDED_CORPUS
from bertkit.corpus.preparation import Preparation
from bertkit.corpus.prepare import prepare
from bertkit.corpus.sources import find_sources
from bertkit.draws import key, uniform_grid
from bertkit.errors import BertkitError
from bertkit.inference.cloze import evaluate_cloze
from bertkit.models.folder import bert_folder, own_length
from bertkit.models.loading import load_for
from bertkit.models.new_words import new_words
from bertkit.models.tokenizer import continuation_mask, special_ids
from bertkit.models.tokenizer_loading import load_tokenizer
from bertkit.pretraining.dataset import HeldOutExamples
from bertkit.pretraining.split import split_documents
from bertkit.pretraining.texts import Prepared, RunText
from bertkit.runtime.batches import TOKENS_AT_ONCE
from bertkit.settings.schema import PretrainRecipe

if TYPE_CHECKING:
    import torch
    from transformers import BertForMaskedLM

HELD_OUT, GENERAL = "held_out_bits_per_character", "general_bits_per_character"
_SHOWN = {
    HELD_OUT: "held-out text, bits a character",
    GENERAL: "embedded stories, bits a character",
    "cloze_top_1": "cloze, right at once",
    "cloze_top_5": "cloze, among five",
}
_EXAMPLES, _LENGTH, _HIDDEN = 256, 128, 0.15
_DRAWS = 0xBEFA
"""Makes the draws of these examples differ from those of training and evaluation."""


class Reading(NamedTuple):
    """A text in which some words are hidden."""

    ids: np.ndarray
    """int64 ``[tokens]``, with ``[CLS]`` and ``[SEP]``; the true ids, also of hidden words."""
    hidden: np.ndarray
    """bool ``[tokens]``: the word pieces of hidden words."""


class Hidden(NamedTuple):
    """The same texts for two tokenizers, of which the later one has words whole that the earlier one cuts."""

    before: list[Reading]
    after: list[Reading]
    characters: int
    """The characters of all hidden words."""
    left_out: int
    """Words that would be hidden, and are not, as one of the tokenizers does not know them: to guess ``[UNK]`` is no guess."""


def comparison(results: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
    """The figures of ``before_and_after`` in a run's results, written for people: (before, after, change) by description."""
    before, after = results.get("before", {}), results.get("after", {})
    shown = {}
    for name, what in _SHOWN.items():
        if name in before and name in after:
            change = after[name] - before[name]
            is_share = name.startswith("cloze")
            was, became = (f"{one:.1%}" if is_share else f"{one:.3f}" for one in (before[name], after[name]))
            shown[what] = (was, became, f"{100 * change:+.1f} points" if is_share else f"{change:+.3f}")
    return shown


def before_and_after(
    base: str, out: str, corpus: Prepared, recipe: PretrainRecipe, device: str
) -> dict[str, dict[str, float]]:
    """Compares a model with the one that its training started from.

    Args:
        base: the folder or name of the model before.
        out: the folder of the model after; it has the corpus's tokenizer.
        corpus: the corpus that was trained on.
        recipe: the recipe of the run.
        device: a device type.

    Returns:
        ``before`` and ``after``, each with ``held_out_bits_per_character`` (not there if nothing was held out),
        ``general_bits_per_character`` (on the embedded stories), ``cloze_top_1`` and ``cloze_top_5`` (not there
        if a model cannot read the cloze sentences, which a note says). If the models cannot be compared, an empty dictionary, and
        a note says why.
    """
    figures: dict[str, dict[str, float]] = {}
    rows: dict[str, int] = {}
    names = {"before": base, "after": out}
    try:
        folder = bert_folder(base)
        own = load_tokenizer(str(folder))
        texts = _texts(corpus, own, recipe, min(_LENGTH, own_length(folder) or _LENGTH))
        for when, name in names.items():
            model, _ = load_for("BertForMaskedLM", name)
            rows[when] = model.config.vocab_size
            figures[when] = {
                text: bits_per_character(model.to(device).eval(), getattr(hidden, when), hidden.characters, own)
                for text, hidden in texts.items()
            }
    except BertkitError as error:
        console.note(console.plain(f"no figures before and after: {error}"))
        return {}
    try:
        _check_rows(rows["before"], len(own))
        for when, name in names.items():
            cloze = evaluate_cloze(name, None, device)
            figures[when] |= {f"cloze_{top}": cloze[top] for top in ("top_1", "top_5")}
    except BertkitError as error:
        console.note(
            console.plain(f"no figures before and after of the cloze sentences that come with bertkit: {error}")
        )
    return figures


def _texts(corpus: Prepared, own: Any, recipe: PretrainRecipe, length: int) -> dict[str, Hidden]:
    stories = prepare(Preparation(find_sources([str(EMBEDDED_CORPUS)])), corpus.tokenizer)
    sides = {
        HELD_OUT: corpus.validation,
        GENERAL: [RunText(stories, split_documents(stories, 0, recipe.train.seed)[0])],
    }
    texts = {name: hidden_words(side, corpus.tokenizer, own, recipe, length) for name, side in sides.items()}
    for name, hidden in texts.items():
        if hidden.left_out:
            words = console.counted(hidden.left_out, "hidden word is", "hidden words are")
            console.note(f"{_SHOWN[name]}: {words} left out, as the model before does not know them ([UNK])")
        if sides[name] and not hidden.characters:
            console.note(f"{_SHOWN[name]}: not measured, as no word of the examples is hidden")
    return {name: hidden for name, hidden in texts.items() if hidden.characters}


def hidden_words(texts: Sequence[RunText], tokenizer: Any, own: Any, recipe: PretrainRecipe, length: int) -> Hidden:
    """Examples from documents in which 15 % of the words are hidden, as cut by a tokenizer and by an earlier one.

    Args:
        texts: the documents, prepared with ``tokenizer``.
        tokenizer: ``own``, maybe with added words (see ``models.new_words``).
        own: the tokenizer of the model before.
        recipe: gives the seed and the number of examples (at most 256).
        length: the most tokens of an example: no more than the model before has learned to read.
    """
    data = recipe.data.model_copy(update={"sentence_objective": "none", "short_seq_prob": 0.0})
    most = min(_EXAMPLES, recipe.data.max_eval_examples)
    examples = HeldOutExamples(texts, data, length, key(recipe.train.seed, _DRAWS), most)
    continues, special = continuation_mask(tokenizer), set(special_ids(tokenizer))
    cuts = {
        id_: own.backend_tokenizer.encode(word, add_special_tokens=False).ids
        for id_, word in new_words(tokenizer, own).items()
    }
    hidden = Hidden([], [], 0, 0)
    for position in range(len(examples)):
        _, example = examples.example(position)
        words = list(_words(example.a.tolist(), continues))
        draws = uniform_grid(np.array([example.key], dtype=np.uint64), 0, len(words))[0]
        earlier = [cuts.get(word[0], word) for word in words]
        is_drawn = (draws < _HIDDEN).tolist()
        is_known = [not special & {*now, *before} for now, before in zip(words, earlier, strict=True)]
        is_hidden = [drawn and known for drawn, known in zip(is_drawn, is_known, strict=True)]
        while sum(map(len, earlier)) > length - 2:  # both texts get the same words
            earlier.pop()
        kept = len(earlier)
        hidden.before.append(_sequence(earlier, is_hidden, own))
        hidden.after.append(_sequence(words[:kept], is_hidden, own))
        shown = [tokenizer.convert_ids_to_tokens(word) for word in words[:kept]]
        characters = sum(
            len(piece.removeprefix("##")) for word, one in zip(shown, is_hidden, strict=False) if one for piece in word
        )
        left_out = sum(is_drawn[:kept]) - sum(is_hidden[:kept])
        hidden = hidden._replace(characters=hidden.characters + characters, left_out=hidden.left_out + left_out)
    return hidden


def _words(ids: Sequence[int], continues: np.ndarray) -> Iterator[list[int]]:
    """The ids of each word: a piece and those that continue it."""
    word: list[int] = []
    for id_ in ids:
        if word and not continues[id_]:
            yield word
            word = []
        word.append(id_)
    yield word


def _sequence(words: Sequence[Sequence[int]], is_hidden: Sequence[bool], tokenizer: Any) -> Reading:
    ids = [tokenizer.cls_token_id, *(id_ for word in words for id_ in word), tokenizer.sep_token_id]
    hidden = [False, *(one for word, one in zip(words, is_hidden, strict=False) for _ in word), False]
    return Reading(np.array(ids, dtype=np.int64), np.array(hidden, dtype=bool))


def bits_per_character(
    model: "BertForMaskedLM", sequences: Sequence[Reading], characters: int, tokenizer: Any
) -> float:
    """The loss of a model on hidden words, divided by their characters, in bits.

    Args:
        model: the model.
        sequences: the texts.
        characters: the characters of all hidden words.
        tokenizer: gives the ids of special tokens.

    Raises:
        BertkitError: the texts have word pieces that the model has no rows for.
    """
    import torch
    from torch.nn.functional import cross_entropy

    _check_rows(model.config.vocab_size, 1 + max(int(one.ids.max()) for one in sequences))
    nats = 0.0
    at_once = max(1, TOKENS_AT_ONCE["cpu"] // max(len(one.ids) for one in sequences))
    with torch.inference_mode():
        for begin in range(0, len(sequences), at_once):
            ids, hidden, inside = _padded(sequences[begin : begin + at_once], tokenizer.pad_token_id)
            shown = ids.masked_fill(hidden, tokenizer.mask_token_id)
            given = {"input_ids": shown, "attention_mask": inside.long()}
            read = model.bert(**{name: one.to(model.device) for name, one in given.items()}).last_hidden_state
            logits = model.cls(read[hidden.to(model.device)]).float()
            nats += float(cross_entropy(logits, ids[hidden].to(model.device), reduction="sum"))
    return nats / math.log(2) / characters


def _check_rows(rows: int, pieces: int) -> None:
    if pieces > rows:
        raise BertkitError("the model that was gone on from has no rows for some word pieces of the tokenizer")


def _padded(sequences: Sequence[Reading], pad: int) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """Ids (int64), which tokens are hidden, and which are not padding (bool), each ``[sequences, longest]``."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    ids = pad_sequence([torch.from_numpy(one.ids) for one in sequences], batch_first=True, padding_value=pad)
    hidden = pad_sequence([torch.from_numpy(one.hidden) for one in sequences], batch_first=True)
    inside = pad_sequence([torch.ones(len(one.ids), dtype=torch.bool) for one in sequences], batch_first=True)
    return ids, hidden, inside
