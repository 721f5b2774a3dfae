"""The paths of the files that come with bertkit."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "assets"

EMBEDDED_MODEL = _FOLDER / "model"
"""A pretrained BERT."""
EMBEDDED_CORPUS = _FOLDER / "corpus.txt"
"""Simple stories, dialogues and facts in English, one sentence a line, a blank line between texts."""
EMBEDDED_CLOZE = _FOLDER / "cloze.tsv"
"""200 everyday sentences, each with a mask and the words that are right there."""
EMBEDDED_LABELLED = _FOLDER / "word_order"
"""train.tsv and validation.tsv: sentences, and sentences whose words are scrambled."""
