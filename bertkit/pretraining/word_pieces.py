"""The tokenizer of a run: WordPiece learned on its text, or the tokenizer of a model with words added."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.console import listed
from bertkit.corpus.cache import cache_folder, name_of, opened
from bertkit.corpus.checksums import check_against_checksums, write_checksums
from bertkit.corpus.preparation import Preparation, nothing_in, tokenizer_fingerprint
from bertkit.corpus.statistics import TextReport, text_report
from bertkit.corpus.vocabulary import SPECIAL_TOKENS, measured, reading, readings, sampled, train_vocabulary
from bertkit.corpus.words import is_word_by_word, word_cuts
from bertkit.errors import BertkitError
from bertkit.io.text import ReadReport
from bertkit.models.new_words import new_words, save_with_words
from bertkit.models.tokenizer import build_tokenizer, save_tokenizer
from bertkit.models.tokenizer_loading import load_tokenizer
from bertkit.settings.schema import TokenizerSettings

Mixed = Sequence[tuple[Preparation, float]]
"""Texts with their shares of the examples."""


def tokenizer_for(
    preparation: Preparation, settings: TokenizerSettings, tokenizer: Any | None, mixed: Mixed = ()
) -> tuple[Any, TextReport]:
    """The given tokenizer, or the one that is learned (see ``train_tokenizer``), and what it does to the text.

    Args:
        preparation: the corpus.
        mixed: as ``train_tokenizer`` takes it.

    Raises:
        BertkitError: as ``train_tokenizer``; words that are too long to be read.
    """
    rules = tokenizer or _with_rules(SPECIAL_TOKENS, settings)
    report = text_report(preparation, rules.backend_tokenizer, given=tokenizer is not None)
    return tokenizer or train_tokenizer(preparation, settings, mixed), report


def train_tokenizer(preparation: Preparation, settings: TokenizerSettings, mixed: Mixed = ()) -> Any:
    """WordPiece learned on the corpus, or the cached one where the very same was learned before.

    Args:
        preparation: the corpus.
        mixed: its parts, where there are several: each has its share of what is learned on.

    Raises:
        BertkitError: the corpus is empty, or the size does not suit it (see ``train_vocabulary``).
    """
    mixed = mixed or [(preparation, 1.0)]
    shares = "".join(f" {share}" for _, share in mixed) if len(mixed) > 1 else ""
    contents = " ".join(one.text_fingerprint for one, _ in mixed) + shares
    wanted = f"{4 if shares else 3} {contents} {settings.vocab_size} {settings.lowercase} {settings.strip_accents}"

    def learn(folder: Path) -> None:
        console.note("learning the word pieces of the corpus …")
        with ExitStack() as unchanged:
            for one, _ in mixed:
                unchanged.enter_context(one.contents.unchanged())
            sizes = [measured(one) for one, _ in mixed] if len(mixed) > 1 else [mixed[0][0].estimated_bytes()]
            read = readings(sizes, [share for _, share in mixed])
            if told := sampled(sizes[0]) if len(mixed) == 1 else _in_shares(mixed, sizes, read):
                console.note(console.plain(told))

            def texts() -> Iterable[str]:
                for (one, _), size, some in zip(mixed, sizes, read, strict=True):
                    yield from reading(partial(one.paragraphs, ReadReport()), size, some)

            if next(iter(texts()), None) is None:
                raise nothing_in(preparation)
            pieces = train_vocabulary(texts, settings.vocab_size, settings.lowercase, settings.strip_accents)
        save_tokenizer(_with_rules(pieces, settings), folder)
        write_checksums(folder)

    return opened(cache_folder() / "tokenizers" / name_of(wanted), _learned_tokenizer, learn)


def _in_shares(mixed: Mixed, sizes: Sequence[int], read: Sequence[float]) -> str:
    times = ", ".join(
        f"{listed(one.names, 1)} {some / size:.2g} times"
        for (one, _), size, some in zip(mixed, sizes, read, strict=True)
        if size
    )
    return f"the word pieces are learned on the texts in their shares, for which these are read: {times}"


def with_new_words(preparation: Preparation, tokenizer: Any, n: int) -> tuple[Any, int]:
    """A tokenizer that reads words of the corpus whole which it did not know, or cut into three word pieces or more: said.

    Returns:
        The tokenizer, and how many words it was given.

    Args:
        n: so many words and signs at most, those that save most word pieces, or of which most was unknown.

    Raises:
        BertkitError: it is no WordPiece with BERT's rules, or no word is worth it.
    """
    check_word_by_word(tokenizer)
    wanted = f"words 4 {preparation.text_fingerprint} {tokenizer_fingerprint(tokenizer)} {n}"
    name = name_of(wanted)

    def learn(folder: Path) -> None:
        console.note("counting the words of the corpus …")
        with preparation.contents.unchanged():
            worst = word_cuts(preparation, tokenizer.backend_tokenizer).worst[:n]
        if not worst:
            raise BertkitError(
                f"no word or sign in {preparation.names[0]} occurs 5 times or more and is unknown, or cut into three word pieces "
                "or more: leave --add-words out"
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
            f"words and signs that were unknown, or cut into three word pieces or more, and get rows of their own (--add-words): "
            f"{len(words):,}{fewer}, {in_unused:,} of [unusedN] and {len(words) - in_unused:,} behind all others: "
            f"{listed(list(words.values()), 5)}"
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
