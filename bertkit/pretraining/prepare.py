"""From the corpus a person names to a tokenizer, a prepared store and its training and validation documents."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit import console
from bertkit.console import counted
from bertkit.corpus.cache import cache_folder, name_of, opened
from bertkit.corpus.checksums import check_against_checksums, write_checksums
from bertkit.corpus.merge import merged
from bertkit.corpus.prepare import Preparation, nothing_in, prepare, tokenizer_fingerprint
from bertkit.corpus.sentences import GENERAL, has_rules
from bertkit.corpus.sources import find_sources
from bertkit.corpus.statistics import TextReport, text_report
from bertkit.corpus.store import CorpusStore, is_store
from bertkit.corpus.vocabulary import SPECIAL_TOKENS, sample, sampled, train_vocabulary
from bertkit.corpus.words import is_word_by_word, word_cuts
from bertkit.errors import BertkitError
from bertkit.io.text import ReadReport
from bertkit.models.new_words import new_words, save_with_words
from bertkit.models.tokenizer import build_tokenizer, load_tokenizer, save_tokenizer, special_ids
from bertkit.pretraining.evaluation import Unigrams, unigrams
from bertkit.pretraining.split import DocumentSet, split_documents
from bertkit.settings.schema import PretrainRecipe, TokenizerSettings

if TYPE_CHECKING:
    from bertkit.corpus.parts import Engine

_SOME_UNKNOWN, _MANY_UNKNOWN = 0.001, 0.005
"""Shares of the tokens from which on they are said, and warned of; ``inspect`` shows any."""


def train_tokenizer(preparation: Preparation, settings: TokenizerSettings) -> Any:
    """WordPiece learned on the corpus, or the cached one where the very same was learned before.

    Raises:
        BertkitError: the corpus is empty, or the size does not suit it (see ``train_vocabulary``).
    """
    rules = f"{settings.lowercase} {settings.strip_accents}"
    wanted = f"2 {preparation.contents.fingerprint} {settings.vocab_size} {rules}"
    name = name_of(wanted)

    def texts() -> Iterable[str]:
        return sample(preparation.paragraphs(ReadReport()), preparation.estimated_bytes(), seed=0)

    def learn(folder: Path) -> None:
        console.note("learning the word pieces of the corpus …")
        if told := sampled(preparation.estimated_bytes()):
            console.note(told)
        with preparation.contents.unchanged():
            if next(iter(texts()), None) is None:
                raise nothing_in(preparation)
            pieces = train_vocabulary(texts, settings.vocab_size, settings.lowercase, settings.strip_accents)
        save_tokenizer(_with_rules(pieces, settings), folder)
        write_checksums(folder)

    return opened(cache_folder() / "tokenizers" / name, _learned_tokenizer, learn)


def with_new_words(preparation: Preparation, tokenizer: Any, n: int) -> tuple[Any, int]:
    """A tokenizer that reads words of the corpus whole which it cut into three word pieces or more, and how many: said.

    Args:
        n: so many words at most, those that save most word pieces.

    Raises:
        BertkitError: it is no WordPiece with BERT's rules, or no word is worth it.
    """
    check_word_by_word(tokenizer)
    wanted = f"words 1 {preparation.contents.fingerprint} {tokenizer_fingerprint(tokenizer)} {n}"
    name = name_of(wanted)

    def learn(folder: Path) -> None:
        console.note("counting the words of the corpus …")
        with preparation.contents.unchanged():
            worst = word_cuts(preparation, tokenizer.backend_tokenizer).worst[:n]
        if not worst:
            raise BertkitError(
                f"no word in {preparation.names[0]} occurs 5 times or more and is cut into three word pieces or more: leave "
                "--add-words out"
            )
        save_with_words(tokenizer, [one.word for one in worst], folder)
        write_checksums(folder)

    grown = opened(cache_folder() / "tokenizers" / name, _learned_tokenizer, learn)
    words = new_words(grown, tokenizer)
    _say_new_words(words, len(tokenizer), n)
    return grown, len(words)


def _say_new_words(words: dict[int, str], known: int, asked: int) -> None:
    in_unused = sum(id_ < known for id_ in words)
    fewer = (
        f" of the {asked:,} that --add-words asks for (no more are frequent and cut so)" if len(words) < asked else ""
    )
    console.note(
        console.plain(
            f"words that were cut into three word pieces or more and get rows of their own (--add-words): {len(words):,}{fewer}, "
            f"{in_unused:,} of [unusedN] and {len(words) - in_unused:,} behind all others: {', '.join(list(words.values())[:5])}"
            + (", …" if len(words) > 5 else "")
        )
    )


def check_word_by_word(tokenizer: Any) -> None:
    """Raises a BertkitError where a tokenizer does not cut texts into words by BERT's rules, and words into word pieces."""
    if not is_word_by_word(tokenizer.backend_tokenizer):
        kind = type(tokenizer.backend_tokenizer.model).__name__
        raise BertkitError(
            f"--add-words needs a WordPiece tokenizer with BERT's rules, and this one is another ({kind}): leave it out"
        )


