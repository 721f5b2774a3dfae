"""What belongs at a ``[MASK]``: a BERT's ranked guesses, as transformers' fill-mask pipeline gives them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bertkit.errors import BertkitError
from bertkit.forward.pieces import Encoding
from bertkit.forward.reader import open_reader

MASK = "[MASK]"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A guess for one mask. The fields are the keys of the fill-mask pipeline."""

    score: float
    """Probability of the word piece, over all that the model knows."""
    token: int
    token_str: str
    sequence: str
    """The text with this piece in the mask's place; other masks stay."""


def check_text(text: str) -> None:
    """Raises a BertkitError where a text has no ``[MASK]``."""
    if MASK not in text:
        raise BertkitError(f"no {MASK} in '{_short(text)}': put {MASK} where a word should be guessed")


class MaskFiller:
    """A BERT that fills masks.

    Args:
        model: a folder, or a name on the hub.
        device: "cpu", "cuda", "cuda:1", "mps"; None or "auto" takes the best there is.
        texts: about how many it will fill, where that is known: a few are read without torch.

    Raises:
        BertkitError: the model cannot be had or was trained without a masked-word head; an unknown device.

    Example:
        >>> filler = MaskFiller("runs/pretrain-stories")
        >>> filler.fill(["The cat sat on the [MASK]."], top_k=1)[0][0][0].token_str
        'mat'
    """

    def __init__(self, model: str | Path, device: str | None = None, texts: int | None = None) -> None:
        self.name = str(model)
        self.reader = open_reader(self.name, "words", device, texts)

    def fill(
        self, texts: Sequence[str], top_k: int = 5, targets: Sequence[str] | None = None
    ) -> list[list[list[Candidate]]]:
        """Ranks what belongs at the masks.

        Args:
            texts: each with one ``[MASK]`` or more; those of one text are guessed independently.
            top_k: guesses a mask.
            targets: only these words are compared; each must be a single word piece.

        Returns:
            By text, by mask, the guesses, the best first.

        Raises:
            BertkitError: a text has no mask or is too long for the model; a target is not one piece.
        """
        if top_k < 1:
            raise BertkitError(f"top_k must be at least 1, got {top_k}")
        target_ids = None if targets is None else self._target_ids(targets)
        encoded = [self._encode(text) for text in texts]
        masks = [[place for place, id_ in enumerate(one.ids) if id_ == self.reader.pieces.mask_id] for one in encoded]
        filled = []
        for one, places, logs in zip(
            encoded, masks, self.reader.bert.word_log_probabilities(encoded, masks), strict=True
        ):
            ranked = self._ranked(np.exp(logs), top_k, target_ids)
            filled.append([
                self._candidates(one.ids, place, len(places) == 1, *guesses)
                for place, guesses in zip(places, ranked, strict=True)
            ])  # fmt: skip
        return filled

    def _encode(self, text: str) -> Encoding:
        pieces = self.reader.pieces
        marked = text.replace(MASK, pieces.mask_token)
        if pieces.mask_token not in marked:
            check_text(text)
        encoding = pieces.encode(marked)
        if len(encoding.ids) > self.reader.max_tokens:
            raise BertkitError(
                f"'{_short(text)}' has {len(encoding.ids)} tokens, and {self.name} reads {self.reader.max_tokens} at "
                "most: shorten it"
            )
        return encoding

    def _target_ids(self, targets: Sequence[str]) -> list[int]:
        vocab = self.reader.pieces.vocab
        ids: list[int] = []
        for target in targets:
            pieces = [target] if target in vocab else self.reader.pieces.tokenize(target)
            if len(pieces) > 1:
                raise BertkitError(
                    f"target '{target}' is {len(pieces)} word pieces to this model ({' '.join(pieces)}): "
                    "give words that are one piece"
                )
            if not pieces or pieces[0] == self.reader.pieces.unk_token:
                raise BertkitError(f"target '{target}' is unknown to this model: no word pieces spell it")
            ids.append(vocab[pieces[0]])
        if not ids:
            raise BertkitError("no targets given: name the words to compare, or leave targets out")
        return sorted(set(ids))

    def _ranked(
        self, probabilities: np.ndarray, top_k: int, target_ids: Sequence[int] | None
    ) -> list[tuple[list[float], list[int]]]:
        """Scores and ids of the best pieces at each mask, out of ``[masks, rows]``."""
        # The rows that pad the vocabulary to a multiple of 64 stand for no word.
        compared = np.arange(len(self.reader.pieces.vocab)) if target_ids is None else np.array(target_ids)
        kept = probabilities[:, compared]
        best = _largest(kept, min(top_k, kept.shape[1]))
        scores = np.take_along_axis(kept, best, axis=1).tolist()
        return list(zip(scores, compared[best].tolist(), strict=True))

    def _candidates(
        self, ids: list[int], place: int, only_mask: bool, scores: list[float], tokens: list[int]
    ) -> list[Candidate]:
        candidates = []
        for score, token in zip(scores, tokens, strict=True):
            filled = [*ids[:place], token, *ids[place + 1 :]]
            shown = [id_ for id_ in filled if id_ != self.reader.pieces.pad_id]
            # As in the pipeline: special tokens go, but not where other masks would go with them.
            sequence = self.reader.pieces.decode(shown, skip_special_tokens=only_mask)
            candidates.append(Candidate(score, token, self.reader.pieces.decode([token]), sequence))
        return candidates


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Column numbers of the ``k`` largest of each row, the largest first."""
    some = np.sort(np.argpartition(-values, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(values, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
