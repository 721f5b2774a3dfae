"""The class behind ``bertkit.load``: a pretrained BERT that fills masks, scores texts and gives features."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bertkit.errors import BertkitError
from bertkit.models.folder import bert_folder
from bertkit.runtime.load import FEW_TEXTS

if TYPE_CHECKING:
    from bertkit.inference.mask_filling.filler import Candidate, MaskFiller
    from bertkit.inference.scoring import Score, Scorer


class Bert:
    """A pretrained BERT. It is loaded when it is first used; for a few texts torch is not imported.

    Args:
        name: a folder (also one that ``bertkit export`` wrote), a name on the Hugging Face hub, or "embedded".
        device: "auto", "cpu", "cuda", "cuda:1" or "mps"; "auto" takes the best one available.

    Raises:
        BertkitError: the model cannot be loaded.
    """

    def __init__(self, name: str, device: str = "auto") -> None:
        self.name, self.device = name, device
        bert_folder(name)
        self._filler: MaskFiller | None = None
        self._scorers: dict[bool, Scorer] = {}  # by whether they are for a few texts

    def __repr__(self) -> str:
        return f"Bert({self.name!r}, device={self.device!r})"

    def fill(
        self, text: str, *, top_k: int | None = None, targets: Sequence[str] | None = None, max_pieces: int = 1
    ) -> "list[list[Candidate]]":
        """Guesses the words at each ``[MASK]`` of a text.

        Args:
            text: the text, with one ``[MASK]`` or more.
            top_k: the number of guesses per mask; None is 5, or all targets.
            targets: compare only these words or phrases.
            max_pieces: if above 1, guess whole words of up to so many word pieces.

        Returns:
            For each mask its guesses, the best first, with ``score``, ``token``, ``token_str`` and ``sequence``.

        Raises:
            BertkitError: the text has no mask or is too long for the model, or a target is unknown to the model.

        Example:
            >>> import bertkit
            >>> bertkit.load("embedded").fill("she opened the [MASK] .", top_k=1)[0][0].token_str
            'door'
        """
        from bertkit.inference.mask_filling.filler import MaskFiller

        if not isinstance(text, str):
            raise BertkitError("give one text, not a list: fill(text) for each")
        if self._filler is None:
            self._filler = MaskFiller(self.name, self.device, texts=1)
        [filled] = self._filler.fill([text], top_k, targets, max_pieces)
        if targets is not None:
            self._filler.say_merged(targets)
        self._filler.say_misread()
        return filled

    def score(self, texts: Iterable[str]) -> "list[Score]":
        """Scores texts by their pseudo-log-likelihoods, in nats; see ``inference.scoring.Scorer``.

        Returns:
            For each text, in order, its ``score``, ``tokens``, ``per_token`` and ``perplexity``. A text without word pieces,
            such as an empty one, has 0 ``tokens``, and None for the rest.

        Raises:
            BertkitError: the texts are not a list, or another iterable, of texts.
        """
        from bertkit.inference.scoring import Scorer

        texts = _listed(texts)
        few = len(texts) <= FEW_TEXTS
        if few not in self._scorers:
            self._scorers[few] = Scorer(self.name, self.device, texts=1 if few else None)
        scorer = self._scorers[few]
        scores = scorer.score(texts)
        scorer.texts.say_cut()
        scorer.say_misread()
        return scores

    def embed(
        self, texts: Iterable[str], *, layers: str | int = "last", pooling: str = "mean", overflow: str = "truncate"
    ) -> np.ndarray:
        """Features of texts: hidden states, pooled over each text.

        Args:
            texts: the texts.
            layers: "last", a number (-2 is the second last, 0 the embeddings), "concat-last-4", "sum-last-4" or "all".
            pooling: "mean" of all tokens, or "cls". For features of words and tokens see ``inference.embedding``.
            overflow: what to read of texts that are too long for the model: "truncate" the beginning, "windows" all.

        Returns:
            fp32 ``[texts, width]``; of an empty text the features of its special tokens.

        Raises:
            BertkitError: the texts are not a list, or another iterable, of texts; the model does not have these layers; or
                the pooling is unknown.
        """
        from bertkit.inference.embedding import Embedder

        texts = _listed(texts)
        if pooling not in ("mean", "cls"):
            raise BertkitError(f"pooling must be mean or cls, a row a text, got '{pooling}'")
        embedder = Embedder(self.name, str(layers), pooling, self.device, len(texts), overflow)
        rows = [one.rows for chunk in embedder.chunks(texts) for one in chunk]
        embedder.texts.say_cut(': overflow="windows" reads all')
        embedder.say_misread()
        return np.concatenate(rows) if rows else np.empty((0, embedder.width), dtype=np.float32)


def _listed(texts: Iterable[str]) -> list[str]:
    """The texts as a list, also those of a generator.

    Raises:
        BertkitError: it is a single text or a table, or holds something else than texts.
    """
    from bertkit.io.memory import DataFrame

    if isinstance(texts, str):
        raise BertkitError("give a list of texts, not a single one: [text]")
    if isinstance(texts, DataFrame | Mapping) or not isinstance(texts, Iterable):
        kind = type(texts).__name__
        raise BertkitError(f"give a list of texts, not an object of type {kind}; of a table one column: table['text']")
    given = list(texts)
    for number, text in enumerate(given):
        if not isinstance(text, str):
            raise BertkitError(f"text {number} is of type {type(text).__name__}: give a list of texts")
    return given
