"""What belongs at a ``[MASK]``: a BERT's ranked guesses, as transformers' fill-mask pipeline gives them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from bertkit.errors import BertkitError
from bertkit.inference.numpy_bert import UnsupportedError
from bertkit.inference.without_torch import LightReader

MASK = "[MASK]"
TEXTS_PER_BATCH = 32
FEW_TEXTS = 32
"""Up to so many, starting torch would take longer than reading them in numpy."""


class Reader(Protocol):
    """A model and its tokenizer."""

    rows: int
    """Of the vocabulary's logits, those that pad it included."""
    max_position_embeddings: int
    mask_token: str
    mask_token_id: int
    unk_token: str
    pad_token_id: int

    @property
    def vocab(self) -> dict[str, int]: ...
    def encode(self, text: str) -> list[int]: ...
    def tokenize(self, text: str) -> list[str]: ...
    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str: ...
    def mask_probabilities(self, encoded: Sequence[list[int]]) -> np.ndarray: ...


def reader_for(model: str, device: str | None, texts: int | None) -> Reader:
    """What reads so many texts soonest: numpy for a few where no device is named, else torch.

    Raises:
        BertkitError: the model cannot be had, or is none that fills masks; an unknown device.
    """
    if texts is not None and texts <= FEW_TEXTS and device in (None, "auto"):
        from bertkit.models.bert import bert_folder

        try:
            return LightReader(bert_folder(model))
        except UnsupportedError:
            pass  # torch may read it, or says better why not
    from bertkit.inference.with_torch import TorchReader

    return TorchReader(model, device)


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
        self.reader = reader_for(self.name, device, texts)

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
        # Texts of like length share a batch, so that little of it is padding.
        order = sorted(range(len(texts)), key=lambda index: len(encoded[index]))
        filled: list[list[list[Candidate]]] = [[] for _ in texts]
        for start in range(0, len(order), TEXTS_PER_BATCH):
            batch = order[start : start + TEXTS_PER_BATCH]
            for index, guesses in zip(
                batch, self._fill_batch([encoded[i] for i in batch], top_k, target_ids), strict=True
            ):
                filled[index] = guesses
        return filled

    def _encode(self, text: str) -> list[int]:
        # A byte of the command line that is no UTF-8 reaches us as a lone surrogate, which no tokenizer takes.
        marked = text.encode("utf-8", "replace").decode().replace(MASK, self.reader.mask_token)
        if self.reader.mask_token not in marked:
            check_text(text)
        ids = self.reader.encode(marked)
        longest = self.reader.max_position_embeddings
        if len(ids) > longest:
            raise BertkitError(
                f"'{_short(text)}' has {len(ids)} tokens, and {self.name} reads {longest} at most: shorten it"
            )
        return ids

    def _target_ids(self, targets: Sequence[str]) -> list[int]:
        vocab = self.reader.vocab
        ids: list[int] = []
        for target in targets:
            pieces = [target] if target in vocab else self.reader.tokenize(target)
            if len(pieces) > 1:
                raise BertkitError(
                    f"target '{target}' is {len(pieces)} word pieces to this model ({' '.join(pieces)}): "
                    "give words that are one piece"
                )
            if not pieces or pieces[0] == self.reader.unk_token:
                raise BertkitError(f"target '{target}' is unknown to this model: no word pieces spell it")
            ids.append(vocab[pieces[0]])
        if not ids:
            raise BertkitError("no targets given: name the words to compare, or leave targets out")
        return sorted(set(ids))

    def _fill_batch(
        self, encoded: Sequence[list[int]], top_k: int, target_ids: Sequence[int] | None
    ) -> list[list[list[Candidate]]]:
        probabilities = self.reader.mask_probabilities(encoded)
        # The rows that pad the vocabulary to a multiple of 64 stand for no word.
        compared = np.arange(len(self.reader.vocab)) if target_ids is None else np.array(target_ids)
        kept = probabilities[:, compared]
        best = _largest(kept, min(top_k, kept.shape[1]))
        scores = np.take_along_axis(kept, best, axis=1).tolist()
        ranked = zip(scores, compared[best].tolist(), strict=True)
        filled = []
        for ids in encoded:
            masks = [place for place, id_ in enumerate(ids) if id_ == self.reader.mask_token_id]
            filled.append([self._candidates(ids, place, len(masks) == 1, *next(ranked)) for place in masks])
        return filled

    def _candidates(
        self, ids: list[int], place: int, only_mask: bool, scores: list[float], tokens: list[int]
    ) -> list[Candidate]:
        candidates = []
        for score, token in zip(scores, tokens, strict=True):
            filled = [*ids[:place], token, *ids[place + 1 :]]
            shown = [id_ for id_ in filled if id_ != self.reader.pad_token_id]
            # As in the pipeline: special tokens go, but not where other masks would go with them.
            sequence = self.reader.decode(shown, skip_special_tokens=only_mask)
            candidates.append(Candidate(score, token, self.reader.decode([token]), sequence))
        return candidates


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Column numbers of the ``k`` largest of each row, the largest first."""
    some = np.sort(np.argpartition(-values, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(values, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order, axis=1)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
