"""A BERT that fills masks with torch and transformers: for much text, on any device."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bertkit.errors import BertkitError
from bertkit.models.bert import bert_folder, load_for
from bertkit.models.tokenizer import load_tokenizer

if TYPE_CHECKING:
    import numpy as np


class TorchReader:
    """A model and its tokenizer (a ``mask_fill.Reader``).

    Args:
        model: a folder, or a name on the hub.
        device: "cpu", "cuda", "cuda:1", "mps"; None or "auto" takes the best there is.

    Raises:
        BertkitError: the model cannot be had or was trained without a masked-word head; an unknown device.
    """

    def __init__(self, model: str, device: str | None) -> None:
        # The cheap check first: this line needs no torch, the next ones take seconds to import it.
        folder = str(bert_folder(model))
        from bertkit.training.hardware import choose_device

        kind = choose_device(device)
        self._tokenizer = load_tokenizer(folder)
        loaded, _ = load_for("BertForMaskedLM", model)
        self._model: Any = loaded.to(device if device and ":" in device else kind).eval()
        self.rows: int = self._model.config.vocab_size
        self.max_position_embeddings: int = self._model.config.max_position_embeddings
        self.vocab: dict[str, int] = self._tokenizer.get_vocab()
        self.mask_token, self.unk_token = str(self._tokenizer.mask_token), str(self._tokenizer.unk_token)
        self.mask_token_id: int = self._tokenizer.mask_token_id
        self.pad_token_id: int = self._tokenizer.pad_token_id
        if len(self.vocab) > self.rows:
            raise BertkitError(
                f"{model} has {len(self.vocab):,} word pieces in its tokenizer, and {self.rows:,} in its model"
            )

    def encode(self, text: str) -> list[int]:
        """Ids with special tokens."""
        ids: list[int] = self._tokenizer(text, verbose=False)["input_ids"]
        return ids

    def tokenize(self, text: str) -> list[str]:
        """Word pieces without special tokens."""
        return list(self._tokenizer.tokenize(text))

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of some ids."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def mask_probabilities(self, encoded: Sequence[list[int]]) -> "np.ndarray":
        """At all masks, text by text, fp32 ``[masks, rows]``."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        rows = [torch.tensor(ids) for ids in encoded]
        ids = pad_sequence(rows, batch_first=True, padding_value=self.pad_token_id)
        is_text = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        is_mask = ids == self.mask_token_id
        device = self._model.device
        with torch.inference_mode():
            hidden = self._model.bert(ids.to(device), attention_mask=is_text.to(device))[0]
            # The head over the vocabulary is most of the work of a small model: at the masks alone.
            probabilities = self._model.cls(hidden[is_mask.to(device)]).softmax(dim=-1)
        found: np.ndarray = probabilities.float().cpu().numpy()
        return found
