"""Models and vocabularies with nothing learned, for where only the time matters and none is at hand."""

from pathlib import Path
from typing import Any

VOCAB_SIZE = 30_522
"""Word pieces of bert-base-uncased."""


def write_random_bert(folder: Path, recipe: str, tokenizer: str | None) -> None:
    """A BERT of a recipe's size with random weights, as a model folder.

    Args:
        folder: to write to.
        recipe: a name of ``bertkit recipes``, or a file.
        tokenizer: a folder, vocab.txt or hub name; None takes ``stand_in_tokenizer``.

    Raises:
        BertkitError: no such recipe or tokenizer.
    """
    from bertkit.models.bert import new_bert, save_model
    from bertkit.models.tokenizer_loading import load_tokenizer
    from bertkit.settings.recipes import load
    from bertkit.settings.schema import PretrainRecipe

    settings = load(PretrainRecipe, "pretrain", recipe, []).settings
    pieces = load_tokenizer(tokenizer) if tokenizer else stand_in_tokenizer()
    pieces.model_max_length = settings.model.max_position_embeddings
    save_model(new_bert(settings.model, pieces, settings.train.seed), pieces, folder)


def stand_in_tokenizer() -> Any:
    """The word pieces of the embedded corpus, and unused ones up to as many as bert-base-uncased has.

    How many there are decides the work of the masked-word head.
    """
    from bertkit.assets import EMBEDDED_CORPUS
    from bertkit.corpus.preparation import Preparation
    from bertkit.corpus.sources import find_sources
    from bertkit.models.tokenizer import build_tokenizer
    from bertkit.pretraining.word_pieces import train_tokenizer
    from bertkit.settings.schema import DataSettings, TokenizerSettings

    data, settings = DataSettings(), TokenizerSettings()
    learned = train_tokenizer(Preparation(find_sources([str(EMBEDDED_CORPUS)]), data.column, data.language), settings)
    pieces = learned.convert_ids_to_tokens(list(range(len(learned))))
    unused = (f"[unused{number}]" for number in range(VOCAB_SIZE))
    free = [piece for piece in unused if piece not in set(pieces)][: VOCAB_SIZE - len(pieces)]
    return build_tokenizer([*pieces, *free], settings.lowercase, strip_accents=settings.strip_accents)


def write_tokenizer(folder: Path) -> None:
    """``stand_in_tokenizer`` as a folder."""
    from bertkit.models.tokenizer import save_tokenizer

    save_tokenizer(stand_in_tokenizer(), folder)
