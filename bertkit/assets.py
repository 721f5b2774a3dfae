"""Where the files that come with bertkit lie."""

from pathlib import Path

_FOLDER = Path(__file__).parent / "assets"

EMBEDDED_MODEL = _FOLDER / "model"
"""The pretrained BERT in the box."""
EMBEDDED_CORPUS = _FOLDER / "corpus.txt"
"""Simple stories, dialogues and facts in English, one sentence a line, a blank line between texts."""
EMBEDDED_CLOZE = _FOLDER / "cloze.tsv"
"""200 everyday sentences with a mask each, and what belongs there."""
EMBEDDED_LABELLED = _FOLDER / "word_order"
"""train.tsv and validation.tsv: sentences, and the same with their words scrambled."""
