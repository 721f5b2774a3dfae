"""From the corpus a person names to a tokenizer, a prepared store and its training and validation documents."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bertkit import console
from bertkit.console import listed
from bertkit.corpus.merge import merged, source_names
from bertkit.corpus.preparation import Preparation, tokenizer_fingerprint
from bertkit.corpus.prepare import named, prepare, say_notes
from bertkit.corpus.repeated import NEAR_EXTRA
from bertkit.corpus.sources import find_sources
from bertkit.corpus.statistics import TextReport
from bertkit.corpus.store import CorpusStore, is_store, read_info
from bertkit.errors import BertkitError
from bertkit.extras import import_extra
from bertkit.models.tokenizer import special_ids
from bertkit.models.tokenizer_loading import load_tokenizer
from bertkit.pretraining.baselines import Unigrams, unigrams
from bertkit.pretraining.predictable import check_predictable
from bertkit.pretraining.split import split_documents
from bertkit.pretraining.text_notes import say_language, say_repeated, say_unknown, say_what_is_held_out
from bertkit.pretraining.texts import AskedText, Prepared, RunText
from bertkit.pretraining.word_pieces import tokenizer_for, with_new_words
from bertkit.settings.schema import PretrainRecipe, TokenizerSettings

if TYPE_CHECKING:
    from bertkit.corpus.preparation import Engine

_HELD_OUT = "held-out text: "


def prepare_corpus(
    preparation: Preparation,
    settings: TokenizerSettings,
    tokenizer: Any | None = None,
    out: Path | None = None,
    verify: bool = False,
    of: str = "",
) -> tuple[CorpusStore, TextReport]:
    """The corpus prepared with a tokenizer (the given one, or WordPiece learned on it), and what that does to the text.

    Args:
        out, verify: as ``corpus.prepare.prepare`` takes them.
        of: names the text before what is said of it, where there are others.

    Raises:
        BertkitError: nothing to read, or unreadable; a vocabulary size that does not suit the corpus; words that are
            too long to be read.
    """
    tokenizer, report = tokenizer_for(preparation, settings, tokenizer)
    return _prepared(preparation, tokenizer, out, verify, of), report


def _prepared(
    preparation: Preparation, tokenizer: Any, out: Path | None = None, verify: bool = False, of: str = ""
) -> CorpusStore:
    """The corpus prepared; what of it is left out or unknown is said, after ``of``, which names it among others."""
    store = prepare(preparation, tokenizer, out, verify=verify)
    for told in preparation.left_out:
        console.note(console.plain(told))
    say_language(preparation.language)
    say_repeated(store.info, preparation.names)
    say_unknown(store, tokenizer, of, preparation)
    return store


def is_prepared(inputs: Sequence[str]) -> bool:
    """Whether the inputs are folders that ``bertkit prepare`` wrote."""
    return bool(inputs) and all(is_store(Path(one)) for one in inputs)


def prepare_for_training(
    asked: Sequence[AskedText],
    validation: Sequence[str],
    tokenizer: Any | None,
    recipe: PretrainRecipe,
    add_words: int = 0,
) -> Prepared:
    """The texts of a run prepared, and split into training and validation documents.

    Args:
        asked: one text, or several that are mixed.
        validation: held-out text, as ``find_sources`` takes it or prepared; where empty, a share of the documents is.
        tokenizer: None takes that of a prepared folder, or learns one on the texts.
        recipe: how to read, to split and to learn word pieces.
        add_words: so many words of the texts become tokens of the given tokenizer (see ``with_new_words``).

    Raises:
        BertkitError: nothing to read, or unreadable; a folder that was prepared with another tokenizer.
    """
    to_do = [None if is_prepared(one.inputs) else preparation_of(one.inputs, recipe) for one in asked]
    tokenizer, report, added_words = _tokenizer(asked, to_do, tokenizer, recipe, add_words)
    names = [f"{one.name}: " if len(asked) > 1 else "" for one in asked]
    stores = [
        _prepared(one, tokenizer, of=name) if one else _opened(text.inputs, tokenizer, name)
        for text, one, name in zip(asked, to_do, names, strict=True)
    ]
    share = 0.0 if validation else recipe.data.validation_split
    training, held_out = _split(asked, stores, share, recipe.train.seed)
    special = special_ids(tokenizer)
    for text, one in zip(training, asked, strict=True):
        check_predictable(text, special, f"what is trained on of {one.name}" if share else one.name)
    for text, one in zip(held_out, (one for one in asked if not one.is_kept), strict=True):
        check_predictable(
            text, special, f"what is held out of {one.name}", "hold out other text with --validation FILE"
        )
    if validation:
        held_out = [_whole_text(validation, tokenizer, recipe, _HELD_OUT)]
    baseline = _baseline(held_out, special)
    return Prepared(training, held_out, tokenizer, baseline, report, added_words, bool(validation))


def prepare_to_evaluate(inputs: Sequence[str], tokenizer: Any, recipe: PretrainRecipe) -> Prepared:
    """A text prepared, all of it held out.

    Raises:
        BertkitError: as ``prepare_for_training``.
    """
    text = _whole_text(inputs, tokenizer, recipe)
    return Prepared([text], [text], tokenizer, _baseline([text], special_ids(tokenizer)))


def _tokenizer(
    asked: Sequence[AskedText],
    to_do: Sequence[Preparation | None],
    given: Any | None,
    recipe: PretrainRecipe,
    add_words: int,
) -> tuple[Any, TextReport | None, int]:
    """The tokenizer of a run, what it does to the texts that are prepared now, and how many words it was given."""
    texts = [(one, text) for one, text in zip(to_do, asked, strict=True) if one]
    folders = [text.inputs[0] for one, text in zip(to_do, asked, strict=True) if not one]
    tokenizer, added_words = given or (load_tokenizer(folders[0]) if folders else None), 0
    if add_words:
        tokenizer, added_words = with_new_words(
            _together([one for one, text in texts if not text.is_kept]), tokenizer, add_words
        )
    if not texts:
        return tokenizer, None, added_words
    mixed = [(one, text.share) for one, text in texts]
    tokenizer, report = tokenizer_for(_together([one for one, _ in texts]), recipe.tokenizer, tokenizer, mixed)
    return tokenizer, report, added_words


def _split(
    asked: Sequence[AskedText], stores: Sequence[CorpusStore], share: float, seed: int
) -> tuple[list[RunText], list[RunText]]:
    """What is trained on of each text, and what is held out: a share of its tokens, and nothing of general text."""
    training, held_out = [], []
    for one, store in zip(asked, stores, strict=True):
        name, own_share = one.name if len(asked) > 1 else "", 0.0 if one.is_kept else share
        mine, theirs = split_documents(store, own_share, seed)
        say_what_is_held_out(mine, theirs, own_share, f"{name}: " if name else "")
        training.append(RunText(store, mine, one.share, name))
        held_out += [] if one.is_kept else [RunText(store, theirs, one.share, name)]
    return training, held_out


def _together(texts: Sequence[Preparation]) -> Preparation:
    """Several texts as one."""
    return texts[0] if len(texts) == 1 else replace(texts[0], sources=[one for text in texts for one in text.sources])


def _baseline(texts: Sequence[RunText], special: list[int]) -> Unigrams:
    """What knowing the frequencies alone would give on these texts, or on those they are held out of, in their shares."""
    first, *others = texts
    if not others:
        return unigrams(first.store.token_counts, special)
    weighed = [text.share / text.store.info.tokens * text.store.token_counts for text in texts]
    return unigrams(np.sum(weighed, axis=0), special)


def _whole_text(inputs: Sequence[str], tokenizer: Any, recipe: PretrainRecipe, of: str = "") -> RunText:
    """A text with all of its documents, none of them left out; ``of`` names it in what is said."""
    if is_prepared(inputs):
        store = _opened(inputs, tokenizer, of)
    else:
        as_it_is = replace(preparation_of(inputs, recipe), deduplicate=None)
        store = prepare_corpus(as_it_is, recipe.tokenizer, tokenizer, of=of)[0]
    text = RunText(store, split_documents(store, 0, recipe.train.seed)[0])
    check_predictable(text, special_ids(tokenizer), listed(inputs, 3))
    return text


def _opened(folders: Sequence[str], tokenizer: Any, of: str) -> CorpusStore:
    """Text that was prepared before; ``of`` names it among others in what is said.

    Raises:
        BertkitError: with another tokenizer.
    """
    once = dict.fromkeys(Path(one).resolve() for one in folders)
    names = source_names(map(read_info, once))
    store = named(merged([Path(one) for one in folders]), names)
    if store.info.tokenizer_fingerprint != tokenizer_fingerprint(tokenizer):
        raise BertkitError(
            f"{folders[0]} was prepared with another tokenizer: prepare the text with the one of this run, or give the text"
        )
    say_notes(store.info)
    say_repeated(store.info, folders)
    say_unknown(store, tokenizer, of)
    return store


def preparation_of(
    inputs: Sequence[str], recipe: PretrainRecipe, shard: tuple[int, int] = (0, 1), engine: "Engine | None" = None
) -> Preparation:
    """What to prepare of some inputs, and how it is read by a recipe; ``shard`` and ``engine`` as in ``Preparation``.

    Raises:
        BertkitError: nothing is there, or a file is of no known form; a part of a text cannot be compared with the rest, or
            the library for it is not installed.
    """
    deduplicate = recipe.data.deduplicate
    if deduplicate is not None and (engine is not None or shard != (0, 1)):
        raise BertkitError(
            f"data.deduplicate={deduplicate} compares a text with all of itself, and --engine and --shard prepare parts of it "
            "by themselves: leave one of them out"
        )
    if deduplicate == "near-duplicates":
        import_extra("rensa", NEAR_EXTRA)
    left_out: list[str] = []
    sources = find_sources(inputs, left_out)
    return Preparation(sources, recipe.data.column, recipe.data.language.lower(), shard, engine, deduplicate, left_out)
