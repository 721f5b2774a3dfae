"""Training a WordPiece vocabulary on a corpus: deterministic, in bounded memory."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, count
from typing import Any

from bertkit import console
from bertkit.corpus.preparation import Preparation, nothing_in
from bertkit.draws import Draws
from bertkit.errors import BertkitError
from bertkit.io.text import ReadReport
from bertkit.signals import answered_meanwhile

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_STRETCH_CHARS = 2**16
SAMPLE_BYTES = 256 * 2**20
"""A vocabulary is learned from about so much text; of a larger corpus, from a random sample of this size."""

# A small corpus cannot fill a large vocabulary with pieces that are seen often enough to be learned,
# and the output layer is most of the work of a small model: megabytes of text → word pieces.
_SMALL_MEGABYTES = 2
_SIZE_FOR_MEGABYTES = ((_SMALL_MEGABYTES, 4_096), (25, 8_192), (150, 16_384), (float("inf"), 30_522))
_MIN_MEAN_COUNT = 40
"""A small text gets a vocabulary that cuts it into so many tokens a word piece, as a piece that is met too seldom is not learned.
By 4,096 pieces 200 kB of German are cut into 13 each, and of Thai, whose stretches between blanks are phrases, into 2.6
(docs/languages.md has the figures)."""
_MAX_UNKNOWN_SHARE = 0.01
_MAX_RARE_SHARE = 0.001
"""Characters that occur once get no piece, unless they are more of the text than this."""


def default_vocab_size(text_bytes: int) -> int:
    """Number of word pieces for a corpus of this size."""
    return next(size for megabytes, size in _SIZE_FOR_MEGABYTES if text_bytes <= megabytes * 1e6)


def sample(
    paragraphs: Iterable[str | None], text_bytes: int, seed: int, most_bytes: float | None = None
) -> Iterator[str]:
    """The paragraphs of a random subset of the documents, of about ``most_bytes`` in all; of a long document, of its stretches.

    Args:
        paragraphs: the corpus; None ends a document.
        text_bytes: (estimated) size of the whole corpus; 0 where it is unknown: then what comes first is taken.
        seed: which subset. The choice is a function of (seed, number of the stretch) alone.
        most_bytes: of a smaller corpus, all is taken; None is ``SAMPLE_BYTES``.
    """
    most_bytes = most_bytes or SAMPLE_BYTES
    rate = min(1.0, most_bytes / max(text_bytes, 1))
    stretch = passed = given = 0
    chosen = rate == 1.0 or Draws(seed, stretch).uniform() < rate
    for paragraph in paragraphs:
        # A text without blank lines is a single document: drawn whole, it would be all or nothing.
        if paragraph is None or passed > _STRETCH_CHARS:
            stretch, passed = stretch + 1, 0
            chosen = rate == 1.0 or Draws(seed, stretch).uniform() < rate
        if paragraph is None:
            continue
        passed += len(paragraph)
        if chosen:
            yield paragraph
            given += len(paragraph.encode("utf-8", "replace"))
            if not text_bytes and given > most_bytes:
                console.note_once(
                    f"the word pieces are learned on the first {most_bytes / 2**20:,.0f} MiB of a text of unknown size "
                    "(--tokenizer takes one that was learned otherwise)"
                )
                return


def measured(preparation: Preparation) -> int:
    """The size in bytes of a text of a mix: by its files, or counted where a dataset is in it; 0 of one above ``SAMPLE_BYTES``.

    Raises:
        BertkitError: the text is empty, or cannot be read.
    """
    texts = (one for one in preparation.paragraphs(ReadReport()) if one is not None)
    counted = len(next(texts, "").encode("utf-8", "replace"))
    if not counted:
        raise nothing_in(preparation)
    if not any(source.hub or source.is_saved_dataset for source in preparation.sources):
        return preparation.estimated_bytes()
    for text in texts:
        counted += len(text.encode("utf-8", "replace"))
        if counted > SAMPLE_BYTES:
            return 0
    return counted


def readings(sizes: Sequence[int], shares: Sequence[float]) -> list[float]:
    """How many bytes of each text to learn a vocabulary from, so that each text has its share.

    In total they are as many as the texts have, but at most ``SAMPLE_BYTES``. A text that has fewer bytes than its share is read
    several times.

    Args:
        sizes: the sizes of the texts in bytes; 0 if unknown, and then taken for ``SAMPLE_BYTES`` or more (see ``measured``).
        shares: the shares of the texts, which add up to 1.
    """
    total = min(SAMPLE_BYTES, sum(sizes)) if all(sizes) else SAMPLE_BYTES
    return [share * total for share in shares]


def reading(paragraphs: Callable[[], Iterable[str | None]], text_bytes: int, wanted_bytes: float) -> Iterator[str]:
    """About ``wanted_bytes`` of a text, which is read several times if it is smaller.

    Args:
        paragraphs: returns the paragraphs of the text, anew at each call; None ends a document.
        text_bytes: the (estimated) size of the text. If it is 0, the size is unknown and the text is read once.
        wanted_bytes: the number of bytes, above 0.
    """
    for again in count():
        left = wanted_bytes - again * text_bytes
        if left <= 0 or (again and not text_bytes):
            return
        yield from sample(paragraphs(), text_bytes, again, left)


def sampled(text_bytes: int) -> str | None:
    """What to say of a corpus of a (known) size that is larger than what a vocabulary is learned from (see ``sample``)."""
    if text_bytes <= SAMPLE_BYTES:
        return None
    return (
        f"the word pieces are learned on a random {SAMPLE_BYTES / text_bytes:.1%} of the documents, about "
        f"{SAMPLE_BYTES / 2**20:,.0f} of {text_bytes / 2**20:,.0f} MiB (--tokenizer takes one that was "
        "learned otherwise)"
    )


def train_vocabulary(
    texts: Callable[[], Iterable[str]], vocab_size: int | None, lowercase: bool, strip_accents: bool = False
) -> list[str]:
    """Learns WordPiece on texts and returns the pieces by id, special tokens first.

    Normalisation and pre-tokenisation are BERT's (control characters dropped, Chinese characters split). The
    library's trainer numbers the pieces ``##x`` in the order of a hash map, which differs from run to run and with it
    the ties between merges; naming them all beforehand makes its result a function of the text.

    Args:
        texts: gives the texts anew at each call; they are read twice, and a small text a third time.
        vocab_size: pieces wanted, special tokens included; None chooses for the amount of text (see ``default_vocab_size``), and
            fewer where the text does not support them, or would be cut into fewer than 40 tokens a piece: this is said.
        lowercase: make the text lower case.
        strip_accents: take away all nonspacing marks.

    Raises:
        BertkitError: the size is too small for the characters of the text, or larger than it supports.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece({}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    characters: Counter[str] = Counter()
    text_bytes = 0
    for text in texts():
        characters.update(tokenizer.normalizer.normalize_str(text))
        text_bytes += len(text.encode("utf-8", "replace"))
    size = vocab_size or default_vocab_size(text_bytes)
    alphabet, continuing = _alphabet(characters, size, tokenizer)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        special_tokens=[*SPECIAL_TOKENS, *alphabet, *("##" + character for character in continuing)],
        show_progress=False,
    )
    answered_meanwhile(lambda: tokenizer.train_from_iterator(texts(), trainer))
    pieces = tokenizer.get_vocab(with_added_tokens=False)
    if vocab_size is not None and len(pieces) < vocab_size:
        raise BertkitError(
            f"a vocabulary of {vocab_size:,} is more than this corpus supports: "
            f"its characters, and the word pieces that occur at least twice, are {len(pieces):,}; use --vocab-size "
            f"{len(pieces)} or less"
        )
    ordered = sorted(pieces, key=pieces.__getitem__)
    if vocab_size is None and text_bytes <= _SMALL_MEGABYTES * 1e6:
        return _met_often(ordered, len(SPECIAL_TOKENS) + len(alphabet) + len(continuing), texts, tokenizer)
    return ordered