def _with_rules(pieces: Sequence[str], settings: TokenizerSettings) -> Any:
    return build_tokenizer(pieces, settings.lowercase, strip_accents=settings.strip_accents)


def _learned_tokenizer(folder: Path) -> Any:
    check_against_checksums(folder)
    return load_tokenizer(str(folder))


def prepare_corpus(
    preparation: Preparation,
    settings: TokenizerSettings,
    tokenizer: Any | None = None,
    out: Path | None = None,
    verify: bool = False,
) -> tuple[CorpusStore, Any, TextReport]:
    """The prepared corpus, its tokenizer (the given one, or WordPiece learned on it), and what that does to the text.

    Args:
        out, verify: as ``corpus.prepare.prepare`` takes them.

    Raises:
        BertkitError: nothing to read, or unreadable; a vocabulary size that does not suit the corpus; words that are
            too long to be read.
    """
    rules = tokenizer or _with_rules(SPECIAL_TOKENS, settings)
    report = text_report(preparation, rules.backend_tokenizer, given=tokenizer is not None)
    tokenizer = tokenizer or train_tokenizer(preparation, settings)
    store = prepare(preparation, tokenizer, out, verify=verify)
    for told in [*preparation.left_out, *_language_told(preparation.language)]:
        console.note(console.plain(told))
    return store, tokenizer, report


def _language_told(language: str) -> list[str]:
    """A line for a language that has no rules of its own, or is no language's code."""
    if language == GENERAL or has_rules(language):
        return []
    return [
        f"data.language {language}: sentencex has no other rules for it than those of English, by which the sentences are split "
        "(most languages go by two letters, as de)"
    ]


def say_changes(report: TextReport) -> None:
    """Says what the tokenizer changes in the text; nothing where it changes nothing."""
    told = report.changes()
    if told is not None:
        (console.warn if report.is_harmful else console.note)(console.plain(told))
    for line in report.advice():
        console.warn(console.plain(line))


@dataclass(frozen=True)
class Kept:
    """General text that is mixed in, so that less of it is forgotten."""

    store: CorpusStore
    documents: DocumentSet
    share: float
    """Of the examples."""


@dataclass(frozen=True)
class Prepared:
    """The text of a run as training sees it."""

    store: CorpusStore
    training: DocumentSet
    validation_store: CorpusStore
    validation: DocumentSet
    tokenizer: Any
    baseline: Unigrams
    text: TextReport | None = None
    """What the tokenizer does to the text; None of folders that were prepared before."""
    added_words: int = 0
    """Words that the tokenizer was given beside its own."""
    kept: Kept | None = None

    @property
    def fingerprint(self) -> str:
        """Of the text, the tokenizer, and what is mixed in."""
        kept = f"-{self.kept.store.info.fingerprint}-{self.kept.share}" if self.kept else ""
        return f"{self.store.info.fingerprint}-{self.store.info.tokenizer_fingerprint}{kept}"


def is_prepared(inputs: Sequence[str]) -> bool:
    """Whether the inputs are folders that ``bertkit prepare`` wrote."""
    return bool(inputs) and all(is_store(Path(one)) for one in inputs)


