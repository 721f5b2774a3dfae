"""From the corpus a person names to a tokenizer and a prepared store."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bertkit import console
from bertkit.corpus.prepare import Preparation, cache_folder, nothing_in, prepare
from bertkit.corpus.reader import fingerprint
from bertkit.corpus.store import CorpusStore
from bertkit.corpus.vocabulary import sample, train_vocabulary
from bertkit.io.atomic import new_folder
from bertkit.io.text import ReadReport
from bertkit.models.tokenizer import build_tokenizer, load_tokenizer, save_tokenizer
from bertkit.settings.schema import TokenizerSettings


def train_tokenizer(preparation: Preparation, settings: TokenizerSettings) -> Any:
    """WordPiece learned on the corpus, or the cached one where the very same was learned before.

    Raises:
        BertkitError: the corpus is empty, or the size does not suit it (see ``train_vocabulary``).
    """
    from filelock import FileLock

    text = fingerprint(preparation.sources, preparation.column)
    wanted = f"1 {text} {settings.vocab_size} {settings.lowercase}"
    folder = cache_folder() / "tokenizers" / hashlib.blake2b(wanted.encode(), digest_size=16).hexdigest()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not (folder / "vocab.txt").is_file():
            console.note("learning the word pieces of the corpus …")

            def texts() -> Iterable[str]:
                return sample(preparation.paragraphs(ReadReport()), preparation.estimated_bytes(), seed=0)

            if next(iter(texts()), None) is None:
                raise nothing_in(preparation)
            pieces = train_vocabulary(texts, settings.vocab_size, settings.lowercase)
            with new_folder(folder) as fresh:
                save_tokenizer(build_tokenizer(pieces, settings.lowercase), fresh)
    return load_tokenizer(str(folder))


def prepare_corpus(
    preparation: Preparation,
    settings: TokenizerSettings,
    tokenizer: Any | None = None,
    out: Path | None = None,
) -> tuple[CorpusStore, Any]:
    """The prepared corpus and its tokenizer: the given one, or WordPiece learned on the corpus.

    Raises:
        BertkitError: nothing to read, or unreadable; a vocabulary size that does not suit the corpus.
    """
    tokenizer = tokenizer or train_tokenizer(preparation, settings)
    return prepare(preparation, tokenizer, out), tokenizer