def _met_often(pieces: list[str], least: int, texts: Callable[[], Iterable[str]], tokenizer: Any) -> list[str]:
    """As many of the pieces as the texts are cut into ``_MIN_MEAN_COUNT`` tokens for each, and at least the first ``least``.

    The pieces are in the order in which they were merged: their beginning is the vocabulary of that size.
    """
    from tokenizers import models

    words: Counter[str] = Counter()
    for text in texts():
        normal = tokenizer.normalizer.normalize_str(text)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))

    def too_many(size: int) -> bool:
        model = models.WordPiece({piece: i for i, piece in enumerate(pieces[:size])}, unk_token="[UNK]")
        return sum(n * len(model.tokenize(word)) for word, n in words.items()) < _MIN_MEAN_COUNT * size

    if not too_many(len(pieces)):
        return pieces
    size = max(least, least + bisect_left(range(least, len(pieces)), True, key=too_many) - 1)
    if size < len(pieces):
        console.note(
            f"{size:,} word pieces are learned: {len(pieces):,} would occur fewer than {_MIN_MEAN_COUNT} times each, on average, "
            "in so little text (--vocab-size says otherwise)"
        )
    return pieces[:size]


def _alphabet(characters: Counter[str], size: int, tokenizer: Any) -> tuple[list[str], list[str]]:
    """The characters that get pieces of their own, and those of them that may also continue a word.

    Where not all of them fit, the rarest are left out (they become [UNK]) and a tenth of the vocabulary is kept free for
    longer pieces.
    """
    seen = {one: n for one, n in characters.items() if not one.isspace()}
    total = sum(seen.values())
    wanted: dict[str, int] = {}  # character → the pieces it takes
    kept = 0
    for character, n in sorted(seen.items(), key=lambda item: (-item[1], item[0])):
        if n < 2 and kept >= (1 - _MAX_RARE_SHARE) * total:
            break
        # A character that is a word by itself (Chinese, punctuation) never continues one.
        after_a_letter = tokenizer.normalizer.normalize_str("a" + character)
        wanted[character] = 1 + (len(tokenizer.pre_tokenizer.pre_tokenize_str(after_a_letter)) == 1)
        kept += n
    needed = len(SPECIAL_TOKENS) + sum(wanted.values())
    room = needed if needed <= size else int(0.9 * (size - len(SPECIAL_TOKENS)))
    alphabet = [one for one, taken in zip(wanted, accumulate(wanted.values()), strict=True) if taken <= room]
    kept = sum(seen[character] for character in alphabet)
    if total and kept < (1 - _MAX_UNKNOWN_SHARE) * total:
        raise BertkitError(
            f"a vocabulary of {size:,} is too small for the {len(seen):,} different characters of this corpus: "
            f"{1 - kept / total:.0%} of its text would be unknown; use --vocab-size {needed} or more"
        )
    return alphabet, [character for character in alphabet if wanted[character] == 2]