def prepare_for_training(
    inputs: Sequence[str],
    validation: Sequence[str],
    tokenizer: Any | None,
    recipe: PretrainRecipe,
    add_words: int = 0,
) -> Prepared:
    """The corpus prepared, and split into training and validation documents.

    Args:
        inputs: as ``find_sources`` takes them, or the prepared folders of its parts.
        validation: likewise; where empty, a share of the documents is held out.
        tokenizer: None takes the prepared folder's, or learns one on the corpus.
        recipe: how to read, to split and to learn word pieces.
        add_words: so many words of the corpus become tokens of the given tokenizer (see ``with_new_words``).

    Raises:
        BertkitError: nothing to read, or unreadable; a folder that was prepared with another tokenizer.
    """
    text: TextReport | None = None
    added_words = 0
    if is_prepared(inputs):
        store = merged([Path(one) for one in inputs])
        tokenizer = tokenizer or load_tokenizer(inputs[0])
        if tokenizer_fingerprint(tokenizer) != store.info.tokenizer_fingerprint:
            raise BertkitError(
                f"{inputs[0]} was prepared with another tokenizer: prepare the text with this one, or leave it out"
            )
    else:
        preparation = preparation_of(inputs, recipe)
        if add_words:
            tokenizer, added_words = with_new_words(preparation, tokenizer, add_words)
        store, tokenizer, text = prepare_corpus(preparation, recipe.tokenizer, tokenizer)
    seed = recipe.train.seed
    if validation:
        validation_store = _beside(validation, tokenizer, recipe)
        training, _ = split_documents(store, 0, seed)
        held_out, _ = split_documents(validation_store, 0, seed)
    else:
        validation_store = store
        training, held_out = split_documents(store, recipe.data.validation_split, seed)
        _say_what_is_held_out(training, held_out, recipe.data.validation_split)
    if validation and not unigrams(validation_store.token_counts, special_ids(tokenizer)).most_frequent:
        raise BertkitError(
            f"{validation[0]} has no word piece that could be predicted: it is all unknown to the tokenizer"
        )
    baseline = unigrams(store.token_counts, special_ids(tokenizer))
    _say_unknown(store, tokenizer)
    return Prepared(store, training, validation_store, held_out, tokenizer, baseline, text, added_words)


def kept_text(source: str, share: float, tokenizer: Any, recipe: PretrainRecipe) -> Kept:
    """A text to be mixed in, prepared with a run's tokenizer.

    Raises:
        BertkitError: nothing to read, or unreadable; a folder that was prepared with another tokenizer.
    """
    store = _beside([source], tokenizer, recipe, ": give the text to --keep")
    return Kept(store, split_documents(store, 0, recipe.train.seed)[0], share)


def _beside(inputs: Sequence[str], tokenizer: Any, recipe: PretrainRecipe, way_out: str = "") -> CorpusStore:
    """Text that is read beside the corpus, prepared with its tokenizer."""
    if not is_prepared(inputs):
        return prepare_corpus(preparation_of(inputs, recipe), recipe.tokenizer, tokenizer)[0]
    store = merged([Path(one) for one in inputs])
    if store.info.tokenizer_fingerprint != tokenizer_fingerprint(tokenizer):
        raise BertkitError(f"{inputs[0]} was prepared with another tokenizer than the corpus{way_out}")
    return store


def _say_unknown(store: CorpusStore, tokenizer: Any) -> None:
    if tokenizer.unk_token_id is None:
        return
    unknown, tokens = int(store.token_counts[tokenizer.unk_token_id]), store.info.tokens
    if unknown > _SOME_UNKNOWN * tokens:
        count = counted(unknown, f"of {tokens:,} tokens is", f"of {tokens:,} tokens are")
        (console.warn if unknown > _MANY_UNKNOWN * tokens else console.note)(
            f"{count} [UNK] ({unknown / tokens:.2%}): characters without a word piece, or words too long for one; where it "
            "learns its own, the tokenizer takes in more with a larger --vocab-size"
        )


def _say_what_is_held_out(training: DocumentSet, held_out: DocumentSet, asked: float) -> None:
    share = held_out.tokens / (training.tokens + held_out.tokens)
    if share:
        more = f", more than the {asked:.1%} asked for: less would give no figure" if share > 1.25 * asked else ""
        console.note(
            f"{training.tokens:,} tokens to train on, {held_out.tokens:,} held out for validation ({share:.1%}{more}; "
            "change it with --validation FILE or --set data.validation_split=0.1)"
        )


def preparation_of(
    inputs: Sequence[str], recipe: PretrainRecipe, shard: tuple[int, int] = (0, 1), engine: "Engine | None" = None
) -> Preparation:
    """What to prepare of some inputs, and how it is read by a recipe; ``shard`` and ``engine`` as in ``Preparation``.

    Raises:
        BertkitError: nothing is there, or a file is of no known form.
    """
    left_out: list[str] = []
    sources = find_sources(inputs, left_out)
    return Preparation(sources, recipe.data.column, recipe.data.language.lower(), shard, engine, left_out)
