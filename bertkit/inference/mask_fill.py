"""What belongs at a ``[MASK]``: a BERT's ranked guesses, as transformers' fill-mask pipeline gives them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bertkit.errors import BertkitError
from bertkit.models.bert import bert_folder, load_for
from bertkit.models.tokenizer import load_tokenizer

if TYPE_CHECKING:
    import torch

MASK = "[MASK]"
TEXTS_PER_BATCH = 32


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

    Raises:
        BertkitError: the model cannot be had or was trained without a masked-word head; an unknown device.

    Example:
        >>> filler = MaskFiller("runs/pretrain-stories")
        >>> filler.fill(["The cat sat on the [MASK]."], top_k=1)[0][0][0].token_str
        'mat'
    """

    def __init__(self, model: str | Path, device: str | None = None) -> None:
        # The cheap check first: this line needs no torch, the next ones take seconds to import it.
        folder = str(bert_folder(str(model)))
        from bertkit.training.hardware import choose_device

        kind = choose_device(device)
        self.name = str(model)
        self.tokenizer = load_tokenizer(folder)
        loaded, _ = load_for("BertForMaskedLM", str(model))
        self.model: Any = loaded.to(device if device and ":" in device else kind).eval()
        rows = self.model.config.vocab_size
        if len(self.tokenizer) > rows:
            raise BertkitError(
                f"{model} has {len(self.tokenizer):,} word pieces in its tokenizer, and {rows:,} in its model"
            )

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
        marked = text.replace(MASK, self.tokenizer.mask_token)
        if self.tokenizer.mask_token not in marked:
            check_text(text)
        ids: list[int] = self.tokenizer(marked, verbose=False)["input_ids"]
        longest = self.model.config.max_position_embeddings
        if len(ids) > longest:
            raise BertkitError(
                f"'{_short(text)}' has {len(ids)} tokens, and {self.name} reads {longest} at most: shorten it"
            )
        return ids

    def _target_ids(self, targets: Sequence[str]) -> list[int]:
        vocab = self.tokenizer.get_vocab()
        ids: list[int] = []
        for target in targets:
            pieces = [target] if target in vocab else self.tokenizer.tokenize(target)
            if len(pieces) > 1:
                raise BertkitError(
                    f"target '{target}' is {len(pieces)} word pieces to this model ({' '.join(pieces)}): "
                    "give words that are one piece"
                )
            if not pieces or pieces[0] == self.tokenizer.unk_token:
                raise BertkitError(f"target '{target}' is unknown to this model: no word pieces spell it")
            ids.append(vocab[pieces[0]])
        if not ids:
            raise BertkitError("no targets given: name the words to compare, or leave targets out")
        return sorted(set(ids))

    def _fill_batch(
        self, encoded: Sequence[list[int]], top_k: int, target_ids: Sequence[int] | None
    ) -> list[list[list[Candidate]]]:
        import torch

        probabilities = self._probabilities(encoded)
        # The rows that pad the vocabulary to a multiple of 64 stand for no word.
        kept = probabilities[:, : len(self.tokenizer)] if target_ids is None else probabilities[:, target_ids]
        scores, places = kept.topk(min(top_k, kept.shape[1]))
        tokens = places if target_ids is None else torch.tensor(target_ids)[places]
        ranked = zip(scores.tolist(), tokens.tolist(), strict=True)
        filled = []
        for ids in encoded:
            masks = [place for place, id_ in enumerate(ids) if id_ == self.tokenizer.mask_token_id]
            filled.append([self._candidates(ids, place, len(masks) == 1, *next(ranked)) for place in masks])
        return filled

    def _probabilities(self, encoded: Sequence[list[int]]) -> "torch.Tensor":
        """Probabilities at all masks, text by text, fp32 ``[masks, rows of the vocabulary]``."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        rows = [torch.tensor(ids) for ids in encoded]
        ids = pad_sequence(rows, batch_first=True, padding_value=self.tokenizer.pad_token_id)
        is_text = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        is_mask = ids == self.tokenizer.mask_token_id
        device = self.model.device
        with torch.inference_mode():
            hidden = self.model.bert(ids.to(device), attention_mask=is_text.to(device))[0]
            # The head over the vocabulary is most of the work of a small model: at the masks alone.
            probabilities: torch.Tensor = self.model.cls(hidden[is_mask.to(device)]).softmax(dim=-1).cpu()
        return probabilities

    def _candidates(
        self, ids: list[int], place: int, only_mask: bool, scores: list[float], tokens: list[int]
    ) -> list[Candidate]:
        candidates = []
        for score, token in zip(scores, tokens, strict=True):
            filled = [*ids[:place], token, *ids[place + 1 :]]
            shown = [id_ for id_ in filled if id_ != self.tokenizer.pad_token_id]
            # As in the pipeline: special tokens go, but not where other masks would go with them.
            sequence = self.tokenizer.decode(shown, skip_special_tokens=only_mask)
            candidates.append(Candidate(score, token, self.tokenizer.decode([token]), sequence))
        return candidates


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
