"""A BERT's ranked guesses at a ``[MASK]``, as the fill-mask pipeline of transformers gives them.

In addition, several masks can be filled together (``joint.py``), and with words of several pieces (``words.py``,
``phrases.py``).
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bertkit import console
from bertkit.errors import BertkitError
from bertkit.inference.mask_filling.joint import BEAM, MOST_MASKS, Gaps, best_fillings, largest
from bertkit.inference.mask_filling.phrases import shares
from bertkit.inference.mask_filling.words import Filling, Word, WordPieces, search, widened
from bertkit.inference.misread import Misread
from bertkit.runtime.load import open_reader
from bertkit.runtime.text import Encoding

MASK = "[MASK]"
GUESSES = 5
"""How many guesses there are for a mask, if nobody says it and there are no more targets."""
MOST_PIECES = 8
"""The most word pieces of a word in the place of a mask."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A guess for one mask. The fields are named as the keys of the fill-mask pipeline."""

    score: float
    """The probability of the word piece, or of all pieces of the word, among all that the model knows. With targets of
    several pieces it is the probability among the targets (see ``phrases.py``)."""
    token: int | Word
    """The id of the word piece, or the ids of several."""
    token_str: str
    sequence: str
    """The text with the guess in the place of the mask; other masks stay."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A guess for all masks of a text at once."""

    score: float
    """The probability of all words together (see ``joint.py``)."""
    tokens: tuple[int | Word, ...]
    """For each mask the id of the word piece, or the ids of several."""
    token_strs: tuple[str, ...]
    sequence: str


def check_text(text: str) -> None:
    """Raises a BertkitError if a text has no ``[MASK]``."""
    if MASK not in text:
        raise BertkitError(f"no {MASK} in '{_short(text)}': put {MASK} where a word should be guessed")


class MaskFiller:
    """A BERT that fills masks.

    Args:
        model: a folder, or a name on the hub.
        device: "cpu", "cuda", "cuda:1" or "mps"; None or "auto" takes the best one available.
        texts: about how many texts will be filled; None where that is unknown. A few are read without torch.

    Attributes:
        misread: counts the pieces of the texts that are unknown to the model, and the characters that its tokenizer changes. As
            in the pipeline, the text with a guess is without the pieces, unless other masks stay in it.

    Raises:
        BertkitError: the model cannot be loaded, or was trained without a masked-word head; or the device is unknown.

    Example:
        >>> filler = MaskFiller("runs/pretrain-stories")
        >>> filler.fill(["The cat sat on the [MASK]."], top_k=1)[0][0][0].token_str
        'mat'
    """

    def __init__(self, model: str | Path, device: str | None = None, texts: int | None = None) -> None:
        self.name = str(model)
        self.reader = open_reader(self.name, "words", device, texts)
        self.misread = Misread(self.name, self.reader.text_encoder)

    def fill(
        self, texts: Sequence[str], top_k: int | None = None, targets: Sequence[str] | None = None, max_pieces: int = 1
    ) -> list[list[list[Candidate]]]:
        """Guesses the words at the masks, at each mask on its own.

        Args:
            texts: each with one ``[MASK]`` or more.
            top_k: the number of guesses per mask; None is 5, or all targets.
            targets: compare only these words or phrases; ``say_merged`` counts those that are the same word pieces.
            max_pieces: if above 1, guess whole words of up to so many pieces.

        Returns:
            For each text, for each mask, the guesses, the best first.

        Raises:
            BertkitError: a text has no mask or is too long for the model, or a target is unknown to the model.
        """
        words = self._checked(top_k, targets, max_pieces)
        top_k = top_k or max(GUESSES, len(words or ()))
        encoded = [self._encode(text) for text in texts]
        self.misread.add(texts, encoded)
        if max_pieces > 1:
            return [[self._guess_words(one, place, top_k, max_pieces) for place in self._masks(one)] for one in encoded]
        if words is not None and any(len(word) > 1 for word in words):
            return [[self._compare_words(one, place, words)[:top_k] for place in self._masks(one)] for one in encoded]
        masks = [self._masks(one) for one in encoded]
        target_ids = None if words is None else [piece for (piece,) in words]
        filled = []
        for one, places, logs in zip(
            encoded, masks, self.reader.bert.word_log_probabilities(encoded, masks), strict=True
        ):
            ranked = self._ranked(logs, top_k, target_ids)
            filled.append([
                [self._candidate(one, place, score, (token,)) for score, token in zip(*guesses, strict=True)]
                for place, guesses in zip(places, ranked, strict=True)
            ])  # fmt: skip
        return filled

    def fill_jointly(
        self, texts: Sequence[str], top_k: int | None = None, max_pieces: int = 1
    ) -> list[list[Completion]]:
        """Guesses the words at all masks of a text together.

        Args:
            texts: each with one ``[MASK]`` or more.
            top_k: the number of guesses per text; None is 5.
            max_pieces: if above 1, guess whole words of up to so many pieces.

        Returns:
            For each text the guesses, the best first; none for a text with a single mask, or with more than
            ``MOST_MASKS``.

        Raises:
            BertkitError: a text has no mask or is too long for the model.
        """
        self._checked(top_k, None, max_pieces)
        return [self._fill_all(self._encode(text), top_k or GUESSES, max_pieces) for text in texts]

    def compares_texts(self, targets: Sequence[str]) -> bool:
        """Whether a target has several pieces. All targets are then compared by the whole text (see ``phrases.py``)."""
        return any(len(word) > 1 for word in self._target_words(targets))

    def say_merged(self, targets: Sequence[str]) -> None:
        """Counts in a note the targets that are spelt by the same word pieces as another one, and so have no row."""
        merged = len(targets) - len(self._target_words(targets))
        if merged:
            console.note(f"targets that this model spells as it does another one, and which share its row: {merged:,}")

    def say_misread(self) -> None:
        """Says what of the texts was read otherwise than it is written since the last call, if there is any."""
        self.misread.say("read alike, and left out of a text that is shown with a guess")

    def _checked(self, top_k: int | None, targets: Sequence[str] | None, max_pieces: int) -> list[Word] | None:
        """Checks the arguments of ``fill``; returns the targets as word pieces, None without targets."""
        if top_k is not None and not (hasattr(top_k, "__index__") and top_k >= 1):
            raise BertkitError(f"top_k must be at least 1, a whole number, got {top_k!r}")
        if not (hasattr(max_pieces, "__index__") and 1 <= max_pieces <= MOST_PIECES):
            raise BertkitError(f"max_pieces must be 1 to {MOST_PIECES}, got {max_pieces!r}")
        if targets is None:
            return None
        if max_pieces > 1:
            raise BertkitError("targets have the pieces that they have: leave max_pieces out")
        if isinstance(targets, str):
            raise BertkitError(f"targets must be a list of words: ['{_short(targets)}']")
        if not isinstance(targets, Collection) or not all(isinstance(one, str) for one in targets):
            raise BertkitError(f"targets must be a list of words, got {_short(repr(targets))}")
        words = self._target_words(targets)
        if not words:
            raise BertkitError("no targets given: name the words to compare, or leave targets out")
        return words

    def _guess_words(self, text: Encoding, place: int, top_k: int, max_pieces: int) -> list[Candidate]:
        """The best words at one mask."""
        best = search(self.reader, self._kinds, text, [place], max_pieces, max(BEAM, top_k))
        return [self._candidate(text, place, math.exp(log), *filling.words) for log, filling in best[:top_k]]

    def _compare_words(self, text: Encoding, place: int, words: Sequence[Word]) -> list[Candidate]:
        """Given words at one mask, the best first; their probabilities sum to one."""
        fillings = [Filling(*widened(text, [place], [len(word)]), (word,)) for word in words]
        for one in fillings:
            self._check_length(one.text, self._decode(one.filled.ids, True))
        scores = shares(self.reader.bert, self.reader.text_encoder, [(one.filled, one.places) for one in fillings])
        ranked = sorted(zip(scores.tolist(), words, strict=True), key=lambda item: -item[0])
        return [self._candidate(text, place, score, word) for score, word in ranked]

    def _fill_all(self, text: Encoding, top_k: int, max_pieces: int) -> list[Completion]:
        masks, beam = self._masks(text), max(BEAM, 2 * top_k)
        if not 1 < len(masks) <= MOST_MASKS:
            return []
        if max_pieces > 1:
            best = search(self.reader, self._kinds, text, masks, max_pieces, beam)
        else:
            filled = best_fillings(self.reader.bert, Gaps(text, masks), [self._kinds.any] * len(masks), beam)
            best = [(log, Filling(text, tuple(masks), tuple((id_,) for id_ in pieces))) for log, pieces in filled]
        return [self._completion(math.exp(log), filling) for log, filling in best[:top_k]]

    @cached_property
    def _kinds(self) -> WordPieces:
        return WordPieces(self.reader.text_encoder)

    def _masks(self, text: Encoding) -> list[int]:
        return [place for place, id_ in enumerate(text.ids) if id_ == self.reader.text_encoder.mask_id]

    def _encode(self, text: str) -> Encoding:
        text_encoder = self.reader.text_encoder
        marked = text.replace(MASK, text_encoder.mask_token)
        if text_encoder.mask_token not in marked:
            check_text(text)
        encoding = text_encoder.encode(marked)
        self._check_length(encoding, text)
        return encoding

    def _check_length(self, encoding: Encoding, text: str) -> None:
        if len(encoding.ids) > self.reader.max_tokens:
            raise BertkitError(
                f"'{_short(text)}' has {len(encoding.ids)} tokens, and {self.name} reads {self.reader.max_tokens} at "
                "most: shorten it"
            )

    def _target_words(self, targets: Sequence[str]) -> list[Word]:
        text_encoder = self.reader.text_encoder
        words = set()
        for target in targets:
            ids = [text_encoder.vocab[target]] if target in text_encoder.vocab else text_encoder.spelt(target)
            if not ids or text_encoder.vocab[text_encoder.unk_token] in ids:
                raise BertkitError(f"target '{target}' is unknown to this model: no word pieces spell it")
            words.add(tuple(ids))
        return sorted(words)

    def _ranked(
        self, logs: np.ndarray, top_k: int, target_ids: Sequence[int] | None
    ) -> list[tuple[list[float], list[int]]]:
        """The scores and ids of the best pieces at each mask, from log-probabilities ``[masks, rows]``."""
        # Rows that only pad the vocabulary to a multiple of 64 are left out.
        compared = logs[:, : len(self.reader.text_encoder.vocab)] if target_ids is None else logs[:, list(target_ids)]
        best = largest(compared, min(top_k, compared.shape[1]))
        scores = np.exp(np.take_along_axis(compared, best, axis=1)).tolist()
        ids = best if target_ids is None else np.array(target_ids)[best]
        return list(zip(scores, ids.tolist(), strict=True))

    def _candidate(self, text: Encoding, place: int, score: float, word: Word) -> Candidate:
        # As in the pipeline, special tokens are removed, but not if that would remove other masks.
        only_mask = len(self._masks(text)) == 1
        filled = [*text.ids[:place], *word, *text.ids[place + 1 :]]
        return Candidate(score, _token(word), self.reader.text_encoder.decode(word), self._decode(filled, only_mask))

    def _completion(self, score: float, filling: Filling) -> Completion:
        return Completion(
            score,
            tuple(_token(word) for word in filling.words),
            tuple(self.reader.text_encoder.decode(word) for word in filling.words),
            self._decode(filling.filled.ids, True),
        )

    def _decode(self, ids: Sequence[int], skip_special_tokens: bool) -> str:
        shown = [id_ for id_ in ids if id_ != self.reader.text_encoder.pad_id]
        return self.reader.text_encoder.decode(shown, skip_special_tokens)


def _token(word: Word) -> int | Word:
    return word[0] if len(word) == 1 else word


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
